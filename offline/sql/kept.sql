{{if .Windowed -}}
-- The events later than from{{if .Latest}}, and of each key the newest one at or before keep{{end}} (rule C4).
{{- else -}}
-- Of each key the newest event at or before keep, and of each later event time the newest event (rule C4).
{{- end}}
SELECT
{{- range $i, $key := .Keys}}
    {{$key}} AS _k{{$i}},
{{- end}}
    {{.EventMicros}} AS _x,
    _seq,
    _idx
{{- if .Windowed}},
    _gen,
    _row
{{- end}}
{{- range $i, $flags := .Flags}},
    {{$flags}} AS _f{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
    {{$c.Expr}} AS _v{{$i}}
{{- end}}
FROM {{.Table}}
WHERE {{template "visible" .}}
    AND ({{.EventTime}} > fromUnixTimestamp64Micro({from:Int64}, 'UTC')
{{- if .Latest}}
        OR ({{join .KeyNames ", "}}, {{.EventTime}}) IN
        (
            SELECT {{join .KeyNames ", "}}, max({{.EventTime}})
            FROM {{.Table}}
            WHERE {{template "visible" .}}
                AND {{.EventTime}} <= fromUnixTimestamp64Micro({keep:Int64}, 'UTC')
            GROUP BY {{join .KeyNames ", "}}
        )
{{- end}})
ORDER BY {{join .KeyAliases ", "}}
{{- if not .Windowed}}, {{.EventTime}} DESC
{{- range .Order}}, {{.Expr}} DESC{{end}}
LIMIT 1 BY {{join .KeyAliases ", "}}, _x
{{- end}}
