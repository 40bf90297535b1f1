{{define "held"}}(
    SELECT
        {{range $i, $key := .Keys}}{{$key}} AS _k{{$i}}, {{end}}
        {{.EventMicros}} AS _x
{{- if .Placed}},
        {{if .Ranked}}row_number() OVER (PARTITION BY {{join .KeyAliases ", "}} ORDER BY _x{{range .Order}}, {{.Expr}}{{end}}){{else}}{{.Position}}{{end}} AS _position
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
{{define "edges" -}}
SELECT
    _rid
{{- range .KeyAliases}},
    any({{.}}) AS {{.}}
{{- end}}
{{- range $in := .Swept}}{{range $e := $.Edges}},
    anyIf(_n{{$in.Index}}, _b = {{$e}}) AS _n{{$in.Index}}_{{$e}}
{{- if $in.Sum}},
    anyIf(_s{{$in.Index}}, _b = {{$e}}) AS _s{{$in.Index}}_{{$e}}
{{- end}}
{{- if $in.Wide}},
    anyIf(_w{{$in.Index}}, _b = {{$e}}) AS _w{{$in.Index}}_{{$e}}
{{- end}}
{{- end}}{{end}}
FROM
(
    SELECT
        _rid, _b, {{join .KeyAliases ", "}}
{{- range .Swept}},
        sum(_h{{.Index}}) OVER sweep AS _n{{.Index}}
{{- if .Sum}},
        sum(_i{{.Index}}) OVER sweep AS _s{{.Index}}
{{- end}}
{{- if .Wide}},
        sum(toInt128(_i{{.Index}})) OVER sweep AS _w{{.Index}}
{{- end}}
{{- end}}
    FROM
    (
        SELECT
            {{join .KeyAliases ", "}}, _x, toUInt8(0) AS _b, toUInt64(0) AS _rid
{{- range .Swept}}, _h{{.Index}}{{if or .Sum .Wide}}, if(_h{{.Index}} = 1, _v{{.Index}}, 0) AS _i{{.Index}}{{end}}{{end}}
        FROM {{template "held" .}}
        UNION ALL
        SELECT
            {{join .KeyAliases ", "}}, _edge AS _x, _number AS _b, _rid
{{- range .Swept}}, toUInt8(0) AS _h{{.Index}}{{if or .Sum .Wide}}, toInt64(0) AS _i{{.Index}}{{end}}{{end}}
        FROM (SELECT *, _t - {delay:Int64} AS _hi FROM {{template "keyed" .}})
        ARRAY JOIN
            [_hi{{range .Plan.Spans}}{{if .Swept}}, _hi - {{template "lower" .}}{{end}}{{end}}] AS _edge,
            [{{range $i, $e := .Edges}}{{if $i}}, {{end}}toUInt8({{$e}}){{end}}] AS _number
    )
    WINDOW sweep AS (PARTITION BY {{join .KeyAliases ", "}} ORDER BY _x, _b ROWS UNBOUNDED PRECEDING)
)
WHERE _b > 0
GROUP BY _rid
{{- end}}
{{define "lower"}}{width{{.Edge}}:Int64}{{if .Hop}} - positiveModulo(_hi - {width{{.Edge}}:Int64}, {hop{{.Edge}}:Int64}){{end}}{{end}}
