-- Events that are there already and have the id of a row of the copy.
INSERT INTO {{.Known}} (_time, _hash, {{join .ID ", "}})
SELECT {{.KnownTime}}, {{.KnownHash}}, {{join .KnownID ", "}}
FROM {{.Events}}
WHERE _gen IN {gens:Array(UInt64)}
    AND {{.KnownEventTime}} BETWEEN fromUnixTimestamp64Micro({first:Int64}, 'UTC') AND fromUnixTimestamp64Micro({last:Int64}, 'UTC')
    AND ({{join .KnownID ", "}}) IN (SELECT {{join .ID ", "}} FROM {{.Stage}} WHERE _bad = 0)
