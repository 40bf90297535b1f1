-- What the windows of each spine row hold (rules W1 to W4). A sweep over events and edges of windows, in order of time, counts
-- the values of a key up to each edge; between the counts at two edges lies a window, which is a range of the key's values in
-- order of position.
SELECT
    _rid,
    toInt64(_n0_1 - _n0_2),
    _s1_1 - _s1_2
FROM
(
SELECT
    _rid,
    any(_k0) AS _k0,
    anyIf(_n0, _b = 1) AS _n0_1,
    anyIf(_n0, _b = 2) AS _n0_2,
    anyIf(_n1, _b = 1) AS _n1_1,
    anyIf(_s1, _b = 1) AS _s1_1,
    anyIf(_n1, _b = 2) AS _n1_2,
    anyIf(_s1, _b = 2) AS _s1_2
FROM
(
    SELECT
        _rid, _b, _k0,
        sum(_h0) OVER sweep AS _n0,
        sum(_h1) OVER sweep AS _n1,
        sum(_i1) OVER sweep AS _s1
    FROM
    (
        SELECT
            _k0, _x, toUInt8(0) AS _b, toUInt64(0) AS _rid, _h0, _h1, if(_h1 = 1, _v1, 0) AS _i1
        FROM (
    SELECT
        assumeNotNull(`k`) AS _k0, 
        toUnixTimestamp64Micro(`event_time`) AS _x,
        toUInt8(NOT (0)) AS _h0,
        toInt64(1) AS _v0,
        toUInt8(NOT (isNull(`n`))) AS _h1,
        ifNull(`n`, toInt64(0)) AS _v1
    FROM `events_bench`
    WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
        AND 0 = 0
        AND `event_time` > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND `event_time` <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
)
        UNION ALL
        SELECT
            _k0, _edge AS _x, _number AS _b, _rid, toUInt8(0) AS _h0, toUInt8(0) AS _h1, toInt64(0) AS _i1
        FROM (SELECT *, _t - {delay:Int64} AS _hi FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL))
        ARRAY JOIN
            [_hi, _hi - {width2:Int64}] AS _edge,
            [toUInt8(1), toUInt8(2)] AS _number
    )
    WINDOW sweep AS (PARTITION BY _k0 ORDER BY _x, _b ROWS UNBOUNDED PRECEDING)
)
WHERE _b > 0
GROUP BY _rid
)
ORDER BY _rid
