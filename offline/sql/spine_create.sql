CREATE TABLE {{.Table}}
(
{{- range $i, $c := .Columns}}{{if $i}},{{end}}
    {{$c.Name}} {{$c.Type}}
{{- end}}
)
ENGINE = MergeTree
ORDER BY _rid
