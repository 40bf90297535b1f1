package semtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// day is the day that times without a date are on, in scripts and in what they print.
const day = "2024-01-01"

// splitTable splits a text into the words of its first line and those of the others, which must be as many.
func splitTable(text string) (header []string, rows [][]string, err error) {
	for line := range strings.Lines(text) {
		words, err := splitLine(strings.TrimSpace(line))
		if err != nil {
			return nil, nil, err
		}
		if len(words) == 0 {
			continue
		}
		if header == nil {
			header = words
			continue
		}
		if len(words) != len(header) {
			return nil, nil, fmt.Errorf("row %q has %d cells, want %d", strings.TrimSpace(line), len(words), len(header))
		}
		rows = append(rows, words)
	}
	if header == nil {
		return nil, nil, fmt.Errorf("the table has no header")
	}
	return header, rows, nil
}

// splitLine splits at blanks outside of quotes and brackets.
func splitLine(line string) ([]string, error) {
	var words []string
	start, depth, quoted := -1, 0, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted && c == '\\':
			i++
			continue
		case quoted:
			quoted = c != '"'
			continue
		case c == '"':
			quoted = true
		case c == '[':
			depth++
		case c == ']':
			depth--
		}
		blank := (c == ' ' || c == '\t') && depth == 0
		if blank && start >= 0 {
			words = append(words, line[start:i])
			start = -1
		} else if !blank && start < 0 {
			start = i
		}
	}
	if quoted || depth != 0 {
		return nil, fmt.Errorf("unbalanced quotes or brackets in %q", line)
	}
	if start >= 0 {
		words = append(words, line[start:])
	}
	return words, nil
}

// cellJSON returns a cell of a table as JSON: NULL, numbers, true, false, quoted strings and lists as they
// are; a time of a day on that day; any other word as a string.
func cellJSON(cell string, t feature.Type) (json.RawMessage, error) {
	switch {
	case cell == "NULL":
		return json.RawMessage("null"), nil
	case json.Valid([]byte(cell)):
		return json.RawMessage(cell), nil
	case cell[0] == '"' || cell[0] == '[':
		return nil, fmt.Errorf("%s is not JSON", cell)
	case t == feature.Timestamp:
		cell = longTime(cell)
	}
	return json.Marshal(cell)
}

// longTime adds the day and the zone to a time of a day, and leaves other texts alone.
func longTime(s string) string {
	if len(s) >= 5 && s[2] == ':' {
		return day + "T" + s + "Z"
	}
	return s
}

// shortTime prints an instant as scripts write it: without the date if it is on the scripts' day.
func shortTime(t feature.Time) string {
	s := t.String()
	if clock, ok := strings.CutPrefix(s, day+"T"); ok {
		return strings.TrimSuffix(clock, "Z")
	}
	return s
}

// word prints a value as a cell of a table.
func word(v feature.Value) string {
	switch {
	case v.IsNull():
		return "NULL"
	case v.Type().List:
		return string(v.AppendJSON(nil))
	case v.Type().Kind == feature.KindTimestamp:
		return shortTime(v.Time())
	case v.Type().Kind == feature.KindString && plain(v.Str()):
		return v.Str()
	default:
		return v.String()
	}
}

// plain reports whether a string can stand without quotes: nothing else in a table looks like it.
func plain(s string) bool {
	return s != "" && s != "-" && s != "NULL" && !json.Valid([]byte(s)) && !strings.ContainsAny(s, " \t\n\"\\|[") && (len(s) < 3 || s[2] != ':')
}

// printCell prints a cell as scripts state it: value, status and, where there is one, the event's time.
func printCell(c feature.Cell) string {
	s := word(c.Value) + " " + c.Status.String()
	if c.HasTime {
		s += " @" + shortTime(c.EventTime)
	}
	return s
}

// printTable prints a training set: the names of its columns, then its rows.
func printTable(b *feature.Batch) string {
	var out strings.Builder
	cells := make([]string, len(b.Fields))
	for i, f := range b.Fields {
		cells[i] = f.Name
	}
	fmt.Fprintln(&out, strings.Join(cells, " | "))
	for row := range b.Rows {
		for i := range b.Columns {
			cells[i] = word(b.Columns[i].Value(row))
		}
		fmt.Fprintln(&out, strings.Join(cells, " | "))
	}
	return out.String()
}

// jsonRows reads the rows of a push or an import: JSON objects, a line each, or a table.
func jsonRows(text string, columns []feature.Field) ([]json.RawMessage, error) {
	var out []json.RawMessage
	if strings.HasPrefix(text, "{") {
		for line := range strings.Lines(text) {
			out = append(out, json.RawMessage(strings.TrimSpace(line)))
		}
		return out, nil
	}
	header, rows, err := splitTable(text)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		var b bytes.Buffer
		for i, cell := range row {
			if cell == "-" {
				continue // the field is absent
			}
			var typ feature.Type
			if at := feature.FieldIndex(columns, header[i]); at >= 0 {
				typ = columns[at].Type
			}
			raw, err := cellJSON(cell, typ)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&b, ",%q:%s", header[i], raw)
		}
		b.WriteByte('}')
		object := b.Bytes()
		object[0] = '{' // instead of the first comma
		if len(object) == 1 {
			object = []byte("{}")
		}
		out = append(out, object)
	}
	return out, nil
}
