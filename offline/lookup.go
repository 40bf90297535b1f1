package offline

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"

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
	at := generationsAt{}
	for i := range l.Plan.Items {
		var err error
		if found[i], err = s.lookupItem(ctx, l, i, lookupOf{cut: cut, at: at}); err != nil {
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
func (s *Store) lookupItem(ctx context.Context, l *feature.Lookup, item int, of lookupOf) (map[string]*seen, error) {
	ctx, of, err := s.prepare(ctx, l, item, of)
	if len(of.keys) == 0 || err != nil {
		return nil, err
	}
	found := map[string]*seen{}
	for _, key := range of.keys {
		found[key] = &seen{}
	}
	latest, windows := askedFeatures(l.Plan, item)
	if len(latest) > 0 {
		if err := s.lookupLatest(ctx, of, found); err != nil {
			return nil, err
		}
	}
	if len(windows) > 0 {
		err = s.lookupWindows(ctx, of, windows, found)
	}
	return found, err
}

// lookupOf is one item of a read.
type lookupOf struct {
	item *feature.Item
	src  *feature.Source
	hi   feature.Time
	cut  feature.Cut
	keys []string // distinct ones, as bytes; none if there is nothing to be seen
	at   generationsAt
	asks bool // the read brings events of the source
}

// prepare prepares the read of an item at the cut of of: queries see its keys, and the events that it brings, in the context returned.
func (s *Store) prepare(ctx context.Context, l *feature.Lookup, item int, of lookupOf) (context.Context, lookupOf, error) {
	it := &l.Plan.Items[item]
	events := l.EventsOf(it.View.Source)
	of.item, of.hi, of.asks = it, asof.Hi(l.At, it.View.Delay), events != nil
	var err error
	if of.src, err = s.known(ctx, it.View.Source); err != nil || of.hi < feature.MinTime {
		return ctx, of, err
	}
	if of.src == nil && of.asks {
		return ctx, of, feature.Errorf(feature.CodeUnavailable, "source %s, of which the request brings events, has not arrived here yet", it.View.Source)
	}
	if of.src == nil {
		return ctx, of, nil
	}
	if err := s.checkKept(it.View, of.src, l.At); err != nil {
		return ctx, of, err
	}
	asked, err := newAskedKeys(l, item)
	if err != nil {
		return ctx, of, err
	}
	tables := []*ext.Table{asked.table}
	if of.asks {
		t, err := newAskedEvents(of.src, events)
		if err != nil {
			return ctx, of, err
		}
		tables = append(tables, t)
	}
	of.keys = asked.keys
	return clickhouse.Context(ctx, clickhouse.WithExternalTable(tables...), clickhouse.WithSettings(clickhouse.Settings{"readonly": 2})), of, nil
}

// lookupLatest finds the newest event of each key.
func (s *Store) lookupLatest(ctx context.Context, l lookupOf, found map[string]*seen) error {
	inputs, column := latestInputs(l.item.View)
	k, err := s.lookupQuery(ctx, l, "lookup.sql", inputs)
	if err != nil {
		return err
	}
	return s.eachKept(ctx, k, func(x asof.Kept) error {
		n := found[string(wire.AppendKey(nil, x.Key))]
		n.newest, n.column = &x.Event, column
		return nil
	})
}

// lookupWindows computes the windows of each key from their events.
func (s *Store) lookupWindows(ctx context.Context, l lookupOf, features []int, found map[string]*seen) error {
	f, err := newFold(l, features)
	if err != nil {
		return err
	}
	k, err := s.lookupQuery(ctx, l, "lookup_events.sql", f.inputs)
	if err != nil {
		return err
	}
	k.args = append(k.args, clickhouse.Named("after", int64(max(f.after(), feature.MinTime-1))))
	var key []byte // of the events folded so far
	err = s.eachKept(ctx, k, func(x asof.Kept) error {
		if before := len(key); before == 0 || string(wire.AppendKey(key, x.Key)[before:]) != string(key) {
			if before > 0 {
				found[string(key)].windows = f.values()
			}
			key = wire.AppendKey(key[:0], x.Key)
		}
		f.add(&x.Event)
		return nil
	})
	if err == nil && len(key) > 0 {
		found[string(key)].windows = f.values()
	}
	return err
}

// lookupQuery finds events of the keys asked for, with their positions.
func (s *Store) lookupQuery(ctx context.Context, l lookupOf, name string, inputs []feature.Input) (*keptQuery, error) {
	v := l.item.View
	e, err := s.visible(ctx, l.src, readOf{edition: v.Edition.Number, cut: l.cut, at: l.at, keys: v.Keys, inputs: inputs})
	if err != nil {
		return nil, err
	}
	k := &keptQuery{view: v}
	k.selectPositions(e, l.src)
	k.types = e.types()
	if l.asks {
		e.ask(l.src)
	}
	sql, err := text(name, e)
	k.query = query{"look up " + v.Ref().String(), sql, append(e.params(), clickhouse.Named("hi", int64(min(l.hi, feature.MaxTime))))}
	return k, err
}

// askedKeys is the distinct keys of a lookup without NULL parts: their bytes, and a table of them.
type askedKeys struct {
	keys  []string
	table *ext.Table
}

func newAskedKeys(l *feature.Lookup, item int) (asked askedKeys, err error) {
	var columns []func(*ext.Table) error
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
			if err := asked.table.Append(goValues(key)...); err != nil {
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
