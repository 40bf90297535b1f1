SELECT
    _rid,
    _t
{{- range .Flags}},
    {{.}}
{{- end}}
{{- range .Columns}},
    {{.Expr}}
{{- end}}
FROM {{.Table}}
ORDER BY _rid
