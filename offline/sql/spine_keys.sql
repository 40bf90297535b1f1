-- Every key that has a visible event at or before hi (rule S3).
INSERT INTO {{.Spine}} (_rid, _t, {{.Time}}, {{join .Place ", "}})
SELECT DISTINCT
    toUInt64(0),
    {at:Int64},
    {at:Int64}
{{- range .Keys}},
    {{.}}
{{- end}}
FROM {{.Table}}
WHERE {{template "visible" .}}
    AND {{.EventTime}} <= fromUnixTimestamp64Micro({hi:Int64}, 'UTC')
{{- if .Available}}
    AND _available_at <= fromUnixTimestamp64Micro({at:Int64}, 'UTC')
{{- end}}
