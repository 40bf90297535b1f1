-- The newest event that each spine row sees when it sees only what was available at its time (rule S2): events get their
-- rank by position, then one sweep in order of when they become visible keeps the greatest rank.
SELECT
    _rid,
    _x
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
        argMaxIf(_time, _rank, NOT _row) OVER sweep AS _x
{{- range $i, $f := .Flags}},
        argMaxIf(_flags{{$i}}, _rank, NOT _row) OVER sweep AS _f{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
        argMaxIf(_value{{$i}}, _rank, NOT _row) OVER sweep AS _v{{$i}}
{{- end}}
    FROM
    (
        SELECT
            {{join .KeyAliases ", "}},
            2 * greatest(_time + {delay:Int64}, _available) AS _place,
            toUInt8(0) AS _row,
            toUInt64(0) AS _rid,
            _time,
            row_number() OVER (PARTITION BY {{join .KeyAliases ", "}} ORDER BY _time{{range $i, $o := .Order}}, _o{{$i}}{{end}}) AS _rank
{{- range $i, $f := .Flags}},
            _flags{{$i}}
{{- end}}
{{- range $i, $c := .Columns}},
            _value{{$i}}
{{- end}}
        FROM
        (
            SELECT
                {{range $i, $key := .Keys}}{{$key}} AS _k{{$i}}, {{end}}
                {{.EventMicros}} AS _time,
                {{.Available}} AS _available
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
        )
        UNION ALL
        SELECT
            {{join .KeyAliases ", "}},
            2 * _t + 1,
            toUInt8(1),
            _rid,
            toInt64(0),
            toUInt64(0)
{{- range .Flags}},
            toUInt64(0)
{{- end}}
{{- range .Columns}},
            {{.Zero}}
{{- end}}
        FROM {{template "keyed" .}}
    )
    WINDOW sweep AS (PARTITION BY {{join .KeyAliases ", "}} ORDER BY _place ROWS UNBOUNDED PRECEDING)
)
WHERE _row
ORDER BY _rid
{{- define "keyed"}}(SELECT _rid, _t{{range $i, $k := .SpineKeys}}, {{$k.Expr}} AS _k{{$i}}{{end}} FROM {{.Spine}} WHERE {{range $i, $k := .SpineKeys}}{{if $i}} AND {{end}}{{$k.Column}} IS NOT NULL{{end}}){{end}}
