package offline

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Lookup answers for a few keys at one instant, from the events visible at cut. The sources of the plan's views must have
// been given to Ensure; a view whose source has no event table has no events.
func (s *Store) Lookup(ctx context.Context, l *feature.Lookup, cut feature.Cut) (*feature.Answer, error) {
	ctx, cancel := inTime(ctx, s.cfg.Patience)
	defer cancel()
	found := make([]map[string]*latest, len(l.Plan.Items))
	for i := range l.Plan.Items {
		var err error
		if found[i], err = s.lookupItem(ctx, l, &l.Plan.Items[i], cut); err != nil {
			return nil, err
		}
	}
	a := &feature.Answer{Path: feature.PathOffline, Cut: cut, Cells: make([]feature.Cell, 0, l.Rows()*len(l.Plan.Slots))}
	keys := itemKeys(l)
	var buf []byte
	for row := range l.Rows() {
		for _, slot := range l.Plan.Slots {
			it := &l.Plan.Items[slot.Item]
			var newest *latest
			if key := keys[slot.Item](row); !key.HasNull() {
				buf = wire.AppendKey(buf[:0], key)
				newest = found[slot.Item][string(buf)]
			}
			a.Cells = append(a.Cells, newest.cell(it.View, slot.Feature, asof.Hi(l.At, it.View.Delay)))
		}
	}
	return a, nil
}

// latest is the newest event that a read sees, for one key of one view.
type latest struct {
	event  asof.Event
	column []int // for each feature of the view the place of its column in event.Values
}

// cell makes the answer of it; a nil latest is a key without events.
func (n *latest) cell(v *feature.View, f int, hi feature.Time) feature.Cell {
	if n == nil {
		return asof.Latest(&v.Features[f], nil, feature.Value{}, hi)
	}
	return asof.Latest(&v.Features[f], &n.event, n.event.Values[n.column[f]], hi)
}

// featureColumns gives for each feature of the view the place of its column in View.Columns.
func featureColumns(v *feature.View) []int {
	names := v.Columns()
	at := make([]int, len(v.Features))
	for i, f := range v.Features {
		for j, name := range names {
			if name == f.Latest {
				at[i] = j
			}
		}
	}
	return at
}

// itemKeys returns for each item of the plan a function from a row to its key in that item's view.
func itemKeys(l *feature.Lookup) []func(row int) feature.Key {
	keys := make([]func(int) feature.Key, len(l.Plan.Items))
	for i, it := range l.Plan.Items {
		columns := make([]int, len(it.Keys))
		for j, name := range it.Keys {
			columns[j] = feature.FieldIndex(l.Plan.Keys, name)
		}
		keys[i] = func(row int) feature.Key {
			k := make(feature.Key, len(columns))
			for j, c := range columns {
				k[j] = l.Keys[c][row]
			}
			return k
		}
	}
	return keys
}

// keysTable is the name under which a query sees the keys that are asked for.
const keysTable = "_keys"

// lookupItem returns the newest event of each key, by the key's bytes.
func (s *Store) lookupItem(ctx context.Context, l *feature.Lookup, it *feature.Item, cut feature.Cut) (map[string]*latest, error) {
	hi := asof.Hi(l.At, it.View.Delay)
	src, err := s.known(ctx, it.View.Source)
	if src == nil || err != nil || hi < feature.MinTime {
		return nil, err
	}
	asked, err := askedKeys(l, it)
	if asked == nil || err != nil {
		return nil, err
	}
	e, err := s.visible(ctx, src, readOf{edition: it.View.Edition.Number, cut: cut, keys: it.View.Keys, columns: it.View.Columns()})
	if err != nil {
		return nil, err
	}
	sql, err := text("lookup.sql", e)
	if err != nil {
		return nil, err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithExternalTable(asked), clickhouse.WithSettings(clickhouse.Settings{"readonly": 2}))
	found := map[string]*latest{}
	at := featureColumns(it.View)
	key, into := newKey(it.View.Entity.Key)
	var eventTime int64
	row, intoRow := newCells(e.types())
	into = append(append(into, &eventTime), intoRow...)
	q := query{"look up " + it.View.Ref().String(), sql, append(e.params(), clickhouse.Named("hi", int64(min(hi, feature.MaxTime))))}
	err = s.each(ctx, q, func(rows driver.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		n := &latest{column: at, event: row.event(eventTime)}
		found[string(wire.AppendKey(nil, keyOf(key)))] = n
		return nil
	})
	return found, err
}

// event returns the row as an event whose position is its time alone; the query has chosen by the rest.
func (c *cells) event(eventTime int64) asof.Event {
	e := asof.Event{Deleted: c.flags[0]&flagDeleted != 0, Values: make([]feature.Value, len(c.vars))}
	e.EventTime = feature.Time(eventTime)
	for i := range c.vars {
		e.Values[i] = c.value(i)
	}
	return e
}

// askedKeys is the distinct keys of a lookup without NULL parts as a table, or nil when there is none.
func askedKeys(l *feature.Lookup, it *feature.Item) (*ext.Table, error) {
	var columns []func(*ext.Table) error
	for i, f := range it.View.Entity.Key {
		columns = append(columns, ext.Column(keyColumn(i), column.Type(scalarType(f.Type.Kind, true))))
	}
	table, err := ext.NewTable(keysTable, columns...)
	if err != nil {
		return nil, failure("make a table of keys", err)
	}
	i := indexItem(l.Plan, it)
	keyOf := itemKeys(l)[i]
	seen := map[string]bool{}
	for row := range l.Rows() {
		key := keyOf(row)
		if key.HasNull() {
			continue
		}
		if b := string(wire.AppendKey(nil, key)); !seen[b] {
			seen[b] = true
			if err := table.Append(goValues(key)...); err != nil {
				return nil, failure("make a table of keys", err)
			}
		}
	}
	if len(seen) == 0 {
		return nil, nil
	}
	return table, nil
}

func indexItem(p *feature.Plan, it *feature.Item) int {
	for i := range p.Items {
		if &p.Items[i] == it {
			return i
		}
	}
	return -1
}

// goValues are the parts of a key as the driver takes them.
func goValues(k feature.Key) []any {
	out := make([]any, len(k))
	for i, v := range k {
		switch v.Type().Kind {
		case feature.KindString:
			out[i] = v.Str()
		case feature.KindBool:
			out[i] = v.Bool()
		case feature.KindTimestamp:
			out[i] = int64(v.Time())
		default:
			out[i] = v.Int64()
		}
	}
	return out
}
