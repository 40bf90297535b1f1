package offline

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// Ensure makes the event table of src, or adds the columns that it lacks, and remembers src for the reads. A column that
// src no longer has stays; a column whose type changed is a CodeConflict error, because stored events have the old one.
func (s *Store) Ensure(ctx context.Context, src *feature.Source) error {
	doing := "make the event table of " + src.Name
	table := newTable(src)
	marks := []tableColumn{{Plain: "_row", Name: quote("_row"), Type: "UInt64"}}
	sql, err := text("events_create.sql", table)
	if err != nil {
		return err
	}
	if err := s.conn.Exec(ctx, sql); err != nil {
		return failure(doing, err)
	}
	types, err := s.columnTypes(ctx, eventTable(src.Name))
	if err != nil {
		return err
	}
	for _, c := range append(marks, table.Columns...) {
		have, ok := types[c.Plain]
		switch {
		case !ok:
			if err := s.addColumn(ctx, table.Name, c); err != nil {
				return failure(doing, err)
			}
		case have != c.Type:
			return feature.Errorf(feature.CodeConflict, "column %s of source %s is %s in the history and would be %s: give the new one another name",
				c.Plain, src.Name, have, c.Type)
		}
	}
	r, err := s.retain(ctx, src, feature.Time(now()))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources[src.Name], s.retains[src.Name] = src, r
	return nil
}

func (s *Store) addColumn(ctx context.Context, table string, c tableColumn) error {
	sql, err := text("events_add.sql", struct {
		Table  string
		Column tableColumn
	}{table, c})
	if err != nil {
		return err
	}
	return s.conn.Exec(ctx, sql)
}

// columnTypes returns name and type of every column of a table of this database.
func (s *Store) columnTypes(ctx context.Context, table string) (map[string]string, error) {
	types := map[string]string{}
	q := query{
		"read the columns of " + table, "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}",
		[]any{clickhouse.Named("table", table)},
	}
	err := s.each(ctx, q, func(rows driver.Rows) error {
		var name, typ string
		err := rows.Scan(&name, &typ)
		types[name] = typ
		return err
	})
	return types, err
}

// table is what events_create.sql needs.
type table struct {
	Name      string // quoted
	EventTime string // quoted
	Columns   []tableColumn
}

// tableColumn is a column of an event table.
type tableColumn struct {
	Plain, Name string // the name, and the name quoted
	Type        string
	Default     string // DEFAULT or EPHEMERAL clause, or ""
}

func newTable(src *feature.Source) table {
	t := table{Name: quote(eventTable(src.Name)), EventTime: quote(src.EventTime)}
	for _, f := range src.Columns {
		t.add(f, f.Name == src.EventTime)
	}
	t.add(feature.Field{Name: availableAt, Type: feature.Timestamp}, true)
	return t
}

// availableAt is the column that holds when an event could first be known (rule T2).
const availableAt = "_available_at"

func (t *table) add(f feature.Field, required bool) {
	c := tableColumn{Plain: f.Name, Name: quote(f.Name), Type: columnType(f.Type, false, required)}
	if f.Type.Kind == feature.KindTimestamp {
		raw := tableColumn{Plain: rawPrefix + f.Name, Name: quote(rawPrefix + f.Name), Type: columnType(f.Type, true, required), Default: "EPHEMERAL"}
		t.Columns = append(t.Columns, raw)
		c.Default = fmt.Sprintf("DEFAULT fromUnixTimestamp64Micro(%s, 'UTC')", raw.Name)
		if f.Type.List {
			c.Default = fmt.Sprintf("DEFAULT arrayMap(us -> fromUnixTimestamp64Micro(us, 'UTC'), %s)", raw.Name)
		}
	}
	t.Columns = append(t.Columns, c)
	if f.Type.List {
		t.Columns = append(t.Columns, tableColumn{Plain: hasPrefix + f.Name, Name: quote(hasPrefix + f.Name), Type: "Bool"})
	}
}
