-- What the windows of each spine row hold (rules W1 to W4). A sweep over events and edges of windows, in order of time, counts
-- the values of a key up to each edge; between the counts at two edges lies a window, which is a range of the key's values in
-- order of position.
SELECT
    _rid,
    _e0,
    _e1,
    _e2,
    _e3,
    _e4,
    _e5,
    _e6,
    _y0,
    _y1,
    _y2,
    _y3,
    _y4,
    toInt64(_y5)
FROM
(
    SELECT
        _rids,
        _es0,
        _es1,
        _es2,
        _es3,
        _es4,
        _es5,
        _es6,
        arrayReduceInRanges('varPopStable', _r2_0, _a2) AS _ys0,
        arrayReduceInRanges('max', _r2_3, _a2) AS _ys1,
        arrayReduceInRanges('any', arrayMap(_r -> (_r.1 + _r.2 - least(_r.2, toUInt64(1)), least(_r.2, toUInt64(1))), _r3_2), _a3) AS _ys2,
        arrayReduceInRanges('groupArray(5)', arrayMap(_r -> (_r.1 + _r.2 - least(_r.2, toUInt64(5)), least(_r.2, toUInt64(5))), _r3_2), _a3) AS _ys3,
        arrayMap(_t -> arraySlice(arrayMap(_p -> _p.2, arraySort(_p -> (-toInt64(_p.1), _p.2), arrayZip(_t.2, _t.1))), 1, 3), arrayReduceInRanges('sumMap', _r3_2, arrayMap(_v -> [_v], _a3), arrayMap(_v -> [toUInt64(1)], _a3))) AS _ys4,
        arrayReduceInRanges('quantileExactWeighted(0.9)', _r2_2, arrayMap(_v -> toUInt32(bitShiftRight(if(bitTest(reinterpretAsUInt64(toFloat64(_v)), 63), bitNot(reinterpretAsUInt64(toFloat64(_v))), bitOr(reinterpretAsUInt64(toFloat64(_v)), bitShiftLeft(toUInt64(1), 63))), 45)), _a2), arrayMap(_v -> toUInt64(1), _a2)) AS _ys5
    FROM
    (
        SELECT
            _k0, _k1,
            groupArray(_rid) AS _rids,
            groupArray(toInt64(_n0_1 - _n0_2)) AS _es0,
            groupArray(toInt64(_n1_1 - _n1_2)) AS _es1,
            groupArray(toFloat64(_w1_1 - _w1_2)) AS _es2,
            groupArray(toInt64(_n2_1 - 0)) AS _es3,
            groupArray(toInt64(_n2_1 - _n2_3)) AS _es4,
            groupArray(toInt64(_n3_1 - _n3_2)) AS _es5,
            groupArray(toInt64(_n2_1 - _n2_2)) AS _es6,
            groupArray((toUInt64(0 + 1), toUInt64(_n2_1 - 0))) AS _r2_0,
            groupArray((toUInt64(_n2_3 + 1), toUInt64(_n2_1 - _n2_3))) AS _r2_3,
            groupArray((toUInt64(_n3_2 + 1), toUInt64(_n3_1 - _n3_2))) AS _r3_2,
            groupArray((toUInt64(_n2_2 + 1), toUInt64(_n2_1 - _n2_2))) AS _r2_2
        FROM
        (
SELECT
    _rid,
    any(_k0) AS _k0,
    any(_k1) AS _k1,
    anyIf(_n0, _b = 1) AS _n0_1,
    anyIf(_n0, _b = 2) AS _n0_2,
    anyIf(_n0, _b = 3) AS _n0_3,
    anyIf(_n1, _b = 1) AS _n1_1,
    anyIf(_w1, _b = 1) AS _w1_1,
    anyIf(_n1, _b = 2) AS _n1_2,
    anyIf(_w1, _b = 2) AS _w1_2,
    anyIf(_n1, _b = 3) AS _n1_3,
    anyIf(_w1, _b = 3) AS _w1_3,
    anyIf(_n2, _b = 1) AS _n2_1,
    anyIf(_n2, _b = 2) AS _n2_2,
    anyIf(_n2, _b = 3) AS _n2_3,
    anyIf(_n3, _b = 1) AS _n3_1,
    anyIf(_n3, _b = 2) AS _n3_2,
    anyIf(_n3, _b = 3) AS _n3_3
FROM
(
    SELECT
        _rid, _b, _k0, _k1,
        sum(_h0) OVER sweep AS _n0,
        sum(_h1) OVER sweep AS _n1,
        sum(toInt128(_i1)) OVER sweep AS _w1,
        sum(_h2) OVER sweep AS _n2,
        sum(_h3) OVER sweep AS _n3
    FROM
    (
        SELECT
            _k0, _k1, _x, toUInt8(0) AS _b, toUInt64(0) AS _rid, _h0, _h1, if(_h1 = 1, _v1, 0) AS _i1, _h2, _h3
        FROM (
    SELECT
        assumeNotNull(`a`) AS _k0, assumeNotNull(`b`) AS _k1, 
        toUnixTimestamp64Micro(`at`) AS _x,
        row_number() OVER (PARTITION BY _k0, _k1 ORDER BY _x, toUInt8(NOT isNull(`tie`)), ifNull(`tie`, toInt64(0)), _seq, _idx, toUInt8(NOT isNull(`day`)), ifNull(toUnixTimestamp64Micro(`day`), toInt64(0)), toUInt8(NOT NOT `_has_flags`), `flags`, toUInt8(NOT isNull(`gone`)), toInt64(ifNull(`gone`, false)), toUInt8(NOT isNull(`late`)), toInt64(ifNull(`late`, false)), toUInt8(NOT isNull(`note`)), ifNull(`note`, ''), toUInt8(NOT isNull(`origin`)), ifNull(`origin`, ''), toUInt8(NOT isNull(`price`)), ifNull(`price`, toFloat64(0)), toUInt8(NOT isNull(`seen`)), ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)), toUInt8(NOT NOT `_has_stops`), `stops`, toUInt8(NOT NOT `_has_times`), arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`)) AS _position,
        toUInt8(NOT (0)) AS _h0,
        toInt64(1) AS _v0,
        toUInt8(NOT (NOT ifNull(`late`, false) OR (isNull(`tie`)))) AS _h1,
        ifNull(`tie`, toInt64(0)) AS _v1,
        toUInt8(NOT (isNull(`price`))) AS _h2,
        ifNull(`price`, toFloat64(0)) AS _v2,
        toUInt8(NOT (isNull(`note`))) AS _h3,
        ifNull(`note`, '') AS _v3,
        toUInt8(NOT (isNull(`tie`))) AS _h4,
        ifNull(`tie`, toInt64(0)) AS _v4
    FROM `events_trips`
    WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `a` IS NOT NULL AND `b` IS NOT NULL
        AND toUInt8(ifNull(`gone`, false)) = 0
        AND `at` > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND `at` <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
        AND (`a`, `b`) IN (SELECT _k0, _k1 FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL))
)
        UNION ALL
        SELECT
            _k0, _k1, _edge AS _x, _number AS _b, _rid, toUInt8(0) AS _h0, toUInt8(0) AS _h1, toInt64(0) AS _i1, toUInt8(0) AS _h2, toUInt8(0) AS _h3
        FROM (SELECT *, _t - {delay:Int64} AS _hi FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL))
        ARRAY JOIN
            [_hi, _hi - {width2:Int64}, _hi - {width3:Int64} - positiveModulo(_hi - {width3:Int64}, {hop3:Int64})] AS _edge,
            [toUInt8(1), toUInt8(2), toUInt8(3)] AS _number
    )
    WINDOW sweep AS (PARTITION BY _k0, _k1 ORDER BY _x, _b ROWS UNBOUNDED PRECEDING)
)
WHERE _b > 0
GROUP BY _rid
        )
        GROUP BY _k0, _k1
    ) AS _asked
    LEFT JOIN
    (
        SELECT
            _k0, _k1,
            arrayMap(_e -> _e.2, arraySort(_e -> _e.1, groupArrayIf((_position, _v2), _h2 = 1))) AS _a2,
            arrayMap(_e -> _e.2, arraySort(_e -> _e.1, groupArrayIf((_position, _v3), _h3 = 1))) AS _a3
        FROM (
    SELECT
        assumeNotNull(`a`) AS _k0, assumeNotNull(`b`) AS _k1, 
        toUnixTimestamp64Micro(`at`) AS _x,
        row_number() OVER (PARTITION BY _k0, _k1 ORDER BY _x, toUInt8(NOT isNull(`tie`)), ifNull(`tie`, toInt64(0)), _seq, _idx, toUInt8(NOT isNull(`day`)), ifNull(toUnixTimestamp64Micro(`day`), toInt64(0)), toUInt8(NOT NOT `_has_flags`), `flags`, toUInt8(NOT isNull(`gone`)), toInt64(ifNull(`gone`, false)), toUInt8(NOT isNull(`late`)), toInt64(ifNull(`late`, false)), toUInt8(NOT isNull(`note`)), ifNull(`note`, ''), toUInt8(NOT isNull(`origin`)), ifNull(`origin`, ''), toUInt8(NOT isNull(`price`)), ifNull(`price`, toFloat64(0)), toUInt8(NOT isNull(`seen`)), ifNull(toUnixTimestamp64Micro(`seen`), toInt64(0)), toUInt8(NOT NOT `_has_stops`), `stops`, toUInt8(NOT NOT `_has_times`), arrayMap(_e -> toUnixTimestamp64Micro(_e), `times`)) AS _position,
        toUInt8(NOT (0)) AS _h0,
        toInt64(1) AS _v0,
        toUInt8(NOT (NOT ifNull(`late`, false) OR (isNull(`tie`)))) AS _h1,
        ifNull(`tie`, toInt64(0)) AS _v1,
        toUInt8(NOT (isNull(`price`))) AS _h2,
        ifNull(`price`, toFloat64(0)) AS _v2,
        toUInt8(NOT (isNull(`note`))) AS _h3,
        ifNull(`note`, '') AS _v3,
        toUInt8(NOT (isNull(`tie`))) AS _h4,
        ifNull(`tie`, toInt64(0)) AS _v4
    FROM `events_trips`
    WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `a` IS NOT NULL AND `b` IS NOT NULL
        AND toUInt8(ifNull(`gone`, false)) = 0
        AND `at` > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND `at` <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
        AND (`a`, `b`) IN (SELECT _k0, _k1 FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL))
)
        GROUP BY _k0, _k1
    ) AS _held
    ON _asked._k0 = _held._k0 AND _asked._k1 = _held._k1
)
ARRAY JOIN
    _rids AS _rid,
    _es0 AS _e0,
    _es1 AS _e1,
    _es2 AS _e2,
    _es3 AS _e3,
    _es4 AS _e4,
    _es5 AS _e5,
    _es6 AS _e6,
    _ys0 AS _y0,
    _ys1 AS _y1,
    _ys2 AS _y2,
    _ys3 AS _y3,
    _ys4 AS _y4,
    _ys5 AS _y5
ORDER BY _rid
