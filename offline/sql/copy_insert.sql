-- Rows of a copy arrive in the order of the cursor (rule E1).
INSERT INTO {{.Events}} ({{range .Into}}{{.Name}}, {{end}}_seq, _idx, _gen, _row)
SELECT {{range .Into}}{{.Expr}}, {{end}}0, 0, {generation:UInt64}, _number - 1
FROM
(
    SELECT *, row_number() OVER (ORDER BY ifNull(_cursor, 0), {{.EventTime}}, {{.StageHash}}) AS _number
    FROM {{.Stage}}
    WHERE {{template "added" .}}
)
