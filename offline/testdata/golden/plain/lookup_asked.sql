-- The newest visible event of each key asked for (rules T3, K, O and R1).
SELECT
    assumeNotNull(`k`) AS _k0,
    toUnixTimestamp64Micro(`event_time`) AS _x,
    _seq,
    _idx,
    toUInt64(1) + 2 * 0 + 4 * (isNull(`f`)) + 8 * (isNull(`n`)) AS _f0,
    ifNull(`f`, toFloat64(0)) AS _v0,
    ifNull(`n`, toInt64(0)) AS _v1
FROM (SELECT `k`, `event_time`, `f`, `n`, _available_at, _row, _seq, _idx, _gen FROM `events_bench` WHERE _seq < {seq:UInt64} UNION ALL SELECT `k`, fromUnixTimestamp64Micro(`_us_event_time`, 'UTC') AS `event_time`, `f`, `n`, `event_time` AS _available_at, toUInt64(0) AS _row, {seq:UInt64} AS _seq, _idx, toUInt64(0) AS _gen FROM _asked)
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
    AND `event_time` <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
    AND (`k`) IN (SELECT _k0 FROM _keys)
ORDER BY _k0, `event_time` DESC, _seq DESC, _idx DESC
LIMIT 1 BY _k0
