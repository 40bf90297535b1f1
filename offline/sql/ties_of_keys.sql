-- Whether two imported events of one key have the same time and tiebreak (rule O1).
SELECT count()
FROM
(
    SELECT 1
    FROM {{.Table}}
    WHERE {{template "visible" .}} AND _gen != 0
    GROUP BY {{.EventTime}}, {{.TieOrder}}, {{join .Keys ", "}}
    HAVING count() > 1
    LIMIT 1
)
