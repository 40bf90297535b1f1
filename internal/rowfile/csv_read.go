package rowfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

// csvTable reads RFC 4180 with a header row. An empty field without quotes is NULL; an empty field in quotes is
// the empty string (and NULL where the type is no string). Lists are JSON arrays. A blank line is skipped, or
// a NULL when there is but one column.
type csvTable struct {
	lines  *rowjson.Lines
	out    []feature.Field
	record []byte // of a record with quotes: its fields without them
	cells  []cell
	line   int // of the record's start
}

type cell struct {
	text   []byte
	quoted bool
}

func openCSV(in io.Reader, types map[string]feature.Type) (*csvTable, error) {
	t := &csvTable{lines: rowjson.NewLines(in, maxLine)}
	err := t.read()
	if errors.Is(err, io.EOF) {
		return nil, refuse("", "the file is empty: expected a header row with the names of the columns")
	}
	if err != nil {
		return nil, err
	}
	for i, c := range t.cells {
		name := string(c.text)
		if i == 0 {
			name = string(bytes.TrimPrefix(c.text, []byte("\uFEFF")))
		}
		if name == "" {
			return nil, refuseLine(1, "", fmt.Errorf("column %d of the header has no name", i+1))
		}
		if feature.FieldIndex(t.out, name) >= 0 {
			return nil, refuseLine(1, name, errors.New("there are two columns of this name"))
		}
		typ, ok := types[name]
		if !ok {
			typ = feature.String
		}
		t.out = append(t.out, feature.Field{Name: name, Type: typ})
	}
	return t, nil
}

func (t *csvTable) fields() []feature.Field { return t.out }

func (t *csvTable) close() error { return nil }

func (t *csvTable) next() (*feature.Batch, error) {
	b := &feature.Batch{Fields: t.out, Columns: make([]feature.Column, len(t.out))}
	for i, f := range t.out {
		b.Columns[i] = columnOf(f.Type)
	}
	for b.Rows < ChunkRows {
		err := t.read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(t.cells) == 1 && len(t.out) > 1 && len(t.cells[0].text) == 0 {
			continue // a blank line
		}
		if len(t.cells) != len(t.out) {
			return nil, refuseLine(t.line, "", fmt.Errorf("the row has %d fields: expected %d, as the header has", len(t.cells), len(t.out)))
		}
		for i, c := range t.cells {
			if err := appendCell(&b.Columns[i], c); err != nil {
				return nil, refuseLine(t.line, t.out[i].Name, err)
			}
		}
		b.Rows++
	}
	if b.Rows == 0 {
		return nil, io.EOF
	}
	return b, nil
}

func appendCell(c *feature.Column, in cell) error {
	if len(in.text) == 0 && !in.quoted {
		c.Append(feature.Value{})
		return nil
	}
	return appendText(c, in.text)
}

// read reads the next record into t.cells.
func (t *csvTable) read() error {
	line, err := t.nextLine()
	if err != nil {
		return err
	}
	t.line = t.lines.Number()
	t.cells = t.cells[:0]
	if bytes.IndexByte(line, '"') >= 0 {
		return t.readQuoted(line)
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	for {
		i := bytes.IndexByte(line, ',')
		if i < 0 {
			t.cells = append(t.cells, cell{text: line})
			return nil
		}
		t.cells = append(t.cells, cell{text: line[:i]})
		line = line[i+1:]
	}
}

func (t *csvTable) nextLine() ([]byte, error) {
	line, err := t.lines.Next()
	if errors.Is(err, rowjson.ErrTooLong) {
		return nil, refuseLine(t.lines.Number(), "", fmt.Errorf("the row is longer than %d bytes; is a quote missing?", maxLine))
	}
	return line, err
}

// readQuoted reads a record with quotes, of which line is the first line.
func (t *csvTable) readQuoted(line []byte) error {
	t.record = t.record[:0]
	ends := make([]int, 0, len(t.out))
	var quoted []bool
	for {
		isQuoted := len(line) > 0 && line[0] == '"'
		var err error
		if isQuoted {
			line, err = t.quotedField(line[1:])
		} else {
			i := bytes.IndexByte(line, ',')
			if i < 0 {
				i = len(line)
			}
			text := line[:i]
			if i == len(line) {
				text = bytes.TrimSuffix(text, []byte("\r"))
			}
			if bytes.IndexByte(text, '"') >= 0 {
				err = refuseLine(t.lines.Number(), t.name(len(ends)), errors.New("a quote in a field that does not begin with one"))
			}
			t.record = append(t.record, text...)
			line = line[i:]
		}
		if err != nil {
			return err
		}
		ends, quoted = append(ends, len(t.record)), append(quoted, isQuoted)
		if len(line) == 0 {
			break
		}
		line = line[1:] // the comma
	}
	from := 0
	for i, end := range ends {
		t.cells = append(t.cells, cell{t.record[from:end], quoted[i]})
		from = end
	}
	return nil
}

// quotedField appends the field whose opening quote is before line to t.record, reading on over ends of lines.
// It returns what is behind the closing quote: nothing, or a comma and more.
func (t *csvTable) quotedField(line []byte) ([]byte, error) {
	for {
		i := bytes.IndexByte(line, '"')
		if i < 0 {
			t.record = append(append(t.record, line...), '\n')
			if len(t.record) > maxLine {
				return nil, refuseLine(t.line, "", fmt.Errorf("the row is longer than %d bytes; is a quote missing?", maxLine))
			}
			var err error
			if line, err = t.nextLine(); errors.Is(err, io.EOF) {
				return nil, refuseLine(t.line, "", errors.New("a quote in this row is never closed"))
			} else if err != nil {
				return nil, err
			}
			continue
		}
		t.record = append(t.record, line[:i]...)
		line = line[i+1:]
		switch {
		case len(line) == 0 || len(line) == 1 && line[0] == '\r':
			return nil, nil
		case line[0] == ',':
			return line, nil
		case line[0] == '"':
			t.record = append(t.record, '"')
			line = line[1:]
		default:
			return nil, refuseLine(t.lines.Number(), "", fmt.Errorf("expected a comma behind a closing quote, got %q", line[0]))
		}
	}
}

func (t *csvTable) name(i int) string {
	if i < len(t.out) {
		return t.out[i].Name
	}
	return ""
}
