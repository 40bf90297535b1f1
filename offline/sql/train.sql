-- The newest event that each spine row sees (rules T3, O and R1), by one sweep over events and spine rows of a key in order
-- of time. An event's place in it is twice its time, a spine row's one more, so that it follows the events at hi.
SELECT
    _rid,
    intDiv(_z, 2) AS _x
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
        _row,
        anyLastIf(_place, NOT _row) OVER sweep AS _z
{{- range $i, $f := .Flags}},
        anyLastIf(_flags{{$i}}, NOT _row) OVER sweep AS _f{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
        anyLastIf(_value{{$i}}, NOT _row) OVER sweep AS _v{{$i}}
{{- end}}
    FROM
    (
        SELECT
            {{range $i, $key := .Keys}}{{$key}} AS _k{{$i}}, {{end}}
            2 * {{.EventMicros}} AS _place,
            toUInt8(0) AS _row,
            toUInt64(0) AS _rid
{{- range $i, $o := .Order}},
            {{$o.Expr}} AS _o{{$i}}
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
        UNION ALL
        SELECT
            {{join .KeyAliases ", "}},
            2 * (_t - {delay:Int64}) + 1,
            toUInt8(1),
            _rid
{{- range .Order}},
            {{.Zero}}
{{- end}}
{{- range .Flags}},
            toUInt64(0)
{{- end}}
{{- range .Columns}},
            {{.Zero}}
{{- end}}
        FROM {{template "keyed" .}}
    )
    WINDOW sweep AS (PARTITION BY {{join .KeyAliases ", "}} ORDER BY _place{{range $i, $o := .Order}}, _o{{$i}}{{end}} ROWS UNBOUNDED PRECEDING)
)
WHERE _row
ORDER BY _rid
{{- define "keyed"}}(SELECT _rid, _t{{range $i, $k := .SpineKeys}}, {{$k.Expr}} AS _k{{$i}}{{end}} FROM {{.Spine}} WHERE {{range $i, $k := .SpineKeys}}{{if $i}} AND {{end}}{{$k.Column}} IS NOT NULL{{end}}){{end}}
