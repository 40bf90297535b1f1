-- ASOF JOIN with the newest event of each key and time, so that ties come out right.
SELECT s.rid, s.t, s.label, e.f IS NOT NULL, e.f, e.n
FROM (SELECT rid, assumeNotNull(k) AS k, t, label FROM spine WHERE k IS NOT NULL) AS s
ASOF LEFT JOIN
(
    SELECT assumeNotNull(k) AS k, event_time, f, n
    FROM events_bench
    WHERE k IS NOT NULL
    ORDER BY event_time, _seq DESC, _idx DESC
    LIMIT 1 BY k, event_time
) AS e ON s.k = e.k AND s.t >= e.event_time
ORDER BY s.rid
SETTINGS join_use_nulls = 1
