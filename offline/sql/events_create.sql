CREATE TABLE IF NOT EXISTS {{.Name}}
(
{{- range .Columns}}
    {{.Name}} {{.Type}}{{with .Default}} {{.}}{{end}},
{{- end}}
    _seq UInt64,
    _idx UInt32,
    _gen UInt64,
    _row UInt64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM({{.EventTime}})
ORDER BY ({{.EventTime}}, _seq, _idx)
SETTINGS non_replicated_deduplication_window = 10000
