-- Some keys that have a visible event at or before hi, the same ones each time.
SELECT
    assumeNotNull(`k`) AS _k0
FROM `events_bench`
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
    AND `event_time` <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
GROUP BY _k0
ORDER BY sipHash64(_k0, {salt:Int64}), _k0
LIMIT {n:Int64}
