-- One sweep over events and spine rows that carries the newest event as a tuple.
SELECT rid, t, label, l.1, l.2, l.3
FROM
(
    SELECT rid, s, x AS t, label, argMaxIf((1, f, n), (x, q), s = 0) OVER (PARTITION BY k ORDER BY x, s, q ROWS UNBOUNDED PRECEDING) AS l
    FROM
    (
        SELECT assumeNotNull(k) AS k, event_time AS x, 0 AS s, _seq AS q, f, n, 0 AS rid, NULL::Nullable(Int64) AS label FROM events_bench WHERE k IS NOT NULL
        UNION ALL
        SELECT assumeNotNull(k), t, 1, 0, NULL, NULL, rid, label FROM spine WHERE k IS NOT NULL
    )
)
WHERE s = 1
ORDER BY rid
