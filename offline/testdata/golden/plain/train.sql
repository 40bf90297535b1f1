-- The newest event that each spine row sees (rules T3, O and R1): the last one whose position is below all positions of later
-- times than hi. Joining by the whole position instead of the time makes equal times come out right.
SELECT
    _spine._rid AS _rid,
    toInt64(bitShiftRight(reinterpret(_events._position, 'UInt128'), 73)) - 2208988800000001 AS _x,
    toUInt64(_events._flags0),
    _events._value0,
    _events._value1
FROM
(
    SELECT
        *,
        reinterpret(bitShiftLeft(toUInt128(greatest(_t - {delay:Int64} + 2208988800000001 + 1, 0)), 73) - 1, 'Decimal128(0)') AS _until
    FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL)
    WHERE _t - {delay:Int64} + 2208988800000001 >= 0
) AS _spine
ASOF JOIN
(
    SELECT
        assumeNotNull(`k`) AS _k0, 
        reinterpret(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(`event_time`) + 2208988800000001), 73) + bitShiftLeft(toUInt128(_seq), 32) + _idx, 'Decimal128(0)') AS _position,
        toUInt8(toUInt64(1) + 2 * 0 + 4 * (isNull(`f`)) + 8 * (isNull(`n`))) AS _flags0,
        ifNull(`f`, toFloat64(0)) AS _value0,
        ifNull(`n`, toInt64(0)) AS _value1
    FROM `events_bench`
    WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
        AND `event_time` <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
) AS _events
    ON _spine._k0 = _events._k0 AND _spine._until >= _events._position
ORDER BY _rid
