SELECT 'watermark' AS what, log, toUInt64(0) AS first, max(seq) AS last
FROM watermarks
GROUP BY log
UNION ALL
SELECT 'batch', log, argMax(first, last), max(last) AS upto
FROM sink_batches
GROUP BY log
