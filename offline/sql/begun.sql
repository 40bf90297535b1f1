SELECT _seq, _idx
FROM {{.Table}}
WHERE _gen = 0 AND _seq BETWEEN {first:UInt64} AND {last:UInt64}
    AND {{.EventTime}} BETWEEN fromUnixTimestamp64Micro({from:Int64}, 'UTC') AND fromUnixTimestamp64Micro({to:Int64}, 'UTC')
