CREATE TABLE {{.Known}}
(
    _time Int64,
    _hash UInt64
{{- range .IDColumns}},
    {{.Name}} {{.Type}}
{{- end}}
)
ENGINE = MergeTree
ORDER BY ({{join .ID ", "}})
SETTINGS allow_nullable_key = 1
