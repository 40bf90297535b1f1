-- ASOF JOIN as one writes it by hand. Right only while no two events of a key have the same time.
SELECT s.rid, s.t, s.label, e.f IS NOT NULL, e.f, e.n
FROM (SELECT rid, assumeNotNull(k) AS k, t, label FROM spine WHERE k IS NOT NULL) AS s
ASOF LEFT JOIN (SELECT assumeNotNull(k) AS k, event_time, f, n FROM events_bench WHERE k IS NOT NULL) AS e
    ON s.k = e.k AND s.t >= e.event_time
ORDER BY s.rid
SETTINGS join_use_nulls = 1
