SELECT
{{- range $i, $f := .Flags}}{{if $i}},{{end}}
    {{$f}}
{{- end}}
{{- range .Values}},
    {{.Expr}}
{{- end}}
FROM
(
    SELECT
{{- range $i, $c := .Columns}}{{if $i}},{{end}}
        _look_{{$c.Name}} AS {{$c.Name}}
{{- end}}
    FROM
    (
        SELECT
{{- range $i, $c := .Columns}}{{if $i}},{{end}}
            {{$c.Expr}} AS _look_{{$c.Name}}
{{- end}}
        FROM
        (
{{.Query}}        )
    )
)
{{- if .Limit}}
LIMIT {{.Limit}} + 1
{{- end}}
