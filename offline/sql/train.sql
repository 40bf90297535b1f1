-- The newest event that each spine row sees (rules T3, O and R1): the last one whose position is below all positions of later
-- times than hi. Joining by the whole position instead of the time makes equal times come out right.
SELECT
    _spine._rid AS _rid,
    toInt64(bitShiftRight(reinterpret(_events._position, '{{.Word}}'), {{.TimeShift}})) - {{.TimeBase}} AS _x
{{- range $i, $f := .Flags}},
    toUInt64(_events._flags{{$i}})
{{- end}}
{{- range $i, $c := .Columns}},
    _events._value{{$i}}
{{- end}}
FROM
(
    SELECT
        *,
        reinterpret(bitShiftLeft(to{{.Word}}(greatest(_t - {delay:Int64} + {{.TimeBase}} + 1, 0)), {{.TimeShift}}) - 1, '{{.Decimal}}') AS _until
    FROM {{template "keyed" .}}
    WHERE _t - {delay:Int64} + {{.TimeBase}} >= 0
) AS _spine
ASOF JOIN
(
    SELECT
        {{range $i, $key := .Keys}}{{$key}} AS _k{{$i}}, {{end}}
        reinterpret({{.Position}}, '{{.Decimal}}') AS _position
{{- range $i, $f := .Flags}},
        {{$.FlagType}}({{$f}}) AS _flags{{$i}}
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
    ON {{range .KeyAliases}}_spine.{{.}} = _events.{{.}} AND {{end}}_spine._until >= _events._position
ORDER BY _rid
