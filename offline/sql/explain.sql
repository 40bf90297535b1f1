-- The newest visible events of a key, each with its whole position and when it was available.
SELECT
    {{.EventMicros}} AS _x,
    _seq,
    _idx,
    _gen,
    _row,
    {{.AvailableMicros}} AS _available
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
ORDER BY {{.EventTime}} DESC
{{- range .Order}}, {{.Expr}} DESC{{end}}, _gen DESC, _row DESC
LIMIT {limit:UInt64}
