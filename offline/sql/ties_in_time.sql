-- How many imported events have the time and tiebreak of another one (rule O1), whatever their keys.
SELECT count()
FROM
(
    SELECT
        _time,
        _order,
        lagInFrame(_time, 1) OVER neighbours AS _time_before,
        lagInFrame(_order, 1) OVER neighbours AS _order_before,
        row_number() OVER neighbours AS _row
    FROM
    (
        SELECT {{.EventTime}} AS _time, {{.TieOrder}} AS _order
        FROM {{.Table}}
        WHERE {{template "visible" .}} AND _gen != 0
    )
    WINDOW neighbours AS (ORDER BY _time, _order ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE _row > 1 AND _time = _time_before AND _order = _order_before
