-- Events as rule E1 sees them.
SELECT
{{- range .IDs}}
    {{.}},
{{- end}}
    {{.EventMicros}},
    {{.Sum}},
    {{.Place}},
    {{.PlaceRow}}
FROM {{.Table}}
WHERE {{template "visible" .}}
{{- with .Only}} AND ({{.}})
ORDER BY {{$.Place}}, {{$.PlaceRow}}{{end}}
