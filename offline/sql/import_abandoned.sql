-- Imports that came to no end and that nobody has gone on with for long.
SELECT generation, toUnixTimestamp64Micro(max(at))
FROM imports
WHERE source = {source:String}
GROUP BY generation
HAVING argMax(state, at) = 'begun' AND max(at) < now64(6, 'UTC') - toIntervalSecond({age:Int64})
