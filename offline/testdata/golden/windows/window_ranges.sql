-- What the windows of each spine row hold (rules W1 to W4). The event times of a key and the edges of its rows' windows are
-- merged in order of time; how many values come before an edge says which range of the key's values, in order of position,
-- lies between two of them. All lower edges of a window are in the order of the upper ones, and so are their counts.
-- A number is a time and, in its low bits, an edge; 0 is an event, which comes before the edges of its instant.
SELECT
    _rid,
    _y0,
    _y1,
    toFloat64(_y2),
    _y3,
    _y4,
    _y5,
    _y6,
    _y7,
    _y8,
    _y9,
    _y10,
    _y11,
    toInt64(_y12)
FROM
(
    SELECT
        _rids,
        arrayMap(_r -> toInt64(_r.2), _r0_2) AS _ys0,
        arrayMap(_r -> toInt64(_r.2), _r1_2) AS _ys1,
        arrayReduceInRanges('sum', _r1_2, arrayMap(_v -> toInt128(_v), _a1)) AS _ys2,
        arrayMap(_r -> toInt64(_r.2), _r2_0) AS _ys3,
        arrayReduceInRanges('varPopStable', _r2_0, _a2) AS _ys4,
        arrayReduceInRanges('max', _r2_3, _a2) AS _ys5,
        arrayMap(_r -> toInt64(_r.2), _r2_3) AS _ys6,
        arrayReduceInRanges('any', arrayMap(_r -> (_r.1 + _r.2 - least(_r.2, toUInt64(1)), least(_r.2, toUInt64(1))), _r3_2), _a3) AS _ys7,
        arrayMap(_r -> toInt64(_r.2), _r3_2) AS _ys8,
        arrayReduceInRanges('groupArray(5)', arrayMap(_r -> (_r.1 + _r.2 - least(_r.2, toUInt64(5)), least(_r.2, toUInt64(5))), _r3_2), _a3) AS _ys9,
        arrayMap(_t -> arraySlice(arrayMap(_p -> _p.2, arraySort(_p -> (-toInt64(_p.1), _p.2), arrayZip(_t.2, _t.1))), 1, 3), arrayReduceInRanges('sumMap', _r3_2, arrayMap(_v -> [_v], _a3), arrayMap(_v -> [toUInt64(1)], _a3))) AS _ys10,
        arrayMap(_r -> toInt64(_r.2), _r2_2) AS _ys11,
        arrayReduceInRanges('quantileExactWeighted(0.9)', _r2_2, arrayMap(_v -> toUInt32(bitShiftRight(if(bitTest(reinterpretAsUInt64(toFloat64(_v)), 63), bitNot(reinterpretAsUInt64(toFloat64(_v))), bitOr(reinterpretAsUInt64(toFloat64(_v)), bitShiftLeft(toUInt64(1), 63))), 45)), _a2), arrayMap(_v -> toUInt64(1), _a2)) AS _ys12
    FROM
    (
        SELECT
            _rids,
            _a1,
            _a2,
            _a3,
            arrayMap((_h, _l) -> (toUInt64(_l + 1), toUInt64(_h - _l)), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 1, _n0, _m0), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 2, _n0, _m0)) AS _r0_2,
            arrayMap((_h, _l) -> (toUInt64(_l + 1), toUInt64(_h - _l)), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 1, _n1, _m1), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 2, _n1, _m1)) AS _r1_2,
            arrayMap(_h -> (toUInt64(1), toUInt64(_h)), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 1, _n2, _m2)) AS _r2_0,
            arrayMap((_h, _l) -> (toUInt64(_l + 1), toUInt64(_h - _l)), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 1, _n2, _m2), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 3, _n2, _m2)) AS _r2_3,
            arrayMap((_h, _l) -> (toUInt64(_l + 1), toUInt64(_h - _l)), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 1, _n3, _m3), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 2, _n3, _m3)) AS _r3_2,
            arrayMap((_h, _l) -> (toUInt64(_l + 1), toUInt64(_h - _l)), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 1, _n2, _m2), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 2, _n2, _m2)) AS _r2_2
        FROM
        (
            SELECT
                *,
                arrayCumSum(arrayMap(_m -> bitAnd(_m, 3) = 0, _m0)) AS _n0,
                arrayCumSum(arrayMap(_m -> bitAnd(_m, 3) = 0, _m1)) AS _n1,
                arrayCumSum(arrayMap(_m -> bitAnd(_m, 3) = 0, _m2)) AS _n2,
                arrayCumSum(arrayMap(_m -> bitAnd(_m, 3) = 0, _m3)) AS _n3
            FROM
            (
                SELECT
                    _rids,
                    arraySort(arrayConcat(_c0, arrayMap(_hi -> _hi * 4 + 1, _his), arrayMap(_hi -> (_hi - {width2:Int64}) * 4 + 2, _his))) AS _m0,
                    _a1,
                    arraySort(arrayConcat(_c1, arrayMap(_hi -> _hi * 4 + 1, _his), arrayMap(_hi -> (_hi - {width2:Int64}) * 4 + 2, _his))) AS _m1,
                    _a2,
                    arraySort(arrayConcat(_c2, arrayMap(_hi -> _hi * 4 + 1, _his), arrayMap(_hi -> (_hi - {width2:Int64}) * 4 + 2, _his), arrayMap(_hi -> (_hi - {width3:Int64} - positiveModulo(_hi - {width3:Int64}, {hop3:Int64})) * 4 + 3, _his))) AS _m2,
                    _a3,
                    arraySort(arrayConcat(_c3, arrayMap(_hi -> _hi * 4 + 1, _his), arrayMap(_hi -> (_hi - {width2:Int64}) * 4 + 2, _his))) AS _m3
                FROM
                (
                    SELECT
                        _k0, _k1,
                        groupArray(_t - {delay:Int64}) AS _unsorted,
                        arraySort(_unsorted) AS _his,
                        arraySort((_r, _hi) -> _hi, groupArray(_rid), _unsorted) AS _rids
                    FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0, assumeNotNull(`c1`) AS _k1 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL AND `c1` IS NOT NULL)
                    WHERE _rid >= {from:UInt64} AND _rid < {to:UInt64}
                    GROUP BY _k0, _k1
                ) AS _asked
                LEFT JOIN
                (
                    SELECT
                        _k0, _k1,
                        arraySort(groupArrayIf(_x * 4, _h0 = 1)) AS _c0,
                        arraySort(groupArrayIf(_x * 4, _h1 = 1)) AS _c1,
                        arraySort((_v, _p) -> _p, groupArrayIf(_v1, _h1 = 1), groupArrayIf(_position, _h1 = 1)) AS _a1,
                        arraySort(groupArrayIf(_x * 4, _h2 = 1)) AS _c2,
                        arraySort((_v, _p) -> _p, groupArrayIf(_v2, _h2 = 1), groupArrayIf(_position, _h2 = 1)) AS _a2,
                        arraySort(groupArrayIf(_x * 4, _h3 = 1)) AS _c3,
                        arraySort((_v, _p) -> _p, groupArrayIf(_v3, _h3 = 1), groupArrayIf(_position, _h3 = 1)) AS _a3
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
        )
    )
)
ARRAY JOIN
    _rids AS _rid,
    _ys0 AS _y0,
    _ys1 AS _y1,
    _ys2 AS _y2,
    _ys3 AS _y3,
    _ys4 AS _y4,
    _ys5 AS _y5,
    _ys6 AS _y6,
    _ys7 AS _y7,
    _ys8 AS _y8,
    _ys9 AS _y9,
    _ys10 AS _y10,
    _ys11 AS _y11,
    _ys12 AS _y12
ORDER BY _rid
