-- Events with the place at which they arrived.
SELECT
{{- range $i, $flags := .Flags}}
    {{$flags}} AS _f{{$i}},
{{- end}}
{{- range $i, $c := .Columns}}
    {{$c.Expr}} AS _v{{$i}},
{{- end}}
    {{.Place}} AS _place,
    {{.PlaceRow}} AS _place_row
FROM {{.Table}}
WHERE {{template "visible" .}}
