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
	found := make([]map[string]*seen, len(l.Plan.Items))
	for i := range l.Plan.Items {
		var err error
		if found[i], err = s.lookupItem(ctx, l, i, cut); err != nil {
			return nil, err
		}
	}
	a := &feature.Answer{Path: feature.PathOffline, Cut: cut, Cells: make([]feature.Cell, 0, l.Rows()*len(l.Plan.Slots))}
	keys := itemKeys(l)
	var buf []byte
	for row := range l.Rows() {
		for _, slot := range l.Plan.Slots {
			it := &l.Plan.Items[slot.Item]
			var of *seen
			if key := keys[slot.Item](row); !key.HasNull() {
				buf = wire.AppendKey(buf[:0], key)
				if of = found[slot.Item][string(buf)]; of == nil {
					of = &seen{}
				}
			}
			a.Cells = append(a.Cells, of.cell(it.View, slot.Feature, asof.Hi(l.At, it.View.Delay)))
		}
	}
	return a, nil
}

// seen is what a read sees of one key of one view.
type seen struct {
	newest  *asof.Event     // nil: none
	column  []int           // for each feature of the view the place of its input in newest.Values
	windows []feature.Value // by feature; nil: no events
}

// cell makes the answer of it; nil is a key with a NULL part (rule K3).
func (n *seen) cell(v *feature.View, f int, hi feature.Time) feature.Cell {
	def := &v.Features[f]
	switch {
	case n != nil && def.Window != nil && n.windows != nil:
		return asof.Windowed(def, n.windows[f])
	case n != nil && def.Window != nil:
		return asof.Windowed(def, overNothing(def))
	case n == nil:
		return asof.Unkeyed(def)
	case n.newest == nil:
		return asof.Latest(def, nil, feature.Value{}, hi)
	default:
		return asof.Latest(def, n.newest, n.newest.Values[n.column[f]], hi)
	}
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

// lookupItem returns what the read sees of each key, by the key's bytes.
func (s *Store) lookupItem(ctx context.Context, l *feature.Lookup, item int, cut feature.Cut) (map[string]*seen, error) {
	it := &l.Plan.Items[item]
	hi := asof.Hi(l.At, it.View.Delay)
	src, err := s.known(ctx, it.View.Source)
	if err != nil || hi < feature.MinTime {
		return nil, err
	}
	events := l.EventsOf(it.View.Source)
	if src == nil && events != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "source %s, of which the request brings events, has not arrived here yet", it.View.Source)
	}
	if src == nil {
		return nil, nil
	}
	asked, err := newAskedKeys(l, item)
	if len(asked.keys) == 0 || err != nil {
		return nil, err
	}
	tables := []*ext.Table{asked.table}
	if events != nil {
		t, err := newAskedEvents(src, events)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithExternalTable(tables...), clickhouse.WithSettings(clickhouse.Settings{"readonly": 2}))
	found := map[string]*seen{}
	for _, key := range asked.keys {
		found[key] = &seen{}
	}
	latest, windows := askedFeatures(l.Plan, item)
	of := lookupOf{l.At, it, src, cut, events != nil}
	if len(latest) > 0 {
		if err := s.lookupLatest(ctx, of, found); err != nil {
			return nil, err
		}
	}
	if len(windows) > 0 {
		err = s.lookupWindows(ctx, of, windows, asked.keys, found)
	}
	return found, err
}

// lookupOf is one item of a read.
type lookupOf struct {
	at   feature.Time
	item *feature.Item
	src  *feature.Source
	cut  feature.Cut
	asks bool // the read brings events of the source
}

// lookupLatest finds the newest event of each key.
func (s *Store) lookupLatest(ctx context.Context, l lookupOf, found map[string]*seen) error {
	v := l.item.View
	inputs, at := latestInputs(v)
	e, err := s.visible(ctx, l.src, readOf{edition: v.Edition.Number, cut: l.cut, keys: v.Keys, inputs: inputs})
	if err != nil {
		return err
	}
	if l.asks {
		e.ask(l.src)
	}
	sql, err := text("lookup.sql", e)
	if err != nil {
		return err
	}
	key, into := newKey(v.Entity.Key)
	var eventTime int64
	row, intoRow := newCells(e.types())
	into = append(append(into, &eventTime), intoRow...)
	hi := asof.Hi(l.at, v.Delay)
	q := query{"look up " + v.Ref().String(), sql, append(e.params(), clickhouse.Named("hi", int64(min(hi, feature.MaxTime))))}
	return s.each(ctx, q, func(rows driver.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		n := found[string(wire.AppendKey(nil, keyOf(key)))]
		n.newest, n.column = row.event(eventTime), at
		return nil
	})
}

// lookupWindows computes the windows of each key: the keys are a spine of one instant.
func (s *Store) lookupWindows(ctx context.Context, l lookupOf, features []int, keys []string, found map[string]*seen) error {
	var columns []spineKey
	for i, f := range l.item.View.Entity.Key {
		c := spineKey{keyColumn(i), keyColumn(i)}
		if f.Type.Kind == feature.KindBool {
			c.Expr = "toInt64(" + c.Expr + ")"
		}
		columns = append(columns, c)
	}
	q, err := s.windowQuery(ctx, l.src, windowAsk{
		item: l.item, features: features, cut: l.cut, first: l.at, last: l.at, spine: keysTable, keys: columns, onlyKeys: true, asks: l.asks,
	})
	if err != nil {
		return err
	}
	values, err := s.windowsAt(ctx, q, l.item, len(keys))
	if err != nil {
		return err
	}
	for i, key := range keys {
		found[key].windows = values[i]
	}
	return nil
}

// event returns the row as an event whose position is its time alone; the query has chosen by the rest.
func (c *cells) event(eventTime int64) *asof.Event {
	e := &asof.Event{Deleted: c.flags[0]&flagDeleted != 0, Values: make([]feature.Value, len(c.vars))}
	e.EventTime = feature.Time(eventTime)
	for i := range c.vars {
		e.Values[i] = c.value(i)
	}
	return e
}

// askedKeys is the distinct keys of a lookup without NULL parts: their bytes, and a table of them, numbered.
type askedKeys struct {
	keys  []string
	table *ext.Table
}

func newAskedKeys(l *feature.Lookup, item int) (asked askedKeys, err error) {
	columns := []func(*ext.Table) error{ext.Column("_rid", "UInt64"), ext.Column("_t", "Int64")}
	for i, f := range l.Plan.Items[item].View.Entity.Key {
		columns = append(columns, ext.Column(keyColumn(i), column.Type(scalarType(f.Type.Kind, true))))
	}
	if asked.table, err = ext.NewTable(keysTable, columns...); err != nil {
		return asked, failure("make a table of keys", err)
	}
	keyOf := itemKeys(l)[item]
	seen := map[string]bool{}
	for row := range l.Rows() {
		key := keyOf(row)
		if key.HasNull() {
			continue
		}
		if b := string(wire.AppendKey(nil, key)); !seen[b] {
			seen[b] = true
			if err := asked.table.Append(append([]any{uint64(len(asked.keys)), int64(l.At)}, goValues(key)...)...); err != nil {
				return asked, failure("make a table of keys", err)
			}
			asked.keys = append(asked.keys, b)
		}
	}
	return asked, nil
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
