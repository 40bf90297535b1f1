-- What train.sql finds, for more events than fit into memory, for the clock "available" (rule S2) and for events that differ in
-- their columns alone (rule O2, by rank). An event can be seen from some time on, so it first goes to the earliest spine row of
-- its key that sees it; a spine row sees what went to it and to the rows before it. Only the spine is held in memory, events
-- stream past it.
SELECT
    _rid,
    toInt64(bitShiftRight(_p, 73)) - 2208988800000001 AS _x,
    _f0,
    _v0,
    _v1
FROM
(
    SELECT
        _rid,
        max(_bp) OVER seen AS _p,
        argMax(_bf0, _bp) OVER seen AS _f0,
        argMax(_bv0, _bp) OVER seen AS _v0,
        argMax(_bv1, _bp) OVER seen AS _v1
    FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL) AS _s
    LEFT JOIN
    (
        SELECT
            _first._rid AS _brid,
            max(_position) AS _bp,
            argMax(_flags0, _position) AS _bf0,
            argMax(_value0, _position) AS _bv0,
            argMax(_value1, _position) AS _bv1
        FROM
        (
            SELECT
                assumeNotNull(`k`) AS _k0, 
                toUnixTimestamp64Micro(`event_time`) AS _time,
                _time + {delay:Int64} AS _from,
                bitShiftLeft(toUInt128(toUnixTimestamp64Micro(`event_time`) + 2208988800000001), 73) + bitShiftLeft(toUInt128(_seq), 32) + _idx AS _position,
                toUInt64(1) + 2 * 0 + 4 * (isNull(`f`)) + 8 * (isNull(`n`)) AS _flags0,
                ifNull(`f`, toFloat64(0)) AS _value0,
                ifNull(`n`, toInt64(0)) AS _value1
            FROM `events_bench`
            WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
                AND `event_time` <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
        ) AS _events
        ASOF JOIN (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL) AS _first
            ON _events._k0 = _first._k0 AND _events._from <= _first._t
        GROUP BY _first._rid
    ) AS _best ON _s._rid = _best._brid
    WINDOW seen AS (PARTITION BY _s._k0 ORDER BY _s._t RANGE UNBOUNDED PRECEDING)
)
ORDER BY _rid
