-- The rows of the user's SELECT in its order, in our types (rules V1 and S1).
INSERT INTO {{.Table}} (_rid, _t{{range .Columns}}, {{.Name}}{{with .Has}}, {{.}}{{end}}{{end}})
SELECT
    rowNumberInAllBlocks(),
    ifNull(_spine_{{.Time}}, toInt64(-9223372036854775808))
{{- range .Columns}},
    _spine_{{.Name}}
{{- with .Has}},
    true
{{- end}}
{{- end}}
FROM
(
    SELECT
{{- range $i, $c := .Columns}}{{if $i}},{{end}}
        {{$c.Expr}} AS _spine_{{$c.Name}}
{{- end}}
    FROM
    (
{{.Query}}    )
)
