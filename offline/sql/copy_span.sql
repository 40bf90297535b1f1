SELECT ifNull(min({{.EventTime}}), 0), ifNull(max({{.EventTime}}), 0)
FROM {{.Stage}}
WHERE {{template "added" .}}
