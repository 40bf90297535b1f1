-- Of each key the newest event at or before keep, and of each later event time the newest event (rule C4).
SELECT
    assumeNotNull(`k`) AS _k0,
    toUnixTimestamp64Micro(`event_time`) AS _x,
    _seq,
    _idx,
    toUInt64(1) + 2 * 0 + 4 * (isNull(`f`)) + 8 * (isNull(`n`)) AS _f0,
    ifNull(`f`, toFloat64(0)) AS _v0,
    ifNull(`n`, toInt64(0)) AS _v1
FROM `events_bench`
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
    AND (`event_time` > fromUnixTimestamp64Micro({from:Int64}, 'UTC')
        OR (`k`, `event_time`) IN
        (
            SELECT `k`, max(`event_time`)
            FROM `events_bench`
            WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
                AND `event_time` <= fromUnixTimestamp64Micro({keep:Int64}, 'UTC')
            GROUP BY `k`
        ))
ORDER BY _k0, `event_time` DESC, _seq DESC, _idx DESC
LIMIT 1 BY _k0, _x
