-- The twelve card features in plain SQL: window functions over whole seconds, where every event is a row that is asked for.
SELECT c.tx_id, c.count_1d, c.avg_1d, c.count_7d, c.avg_7d, c.count_30d, c.avg_30d, t.count_1d, t.avg_1d, t.count_7d, t.avg_7d, t.count_30d, t.avg_30d
FROM
(
    SELECT tx_id,
        count() OVER d1 AS count_1d, avg(amount) OVER d1 AS avg_1d,
        count() OVER d7 AS count_7d, avg(amount) OVER d7 AS avg_7d,
        count() OVER d30 AS count_30d, avg(amount) OVER d30 AS avg_30d
    FROM (SELECT tx_id, customer_id, amount, toInt64(toUnixTimestamp(at)) AS s FROM events_cards)
    WINDOW
        d1 AS (PARTITION BY customer_id ORDER BY s RANGE BETWEEN 86399 PRECEDING AND CURRENT ROW),
        d7 AS (PARTITION BY customer_id ORDER BY s RANGE BETWEEN 604799 PRECEDING AND CURRENT ROW),
        d30 AS (PARTITION BY customer_id ORDER BY s RANGE BETWEEN 2591999 PRECEDING AND CURRENT ROW)
) AS c
INNER JOIN
(
    SELECT tx_id,
        count() OVER d1 AS count_1d, avg(fraud) OVER d1 AS avg_1d,
        count() OVER d7 AS count_7d, avg(fraud) OVER d7 AS avg_7d,
        count() OVER d30 AS count_30d, avg(fraud) OVER d30 AS avg_30d
    FROM (SELECT tx_id, terminal_id, fraud, toInt64(toUnixTimestamp(at)) AS s FROM events_cards)
    WINDOW
        d1 AS (PARTITION BY terminal_id ORDER BY s RANGE BETWEEN 691199 PRECEDING AND 604800 PRECEDING),
        d7 AS (PARTITION BY terminal_id ORDER BY s RANGE BETWEEN 1209599 PRECEDING AND 604800 PRECEDING),
        d30 AS (PARTITION BY terminal_id ORDER BY s RANGE BETWEEN 3196799 PRECEDING AND 604800 PRECEDING)
) AS t ON c.tx_id = t.tx_id
ORDER BY c.tx_id
