-- The newest visible event of each key asked for (rules T3, K, O and R1).
SELECT
{{- range $i, $key := .Keys}}
    {{$key}} AS _k{{$i}},
{{- end}}
    {{.EventMicros}} AS _x,
    _seq,
    _idx
{{- range $i, $flags := .Flags}},
    {{$flags}} AS _f{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
    {{$c.Expr}} AS _v{{$i}}
{{- end}}
FROM {{.Table}}
WHERE {{template "visible" .}}
    AND {{.EventTime}} <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
    AND ({{join .KeyNames ", "}}) IN (SELECT {{join .Asked ", "}} FROM _keys)
ORDER BY {{join .KeyAliases ", "}}, {{.EventTime}} DESC
{{- range .Order}}, {{.Expr}} DESC{{end}}
LIMIT 1 BY {{join .KeyAliases ", "}}
