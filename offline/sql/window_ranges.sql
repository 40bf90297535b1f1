-- What the windows of each spine row hold (rules W1 to W4). The event times of a key and the edges of its rows' windows are
-- merged in order of time; how many values come before an edge says which range of the key's values, in order of position,
-- lies between two of them. All lower edges of a window are in the order of the upper ones, and so are their counts.
-- A number is a time and, in its low bits, an edge; 0 is an event, which comes before the edges of its instant.
SELECT
    _rid
{{- range $i, $c := .Plan.Ranged}},
    {{printf $c.Out (printf "_y%d" $i)}}
{{- end}}
FROM
(
    SELECT
        _rids
{{- range $i, $c := .Plan.Ranged}},
        {{$c.Expr}} AS _ys{{$i}}
{{- end}}
    FROM
    (
        SELECT
            _rids
{{- range .Swept}}{{if .Array}},
            _a{{.Index}}
{{- end}}{{end}}
{{- range .Plan.Windows}},
            {{$.Range .}} AS {{.Name}}
{{- end}}
        FROM
        (
            SELECT
                *
{{- range .Swept}},
                arrayCumSum(arrayMap(_m -> bitAnd(_m, {{$.Tags}}) = 0, _m{{.Index}})) AS _n{{.Index}}
{{- end}}
            FROM
            (
                SELECT
                    _rids
{{- range $in := .Swept}}{{if .Array}},
                    _a{{.Index}}
{{- end}},
                    arraySort(arrayConcat(_c{{.Index}}, arrayMap(_hi -> _hi * {{$.Radix}} + 1, _his)
{{- range $.Plan.Spans}}{{if $in.Has .Edge}}, arrayMap(_hi -> ({{template "lower" .}}) * {{$.Radix}} + {{.Edge}}, _his){{end}}{{end}})) AS _m{{.Index}}
{{- end}}
                FROM
                (
                    SELECT
                        {{join .Groups ", "}},
                        groupArray(_t - {delay:Int64}) AS _unsorted,
                        arraySort(_unsorted) AS _his,
                        arraySort((_r, _hi) -> _hi, groupArray(_rid), _unsorted) AS _rids
                    FROM {{template "asked" .}}
                    GROUP BY {{join .Groups ", "}}
                ) AS _asked
                LEFT JOIN
                (
                    SELECT
                        {{join .Groups ", "}}
{{- range .Swept}},
                        arraySort(groupArrayIf(_x * {{$.Radix}}, _h{{.Index}} = 1)) AS _c{{.Index}}
{{- if .Array}},
                        arraySort((_v, _p) -> _p, groupArrayIf(_v{{.Index}}, _h{{.Index}} = 1), groupArrayIf({{if $.Placed}}_position{{else}}_x{{end}}, _h{{.Index}} = 1)) AS _a{{.Index}}
{{- end}}{{end}}
                    FROM {{template "seen" .}}
                    GROUP BY {{join .Groups ", "}}
                ) AS _held
                ON {{range $i, $k := .Groups}}{{if $i}} AND {{end}}_asked.{{$k}} = _held.{{$k}}{{end}}
            )
        )
    )
)
ARRAY JOIN
    _rids AS _rid
{{- range $i, $c := .Plan.Ranged}},
    _ys{{$i}} AS _y{{$i}}
{{- end}}
ORDER BY _rid
