-- Some keys that have a visible event at or before hi, the same ones each time.
SELECT
    assumeNotNull(`a`) AS _k0,
    assumeNotNull(`b`) AS _k1
FROM `events_trips`
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `a` IS NOT NULL AND `b` IS NOT NULL
    AND `at` <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
GROUP BY _k0, _k1
ORDER BY sipHash64(_k0, _k1, {salt:Int64}), _k0, _k1
LIMIT {n:Int64}
