ALTER TABLE {{.Table}} ADD COLUMN IF NOT EXISTS {{.Column.Name}} {{.Column.Type}}{{with .Column.Default}} {{.}}{{end}}
