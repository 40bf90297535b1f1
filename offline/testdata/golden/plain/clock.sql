-- The clock of a view (rule C4), and how many events it is over.
SELECT count(), max(least(toUnixTimestamp64Micro(`event_time`), toUnixTimestamp64Micro(_available_at)))
FROM `events_bench`
WHERE _seq <= {seq:UInt64} AND _gen IN {gens:Array(UInt64)} AND `k` IS NOT NULL
