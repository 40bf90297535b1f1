package offline

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed sql/*.sql
var queries embed.FS

// text renders a template of sql/. Everything in data that is an identifier or an expression was made by quote and by
// functions of this package, never taken from a request.
func text(name string, data any) (string, error) {
	t, err := template.New(name).Funcs(template.FuncMap{"join": strings.Join}).ParseFS(queries, "sql/visible.sql", "sql/copy_parts.sql", "sql/window_parts.sql", "sql/"+name)
	if err != nil {
		return "", fmt.Errorf("read the query %s: %w", name, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("write the query %s: %w", name, err)
	}
	return b.String(), nil
}

// quote makes an identifier of a name, whatever is in it. It is the only place that does.
func quote(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// eventTable is the name of the event table of a source.
func eventTable(source string) string { return eventPrefix + source }

// eventPrefix begins the names of event tables.
const eventPrefix = "events_"

// spinePrefix begins the names of staged spines.
const spinePrefix = "tmp_spine_"
