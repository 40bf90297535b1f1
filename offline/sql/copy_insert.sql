INSERT INTO {{.Events}} ({{range .Into}}{{.Name}}, {{end}}_seq, _idx, _gen)
SELECT {{range .Into}}{{.Expr}}, {{end}}0, 0, {generation:UInt64}
FROM (SELECT * FROM {{.Stage}} WHERE {{template "added" .}} ORDER BY ifNull(_cursor, 0), {{.EventTime}}, {{.StageHash}})
