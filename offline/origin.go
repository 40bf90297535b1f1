package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// origin is the table or the query that a source is copied from, checked against the source.
type origin struct {
	src     *feature.Source
	rows    string // SQL to select from
	columns []intake
	cursor  cursorColumn
}

// cursorColumn is the column by which copies go on; its zero value is none.
type cursorColumn struct {
	name     string // quoted
	value    string // as an Int64, of the alias in
	isTime   bool
	nullable bool
}

// Aliases of the origin's columns.
const cursorIn = "_lockstep_cursor"

func columnIn(i int) string     { return fmt.Sprintf("_lockstep_%d", i) }
func copiedColumn(i int) string { return fmt.Sprintf("_v%d", i) }

// CheckFrom says what is wrong between a source and the table or query that it is copied from: a CodeInvalid error with a
// detail for each thing, whose Field begins with from.
func (s *Store) CheckFrom(ctx context.Context, src *feature.Source) error {
	_, err := s.origin(ctx, src)
	return err
}

// origin reads the columns of src.From and matches them with those of src.
func (s *Store) origin(ctx context.Context, src *feature.Source) (*origin, error) {
	o := &origin{src: src}
	types, names, err := s.originColumns(ctx, o)
	if err != nil {
		return nil, err
	}
	var wrong []feature.Detail
	for i, f := range src.Columns {
		typ, ok := types[f.Name]
		if !ok {
			wrong = append(wrong, feature.Detail{Field: "from." + f.Name, Message: fmt.Sprintf("there is no column %s, expected what becomes %s; it has %s", f.Name, f.Type, strings.Join(names, ", "))})
			continue
		}
		in, err := newIntake(f, typ, columnIn(i))
		if err != nil {
			wrong = append(wrong, feature.Detail{Field: "from." + f.Name, Message: fmt.Sprintf("column %s does not fit: %v", f.Name, err)})
			continue
		}
		o.columns = append(o.columns, in)
	}
	if d := o.setCursor(types, names); d != nil {
		wrong = append(wrong, *d)
	}
	if len(wrong) > 0 {
		return nil, &feature.Error{Code: feature.CodeInvalid, Message: fmt.Sprintf("source %s cannot be copied from %s", src.Name, src.From.Name()), Details: wrong}
	}
	return o, nil
}

// originColumns returns the types by name, and the names in order.
func (s *Store) originColumns(ctx context.Context, o *origin) (types map[string]string, names []string, err error) {
	from := o.src.From
	describe := ""
	if from.Table != "" {
		database, table, _ := strings.Cut(from.Table, ".")
		o.rows = quote(database) + "." + quote(table)
		describe = "DESCRIBE TABLE " + o.rows
	} else {
		if err := s.check(ctx, from.SQL, allTables); err != nil {
			return nil, nil, s.noOrigin(o.src, err)
		}
		o.rows = "(\n" + inner(from.SQL) + ")"
		describe = "DESCRIBE TABLE " + o.rows
	}
	rows, err := s.conn.Query(fenced(ctx), describe)
	if err != nil {
		return nil, nil, s.noOrigin(o.src, err)
	}
	defer rows.Close()
	types = map[string]string{}
	for rows.Next() {
		var name, typ string
		if err := scanFirst(rows, &name, &typ); err != nil {
			return nil, nil, failure("read the columns of "+from.Name(), err)
		}
		types[name] = typ
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, s.noOrigin(o.src, err)
	}
	return types, names, nil
}

// noOrigin says that the table or query cannot be read, which only its owner can mend, unless ClickHouse itself cannot be.
func (s *Store) noOrigin(src *feature.Source, err error) error {
	wrapped := refused("read "+src.From.Name(), err)
	if feature.CodeOf(wrapped) != feature.CodeInvalid {
		return wrapped
	}
	said := err.Error()
	if e, ok := errors.AsType[*clickhouse.Exception](err); ok {
		said = "ClickHouse says: " + message(e)
	}
	field := "from.sql"
	if src.From.Table != "" {
		field = "from.table"
	}
	return &feature.Error{
		Code: feature.CodeInvalid, Message: fmt.Sprintf("source %s cannot be copied from %s", src.Name, src.From.Name()),
		Details: []feature.Detail{{Field: field, Message: said}},
	}
}

func (o *origin) setCursor(types map[string]string, names []string) *feature.Detail {
	name := o.src.From.Cursor
	if name == "" {
		return nil
	}
	wrong := func(format string, args ...any) *feature.Detail {
		return &feature.Detail{Field: "from.cursor", Message: fmt.Sprintf(format, args...)}
	}
	typ, ok := types[name]
	if !ok {
		return wrong("there is no column %s; expected one of %s", name, strings.Join(names, ", "))
	}
	plain := plainType(typ)
	c, err := convertScalar(plain, cursorIn)
	switch {
	case err == nil && c.typ == feature.Timestamp:
		o.cursor = cursorColumn{value: c.expr, isTime: true}
	case err == nil && c.typ == feature.Int64:
		o.cursor = cursorColumn{value: "accurateCastOrNull(" + cursorIn + ", 'Int64')"}
	default:
		return wrong("column %s is %s; expected a time or an integer", name, typ)
	}
	if !o.cursor.isTime && o.src.From.Overlap > 0 {
		return wrong("column %s is %s, and an overlap is a span of time: expected a time, or no overlap", name, typ)
	}
	o.cursor.name, o.cursor.nullable = quote(name), plain != typ && strings.Contains(typ, "Nullable")
	return nil
}

// mark tells origins apart: a cursor counts only for the origin that it was met in.
func (o *origin) mark() string {
	from := *o.src.From
	from.Schedule, from.Overlap = "", 0
	text, _ := json.Marshal(from) // texts cannot fail to encode
	return string(text)
}

// since is where to go on from: the least cursor that a row must have to be looked at.
func (o *origin) since(cursor *int64) *int64 {
	if cursor == nil || o.cursor.name == "" {
		return nil
	}
	lo := *cursor
	if o.cursor.isTime {
		lo = max(lo-int64(o.src.From.Overlap), int64(feature.MinTime))
	}
	return &lo
}

// where compares the column as it is, so that ClickHouse can pass over parts of the table by their order.
func (o *origin) where() string {
	bound := "{since:Int64}"
	if o.cursor.isTime {
		bound = "fromUnixTimestamp64Micro({since:Int64}, 'UTC')"
	}
	if o.cursor.nullable {
		return fmt.Sprintf("(%[1]s >= %[2]s OR %[1]s IS NULL)", o.cursor.name, bound)
	}
	return o.cursor.name + " >= " + bound
}

// copyState is a copy as the system table has it.
type copyState struct {
	copied feature.Copied
	origin string
	cursor *int64
	state  string
	seq    uint64 // of its record in the log; 0 where the log does not name it, as far as ClickHouse covers the log
}

// tableCopies returns those of src that have no end, those that the log does not name, and, last, the one that it named last.
func (s *Store) tableCopies(ctx context.Context, src *feature.Source) ([]copyState, error) {
	sql, err := text("table_copies.sql", nil)
	if err != nil {
		return nil, err
	}
	var out []copyState
	q := query{"read the copies of " + src.Name, sql, []any{clickhouse.Named("source", src.Name)}}
	err = s.each(ctx, q, func(r driver.Rows) error {
		var c copyState
		err := r.Scan(&c.copied.Generation, &c.state, &c.copied.Previous, &c.origin, &c.cursor, &c.copied.Read, &c.copied.Rows,
			&c.copied.Duplicates, &c.copied.Conflicts, &c.copied.Refused, &c.seq)
		out = append(out, c)
		return err
	})
	return out, err
}

func (s *Store) copyStep(ctx context.Context, src *feature.Source, c copyState) error {
	d := c.copied
	in := insertion{table: "table_copies", columns: []stored{
		{"source", "String", []string{src.Name}},
		{"generation", "UInt64", []uint64{d.Generation}},
		{"previous", "UInt64", []uint64{d.Previous}},
		{"origin", "String", []string{c.origin}},
		{"cursor", "Nullable(Int64)", []*int64{c.cursor}},
		{"state", "String", []string{c.state}},
		{"read", "Int64", []int64{d.Read}},
		{"rows", "Int64", []int64{d.Rows}},
		{"duplicates", "Int64", []int64{d.Duplicates}},
		{"conflicts", "Int64", []int64{d.Conflicts}},
		{"refused", "Int64", []int64{d.Refused}},
	}}
	return failure("record a copy", s.insert(ctx, in))
}
