-- What the windows of each spine row hold (rules W1 to W4). The event times of a key and the edges of its rows' windows are
-- merged in order of time; how many values come before an edge says which range of the key's values, in order of position,
-- lies between two of them. All lower edges of a window are in the order of the upper ones, and so are their counts.
-- A number is a time and, in its low bits, an edge; 0 is an event, which comes before the edges of its instant.
SELECT
    _rid,
    _y0,
    _y1
FROM
(
    SELECT
        _rids,
        arrayMap(_r -> toInt64(_r.2), _r0_2) AS _ys0,
        arrayReduceInRanges('sum', _r1_2, _a1) AS _ys1
    FROM
    (
        SELECT
            _rids,
            _a1,
            arrayMap((_h, _l) -> (toUInt64(_l + 1), toUInt64(_h - _l)), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 1, _n0, _m0), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 2, _n0, _m0)) AS _r0_2,
            arrayMap((_h, _l) -> (toUInt64(_l + 1), toUInt64(_h - _l)), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 1, _n1, _m1), arrayFilter((_n, _m) -> bitAnd(_m, 3) = 2, _n1, _m1)) AS _r1_2
        FROM
        (
            SELECT
                *,
                arrayCumSum(arrayMap(_m -> bitAnd(_m, 3) = 0, _m0)) AS _n0,
                arrayCumSum(arrayMap(_m -> bitAnd(_m, 3) = 0, _m1)) AS _n1
            FROM
            (
                SELECT
                    _rids,
                    arraySort(arrayConcat(_c0, arrayMap(_hi -> _hi * 4 + 1, _his), arrayMap(_hi -> (_hi - {width2:Int64}) * 4 + 2, _his))) AS _m0,
                    _a1,
                    arraySort(arrayConcat(_c1, arrayMap(_hi -> _hi * 4 + 1, _his), arrayMap(_hi -> (_hi - {width2:Int64}) * 4 + 2, _his))) AS _m1
                FROM
                (
                    SELECT
                        _k0,
                        groupArray(_t - {delay:Int64}) AS _unsorted,
                        arraySort(_unsorted) AS _his,
                        arraySort((_r, _hi) -> _hi, groupArray(_rid), _unsorted) AS _rids
                    FROM (SELECT _rid, _t, assumeNotNull(`c0`) AS _k0 FROM `tmp_spine_1` WHERE `c0` IS NOT NULL)
                    WHERE _rid >= {from:UInt64} AND _rid < {to:UInt64}
                    GROUP BY _k0
                ) AS _asked
                LEFT JOIN
                (
                    SELECT
                        _k0,
                        arraySort(groupArrayIf(_x * 4, _h0 = 1)) AS _c0,
                        arraySort(groupArrayIf(_x * 4, _h1 = 1)) AS _c1,
                        arraySort((_v, _p) -> _p, groupArrayIf(_v1, _h1 = 1), groupArrayIf(_x, _h1 = 1)) AS _a1
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
                    GROUP BY _k0
                ) AS _held
                ON _asked._k0 = _held._k0
            )
        )
    )
)
ARRAY JOIN
    _rids AS _rid,
    _ys0 AS _y0,
    _ys1 AS _y1
ORDER BY _rid
