-- The events of the windows of each key asked for (rules T3, W1, K and R3), key by key in their order (rules O1 and O2).
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
    AND {{.Deleted}} = 0
    AND {{.EventTime}} > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND {{.EventTime}} <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
    AND ({{join .KeyNames ", "}}) IN (SELECT {{join .Asked ", "}} FROM _keys)
ORDER BY {{join .KeyAliases ", "}}, {{.EventTime}}
{{- range .Order}}, {{.Expr}}{{end}}
