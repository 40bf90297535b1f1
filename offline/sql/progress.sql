SELECT 'watermark' AS what, log, toUInt64(0) AS first, max(seq) AS last, argMax(reached_at, seq) AS at
FROM watermarks
GROUP BY log
UNION ALL
SELECT 'batch', log, argMax(first, last), max(last) AS upto, argMax(begun_at, last)
FROM sink_batches
GROUP BY log
