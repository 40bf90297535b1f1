-- What the windows of each spine row hold (rules W1 to W4). A sweep over events and edges of windows, in order of time, counts
-- the values of a key up to each edge; between the counts at two edges lies a window, which is a range of the key's values in
-- order of position.
{{- if not .Plan.Ranged}}
SELECT
    _rid
{{- range .Plan.Edged}},
    {{.Expr}}
{{- end}}
FROM
(
{{template "edges" .}}
)
ORDER BY _rid
{{- else}}
SELECT
    _rid
{{- range $i, $c := .Plan.Edged}},
    _e{{$i}}
{{- end}}
{{- range $i, $c := .Plan.Ranged}},
    {{printf $c.Out (printf "_y%d" $i)}}
{{- end}}
FROM
(
    SELECT
        _rids
{{- range $i, $c := .Plan.Edged}},
        _es{{$i}}
{{- end}}
{{- range $i, $c := .Plan.Ranged}},
        {{$c.Expr}} AS _ys{{$i}}
{{- end}}
    FROM
    (
        SELECT
            {{join .KeyAliases ", "}},
            groupArray(_rid) AS _rids
{{- range $i, $c := .Plan.Edged}},
            groupArray({{$c.Expr}}) AS _es{{$i}}
{{- end}}
{{- range .Plan.Windows}},
            groupArray({{.Range}}) AS {{.Name}}
{{- end}}
        FROM
        (
{{template "edges" .}}
        )
        GROUP BY {{join .KeyAliases ", "}}
    ) AS _asked
    LEFT JOIN
    (
        SELECT
            {{join .KeyAliases ", "}}
{{- range .Plan.Inputs}}{{if .Array}},
            arrayMap(_e -> _e.2, arraySort(_e -> _e.1, groupArrayIf(({{if $.Placed}}_position{{else}}_x{{end}}, _v{{.Index}}), _h{{.Index}} = 1))) AS _a{{.Index}}
{{- end}}{{end}}
        FROM {{template "held" .}}
        GROUP BY {{join .KeyAliases ", "}}
    ) AS _held
    ON {{range $i, $k := .KeyAliases}}{{if $i}} AND {{end}}_asked.{{$k}} = _held.{{$k}}{{end}}
)
ARRAY JOIN
    _rids AS _rid
{{- range $i, $c := .Plan.Edged}},
    _es{{$i}} AS _e{{$i}}
{{- end}}
{{- range $i, $c := .Plan.Ranged}},
    _ys{{$i}} AS _y{{$i}}
{{- end}}
ORDER BY _rid
{{- end}}
