{{define "held"}}(
    SELECT
        {{range $i, $key := .Keys}}{{$key}} AS _k{{$i}}, {{end}}
        {{.EventMicros}} AS _x
{{- if .Placed}},
        {{if .Ranked}}row_number() OVER (PARTITION BY {{join .KeyAliases ", "}} ORDER BY _x{{range .Order}}, {{.Expr}}{{end}}){{else}}{{.Position}}{{end}} AS _position
{{- end}}
{{- if .Late}},
        {{.AvailableMicros}} AS _available
{{- end}}
{{- range $i, $c := .Columns}},
        toUInt8(NOT ({{$c.Null}})) AS _h{{$i}},
        {{$c.Expr}} AS _v{{$i}}
{{- end}}
    FROM {{.Table}}
    WHERE {{template "visible" .}}
        AND {{.Deleted}} = 0
        AND {{.EventTime}} > fromUnixTimestamp64Micro({after:Int64}, 'UTC') AND {{.EventTime}} <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
{{- if .OnlyKeys}}
        AND ({{join .KeyNames ", "}}) IN (SELECT {{join .Asked ", "}} FROM {{template "keyed" .}})
{{- end}}
){{end}}
{{define "seen"}}{{if not .Late}}{{template "held" .}}{{else}}(
    SELECT *, toUInt64(0) AS _alone FROM {{template "held" .}}
    UNION ALL
    SELECT _event.*, _late._rid + 1 AS _alone
    FROM {{template "held" .}} AS _event
    INNER JOIN {{.Late}} AS _late ON {{range $i, $k := .KeyAliases}}{{if $i}} AND {{end}}_event.{{$k}} = _late.{{$k}}{{end}}
    WHERE _event._available <= _late._t AND _event._x <= _late._t - {delay:Int64}{{if .Reach}} AND _event._x > _late._t - {delay:Int64} - {reach:Int64}{{end}}
        AND _late._rid >= {from:UInt64} AND _late._rid < {to:UInt64}
){{end}}{{end}}
{{define "asked"}}{{if not .Late}}{{template "keyed" .}}{{else}}(SELECT *, if(_rid IN (SELECT _rid FROM {{.Late}}), _rid + 1, 0) AS _alone FROM {{template "keyed" .}}){{end}}
                    WHERE _rid >= {from:UInt64} AND _rid < {to:UInt64}{{end}}
{{define "lower"}}_hi - {width{{.Edge}}:Int64}{{if .Hop}} - positiveModulo(_hi - {width{{.Edge}}:Int64}, {hop{{.Edge}}:Int64}){{end}}{{end}}
