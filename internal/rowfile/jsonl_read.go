package rowfile

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

// jsonlTable reads one JSON object a line; blank lines are skipped. A member that is not there is NULL.
type jsonlTable struct {
	lines *rowjson.Lines
	scan  rowjson.Scanner
	types map[string]feature.Type
	out   []feature.Field
	names map[string]int
	seen  []int // by column: the last line that had it
	first *feature.Batch
}

func openJSONL(in io.Reader, types map[string]feature.Type) (*jsonlTable, error) {
	t := &jsonlTable{lines: rowjson.NewLines(in, maxLine), types: types, names: map[string]int{}}
	err := t.readFirst()
	return t, err
}

func (t *jsonlTable) fields() []feature.Field { return t.out }

func (t *jsonlTable) close() error { return nil }

// readFirst reads the first chunk and settles the columns and their types by it.
func (t *jsonlTable) readFirst() error {
	var columns [][]feature.Value // by column and row; short columns end in NULLs
	var lines []int
	for row := range ChunkRows {
		line, err := t.nextLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		lines = append(lines, t.lines.Number())
		t.scan.Reset(line)
		for t.scan.Next() {
			i, err := t.column(t.add)
			if err != nil {
				return err
			}
			if i == len(columns) {
				columns = append(columns, nil)
			}
			v, err := t.firstValue(i)
			if err != nil {
				return t.bad(t.out[i].Name, err)
			}
			columns[i] = append(columns[i], make([]feature.Value, row-len(columns[i]))...)
			columns[i] = append(columns[i], v)
		}
		if err := t.scan.Err(); err != nil {
			return t.bad("", err)
		}
	}
	t.first = &feature.Batch{Columns: make([]feature.Column, len(t.out)), Rows: len(lines)}
	for i, values := range columns {
		c, err := t.settleFirst(i, values, lines)
		if err != nil {
			return err
		}
		pad(&c, len(lines))
		t.first.Columns[i] = c
	}
	t.first.Fields = t.out
	return nil
}

// firstValue returns the current member, of the wanted type where there is one.
func (t *jsonlTable) firstValue(column int) (feature.Value, error) {
	if typ := t.out[column].Type; typ.Kind != feature.KindNull {
		return t.scan.Value().Value(typ)
	}
	return t.scan.Value().Infer()
}

// settleFirst makes a column of the first values and settles its type, the one that all of them have.
func (t *jsonlTable) settleFirst(i int, values []feature.Value, lines []int) (feature.Column, error) {
	f := &t.out[i]
	if f.Type.Kind == feature.KindNull {
		for row, v := range values {
			typ, ok := commonType(f.Type, v.Type())
			if !ok {
				return feature.Column{}, refuseLine(lines[row], f.Name, fmt.Errorf("expected %s, as in the lines before, got %s", f.Type, v))
			}
			f.Type = typ
		}
	}
	if _, err := feature.ParseType(f.Type.String()); err != nil { // NULL or an empty list: no value says more
		f.Type.Kind = feature.KindString
	}
	c := columnOf(f.Type)
	for row, v := range values {
		v, err := feature.Convert(v, f.Type)
		if err != nil {
			return c, refuseLine(lines[row], f.Name, err)
		}
		c.Append(v)
	}
	return c, nil
}

// commonType returns the type that holds values of both types.
func commonType(a, b feature.Type) (feature.Type, bool) {
	switch {
	case a == b || b.Kind == feature.KindNull:
		return a, true
	case a.Kind == feature.KindNull:
		return b, true
	case a.List != b.List:
		return a, false
	case a.List && !known(a.Kind):
		return b, true
	case b.List && !known(b.Kind):
		return a, true
	case number(a.Kind) && number(b.Kind):
		return feature.Type{Kind: feature.KindFloat64, List: a.List}, true
	default:
		return a, false
	}
}

func number(k feature.Kind) bool { return k == feature.KindInt64 || k == feature.KindFloat64 }

// known is false of the kind of the elements of an empty list.
func known(k feature.Kind) bool { return k <= feature.KindTimestamp }

func (t *jsonlTable) next() (*feature.Batch, error) {
	if b := t.first; b != nil {
		t.first = nil
		if b.Rows == 0 {
			return nil, io.EOF
		}
		return b, nil
	}
	b := &feature.Batch{}
	for ; b.Rows < ChunkRows; b.Rows++ {
		line, err := t.nextLine()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := t.row(b, line); err != nil {
			return nil, err
		}
	}
	if b.Rows == 0 {
		return nil, io.EOF
	}
	for len(b.Columns) < len(t.out) {
		b.Columns = append(b.Columns, columnOf(t.out[len(b.Columns)].Type))
	}
	for i := range b.Columns {
		pad(&b.Columns[i], b.Rows)
	}
	b.Fields = t.out
	return b, nil
}

func (t *jsonlTable) row(b *feature.Batch, line []byte) error {
	t.scan.Reset(line)
	for t.scan.Next() {
		i, err := t.column(t.late)
		if err != nil {
			return err
		}
		for len(b.Columns) <= i {
			b.Columns = append(b.Columns, columnOf(t.out[len(b.Columns)].Type))
		}
		v, err := t.scan.Value().Value(t.out[i].Type)
		if err != nil {
			return t.bad(t.out[i].Name, err)
		}
		pad(&b.Columns[i], b.Rows)
		b.Columns[i].Append(v)
	}
	if err := t.scan.Err(); err != nil {
		return t.bad("", err)
	}
	return nil
}

// pad adds NULLs to c until it has n places.
func pad(c *feature.Column, n int) {
	for i := c.Len(); i < n; i++ {
		c.Append(feature.Value{})
	}
}

// column returns the index of the current member's column; a new one is made by add.
func (t *jsonlTable) column(add func(name string) error) (int, error) {
	i, ok := t.names[string(t.scan.Key())]
	if !ok {
		i = len(t.out)
		if err := add(string(t.scan.Key())); err != nil {
			return 0, err
		}
		t.names[t.out[i].Name] = i
		t.seen = append(t.seen, 0)
	}
	if t.seen[i] == t.lines.Number() {
		return 0, t.bad(t.out[i].Name, errors.New("the row has it twice"))
	}
	t.seen[i] = t.lines.Number()
	return i, nil
}

func (t *jsonlTable) add(name string) error {
	if name == "" {
		return t.bad("", errors.New("a column without a name"))
	}
	t.out = append(t.out, feature.Field{Name: name, Type: t.types[name]}) // the zero Type: to be inferred
	return nil
}

func (t *jsonlTable) late(name string) error {
	if _, ok := t.types[name]; !ok {
		return t.bad(name, fmt.Errorf("a new column, which the first %d rows do not have", ChunkRows))
	}
	t.out = append(slices.Clip(t.out), feature.Field{Name: name, Type: t.types[name]})
	return nil
}

func (t *jsonlTable) nextLine() ([]byte, error) {
	for {
		line, err := t.lines.Next()
		if errors.Is(err, rowjson.ErrTooLong) {
			return nil, t.bad("", fmt.Errorf("the line is longer than %d bytes", maxLine))
		}
		if err != nil || !blank(line) {
			return line, err
		}
	}
}

func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

func (t *jsonlTable) bad(field string, err error) error {
	return refuseLine(t.lines.Number(), field, err)
}
