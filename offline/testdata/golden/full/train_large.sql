-- What train.sql finds, for more events than fit into memory, for the clock "available" (rule S2) and for events that differ in
-- their columns alone (rule O2, by rank). An event can be seen from some time on, so it first goes to the earliest spine row of
-- its key that sees it; a spine row sees what went to it and to the rows before it. Only the spine is held in memory, events
-- stream past it.
SELECT
    _rid,
    toInt64(bitShiftRight(_p, 161)) - 2208988800000001 AS _x,
    _f0,
    _v0,
    _v1,
    _v2,
    _v3,
    _v4,
    _v5
FROM
(
    SELECT
        _rid,
        max(_bp) OVER seen AS _p,
        argMax(_bf0, _bp) OVER seen AS _f0,
        argMax(_bv0, _bp) OVER seen AS _v0,
        argMax(_bv1, _bp) OVER seen AS _v1,
        argMax(_bv2, _bp) OVER seen AS _v2,
        argMax(_bv3, _bp) OVER seen AS _v3,
        argMax(_bv4, _bp) OVER seen AS _v4,
        argMax(_bv5, _bp) OVER seen AS _v5
    FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL) AS _s
    LEFT JOIN
    (
        SELECT
            _first._rid AS _brid,
            max(_position) AS _bp,
            argMax(_flags0, _position) AS _bf0,
            argMax(_value0, _position) AS _bv0,
            argMax(_value1, _position) AS _bv1,
            argMax(_value2, _position) AS _bv2,
            argMax(_value3, _position) AS _bv3,
            argMax(_value4, _position) AS _bv4,
            argMax(_value5, _position) AS _bv5
        FROM
        (
            SELECT
                assumeNotNull(`a`) AS _k0, assumeNotNull(`b`) AS _k1, 
                toUnixTimestamp64Micro(`at`) AS _time,
                _time + {delay:Int64} AS _from,
                bitShiftLeft(toUInt256(toUnixTimestamp64Micro(`at`) + 2208988800000001), 161) + bitShiftLeft(toUInt256(if(isNull(`tie`), toUInt128(0), bitShiftLeft(toUInt128(1), 64) + bitXor(reinterpretAsUInt64(ifNull(`tie`, toInt64(0))), bitShiftLeft(toUInt64(1), 63)))), 96) + bitShiftLeft(toUInt256(_seq), 32) + _idx AS _position,
                toUInt64(1) + 2 * toUInt8(ifNull(`gone`, false)) + 4 * (isNull(`late`)) + 8 * (isNull(`seen`)) + 16 * (isNull(`tie`)) + 32 * (0) + 64 * (NOT `_has_times`) + 128 * (NOT `_has_flags`) AS _flags0,
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
        ASOF JOIN (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL) AS _first
            ON _events._k0 = _first._k0 AND _events._k1 = _first._k1 AND _events._from <= _first._t
        GROUP BY _first._rid
    ) AS _best ON _s._rid = _best._brid
    WINDOW seen AS (PARTITION BY _s._k0, _s._k1 ORDER BY _s._t RANGE UNBOUNDED PRECEDING)
)
ORDER BY _rid
