-- The newest event that each spine row sees (rules T3, O and R1): the last one whose position is below all positions of later
-- times than hi. Joining by the whole position instead of the time makes equal times come out right.
SELECT
    _spine._rid AS _rid,
    toInt64(bitShiftRight(reinterpret(_events._position, 'UInt256'), 161)) - 2208988800000001 AS _x,
    toUInt64(_events._flags0),
    _events._value0,
    _events._value1,
    _events._value2,
    _events._value3,
    _events._value4,
    _events._value5
FROM
(
    SELECT
        *,
        reinterpret(bitShiftLeft(toUInt256(greatest(_t - {delay:Int64} + 2208988800000001 + 1, 0)), 161) - 1, 'Decimal256(0)') AS _until
    FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL)
    WHERE _t - {delay:Int64} + 2208988800000001 >= 0
) AS _spine
ASOF JOIN
(
    SELECT
        assumeNotNull(`a`) AS _k0, assumeNotNull(`b`) AS _k1, 
        reinterpret(bitShiftLeft(toUInt256(toUnixTimestamp64Micro(`at`) + 2208988800000001), 161) + bitShiftLeft(toUInt256(if(isNull(`tie`), toUInt128(0), bitShiftLeft(toUInt128(1), 64) + bitXor(reinterpretAsUInt64(ifNull(`tie`, toInt64(0))), bitShiftLeft(toUInt64(1), 63)))), 96) + bitShiftLeft(toUInt256(_seq), 32) + _idx, 'Decimal256(0)') AS _position,
        toUInt8(toUInt64(1) + 2 * toUInt8(ifNull(`gone`, false)) + 4 * (isNull(`late`)) + 8 * (isNull(`seen`)) + 16 * (isNull(`tie`)) + 32 * (0) + 64 * (NOT `_has_times`) + 128 * (NOT `_has_flags`)) AS _flags0,
        toInt64(ifNull(`late`, false)) AS _value0,
        ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)) AS _value1,
        ifNull(`tie`, toInt64(0)) AS _value2,
        toUnixTimestamp64Micro(`at`) AS _value3,
        arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`) AS _value4,
        `flags` AS _value5
    FROM `events_trips`
    WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `a` IS NOT NULL AND `b` IS NOT NULL
        AND `at` <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
) AS _events
    ON _spine._k0 = _events._k0 AND _spine._k1 = _events._k1 AND _spine._until >= _events._position
ORDER BY _rid
