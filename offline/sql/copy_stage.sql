CREATE TABLE {{.Stage}}
(
    _no UInt64,
    _cursor Nullable(Int64),
    _bad UInt16,
    _raw String
{{- range .Columns}},
    {{.Name}} {{.Type}}
{{- end}}
)
ENGINE = MergeTree
ORDER BY ({{join .ID ", "}})
SETTINGS allow_nullable_key = 1
