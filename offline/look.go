package offline

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// Table is what a statement returned.
type Table struct {
	Fields    []feature.Field
	Rows      [][]feature.Value
	Truncated bool // there are more rows than the limit
}

// Query runs a statement that a user wrote and returns up to limit rows (0: all). It can only read the tables of the
// database: a SELECT, SHOW TABLES or DESCRIBE TABLE.
// Columns of types without a counterpart (maps, tuples) come as text. What is wrong with the SQL is a CodeInvalid error.
func (s *Store) Query(ctx context.Context, sql string, limit int) (*Table, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if shown.MatchString(sql) {
		return s.show(ctx, sql, limit)
	}
	columns, err := s.describe(ctx, sql, asText)
	if err != nil {
		return nil, err
	}
	t := &Table{}
	values := make([]valueColumn, len(columns))
	types := make([]feature.Type, len(columns))
	for i, c := range columns {
		t.Fields = append(t.Fields, feature.Field{Name: c.name, Type: c.typ})
		types[i] = c.typ
		values[i] = stagedValue(t.Fields[i], i)
		if c.typ.List {
			values[i].Null = "0"
		}
	}
	rendered, err := text("look.sql", struct {
		Query   string
		Columns []selectedColumn
		Values  []valueColumn
		Flags   []string
		Limit   int
	}{inner(sql), selected(columns), values, flagWords(values, "toUInt64(1)"), limit})
	if err != nil {
		return nil, err
	}
	row, into := newCells(types)
	return t, s.fill(fenced(ctx), t, rendered, filler{limit: limit, into: into, row: func() []feature.Value {
		out := make([]feature.Value, len(types))
		for i := range out {
			out[i] = row.value(i)
		}
		return out
	}})
}

// filler scans rows into a Table.
type filler struct {
	limit int
	into  []any
	row   func() []feature.Value
}

func (s *Store) fill(ctx context.Context, t *Table, sql string, f filler) error {
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return refused("run the SQL", err)
	}
	defer rows.Close()
	return f.fill(t, rows)
}

func (f filler) fill(t *Table, rows driver.Rows) error {
	size := 0
	for rows.Next() {
		if f.limit > 0 && len(t.Rows) == f.limit {
			t.Truncated = true
			return nil
		}
		if err := rows.Scan(f.into...); err != nil {
			return failure("read the answer", err)
		}
		row := f.row()
		for _, v := range row {
			size += len(v.Text())
		}
		if size > fenceResult {
			return feature.Errorf(feature.CodeTooLarge, "the result has more than %d bytes: ask for fewer rows or columns", fenceResult)
		}
		t.Rows = append(t.Rows, row)
	}
	if err := rows.Err(); err != nil {
		return refused("run the SQL", err)
	}
	return nil
}

// shown are the statements besides SELECT: what tables there are, and what columns one has.
var shown = regexp.MustCompile(`(?i)^\s*(SHOW\s+TABLES|DESC(RIBE)?(\s+TABLE)?\s+[a-z_][a-z0-9_]*)\s*;?\s*$`)

// show runs one of the statements that shown matches; their columns are all given as text.
func (s *Store) show(ctx context.Context, sql string, limit int) (*Table, error) {
	rows, err := s.conn.Query(fenced(ctx), strings.TrimSpace(inner(sql)))
	if err != nil {
		return nil, refused("run the SQL", err)
	}
	defer rows.Close()
	t := &Table{}
	f := filler{limit: limit}
	for i, c := range rows.ColumnTypes() {
		t.Fields = append(t.Fields, feature.Field{Name: rows.Columns()[i], Type: feature.String})
		f.into = append(f.into, reflect.New(c.ScanType()).Interface())
	}
	f.row = func() []feature.Value {
		out := make([]feature.Value, len(f.into))
		for i, p := range f.into {
			v := reflect.ValueOf(p).Elem()
			for v.Kind() == reflect.Pointer && !v.IsNil() {
				v = v.Elem()
			}
			if v.Kind() != reflect.Pointer {
				out[i] = feature.StringValue(fmt.Sprint(v.Interface()))
			}
		}
		return out
	}
	return t, f.fill(t, rows)
}
