-- What train.sql finds, for more events than fit into memory, for the clock "available" (rule S2) and for events that differ in
-- their columns alone (rule O2, by rank). An event can be seen from some time on, so it first goes to the earliest spine row of
-- its key that sees it; a spine row sees what went to it and to the rows before it. Only the spine is held in memory, events
-- stream past it.
SELECT
    _rid,
    {{if .Ranked}}_x{{else}}toInt64(bitShiftRight(_p, {{.TimeShift}})) - {{.TimeBase}} AS _x{{end}}
{{- range $i, $f := .Flags}},
    _f{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
    _v{{$i}}
{{- end}}
FROM
(
    SELECT
        _rid,
        max(_bp) OVER seen AS _p
{{- if .Ranked}},
        argMax(_bx, _bp) OVER seen AS _x
{{- end}}
{{- range $i, $f := .Flags}},
        argMax(_bf{{$i}}, _bp) OVER seen AS _f{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
        argMax(_bv{{$i}}, _bp) OVER seen AS _v{{$i}}
{{- end}}
    FROM {{template "keyed" .}} AS _s
    LEFT JOIN
    (
        SELECT
            _first._rid AS _brid,
            max(_position) AS _bp
{{- if .Ranked}},
            argMax(_time, _position) AS _bx
{{- end}}
{{- range $i, $f := .Flags}},
            argMax(_flags{{$i}}, _position) AS _bf{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
            argMax(_value{{$i}}, _position) AS _bv{{$i}}
{{- end}}
        FROM
        (
            SELECT
                {{range $i, $key := .Keys}}{{$key}} AS _k{{$i}}, {{end}}
                {{.EventMicros}} AS _time,
                {{if .Available}}greatest(_time + {delay:Int64}, {{.AvailableMicros}}){{else}}_time + {delay:Int64}{{end}} AS _from,
{{- if .Ranked}}
                row_number() OVER (PARTITION BY {{join .KeyAliases ", "}} ORDER BY _time{{range .Order}}, {{.Expr}}{{end}}) AS _position
{{- else}}
                {{.Position}} AS _position
{{- end}}
{{- range $i, $f := .Flags}},
                {{$f}} AS _flags{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
                {{$c.Expr}} AS _value{{$i}}
{{- end}}
            FROM {{.Table}}
            WHERE {{template "visible" .}}
                AND {{.EventTime}} <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
{{- if .OnlyKeys}}
                AND ({{join .KeyNames ", "}}) IN (SELECT {{join .Asked ", "}} FROM {{template "keyed" .}})
{{- end}}
        ) AS _events
        ASOF JOIN {{template "keyed" .}} AS _first
            ON {{range .KeyAliases}}_events.{{.}} = _first.{{.}} AND {{end}}_events._from <= _first._t
        GROUP BY _first._rid
    ) AS _best ON _s._rid = _best._brid
    WINDOW seen AS (PARTITION BY {{range $i, $k := .KeyAliases}}{{if $i}}, {{end}}_s.{{$k}}{{end}} ORDER BY _s._t RANGE UNBOUNDED PRECEDING)
)
ORDER BY _rid
