-- How many different values the windows of each spine row hold, or which levels of registers they set (rules W4 and W5). A
-- value lives in a window from its event to the next equal one or to the instant at which it falls out of the window; a
-- register of rank r is r levels that live like values. A sweep counts what lives.
SELECT
    _rid
{{- range $i, $c := .Plan.Lived}},
    _y{{$i}}
{{- end}}
FROM
(
    SELECT
        _rid,
        _class
{{- range $i, $c := .Plan.Lived}},
        {{$c.Expr}} AS _y{{$i}}
{{- end}}
    FROM
    (
{{- range $l := .Plan.Lives}}
        SELECT
            {{join $.Groups ", "}}, _at, toUInt8({{.Class}}) AS _class, _number AS _edge, toUInt64(0) AS _rid,
            if(_number = 1, 1, -1) * {{if .Bits}}bitShiftLeft(toInt64(1), {{$.MaxRank}} - _level){{else}}toInt64(1){{end}} AS _gain,
            {{if .Bits}}if(_level > 1, 0, if(_number = 1, 1, -1)){{else}}0{{end}} AS _one
        FROM
        (
            SELECT
                *,
                leadInFrame(_x, 1, toInt64(9000000000000000000)) OVER (PARTITION BY {{join $.Groups ", "}}, {{if .Bits}}_register, _level{{else}}_v{{.Input}}{{end}}
                    ORDER BY _x ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS _next
            FROM
{{- if .Bits}}
            (
                SELECT
                    {{join $.Groups ", "}}, _x, bitAnd(_hash, {{$.Mask .}}) AS _register,
                    arrayJoin(range(1, 1 + toUInt8(least({{$.MaxRank}}, bitCount(bitXor(bitShiftRight(_hash, {{.Bits}}), bitShiftRight(_hash, {{.Bits}}) - 1)))))) AS _level
                FROM (SELECT *, {{$.Hash .}} AS _hash FROM {{template "seen" $}} WHERE _h{{.Input}} = 1)
            )
{{- else}} (SELECT {{join $.Groups ", "}}, _x, _v{{.Input}} FROM {{template "seen" $}} WHERE _h{{.Input}} = 1)
{{- end}}
        )
        ARRAY JOIN
            [_x{{range $.Ends .}}, {{.}}{{end}}] AS _at,
            [toUInt8(1){{range .Edges}}, {{.}}{{end}}] AS _number
        UNION ALL
{{- end}}
        SELECT {{join .Groups ", "}}, _t - {delay:Int64}, toUInt8(255), toUInt8(0), _rid, toInt64(0), 0
        FROM {{template "asked" .}}
    )
    WINDOW sweep AS (PARTITION BY {{join .Groups ", "}} ORDER BY _at, _class ROWS UNBOUNDED PRECEDING)
)
WHERE _class = 255
ORDER BY _rid
