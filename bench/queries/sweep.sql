-- One sweep over events and spine rows that carries the newest event column by column.
SELECT rid, t, label, m, if(fn, NULL, f), if(nn, NULL, n)
FROM
(
    SELECT rid, s, x AS t, label, anyLastIf(toUInt8(1), s = 0) OVER w AS m,
        anyLastIf(ifNull(f, 0), s = 0) OVER w AS f, anyLastIf(isNull(f), s = 0) OVER w AS fn,
        anyLastIf(ifNull(n, 0), s = 0) OVER w AS n, anyLastIf(isNull(n), s = 0) OVER w AS nn
    FROM
    (
        SELECT assumeNotNull(k) AS k, event_time AS x, 0 AS s, _seq AS q, f, n, 0 AS rid, NULL::Nullable(Int64) AS label FROM events_bench WHERE k IS NOT NULL
        UNION ALL
        SELECT assumeNotNull(k), t, 1, 0, NULL, NULL, rid, label FROM spine WHERE k IS NOT NULL
    )
    WINDOW w AS (PARTITION BY k ORDER BY x, s, q ROWS UNBOUNDED PRECEDING)
)
WHERE s = 1
ORDER BY rid
