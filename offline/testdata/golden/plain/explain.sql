-- The newest visible events of a key, each with its whole position and when it was available.
SELECT
    toUnixTimestamp64Micro(`event_time`) AS _x,
    _seq,
    _idx,
    _gen,
    _row,
    toUnixTimestamp64Micro(_available_at) AS _available,
    toUInt64(1) + 2 * 0 + 4 * (isNull(`f`)) + 8 * (isNull(`n`)) AS _f0,
    ifNull(`f`, toFloat64(0)) AS _v0,
    ifNull(`n`, toInt64(0)) AS _v1
FROM `events_bench`
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
    AND `event_time` <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
    AND (`k`) IN (SELECT _k0 FROM _keys)
ORDER BY `event_time` DESC, _seq DESC, _idx DESC, _gen DESC, _row DESC
LIMIT {limit:UInt64}
