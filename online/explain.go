package online

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Explain is LookupAtOnce of a lookup of one row, with what each slot of the plan was made of. It holds the applier only while it
// looks into memory: what is not there is read afterwards, from the disk as it was. A key with a NULL part has no events.
func (s *Store) Explain(l *feature.Lookup) (a *feature.Answer, traces []asof.Trace, err error) {
	if l.Rows() != 1 {
		return nil, nil, feature.Errorf(feature.CodeInvalid, "%d keys: expected one to explain", l.Rows())
	}
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return nil, nil, errClosed
	}
	a, traces = &feature.Answer{Path: feature.PathOnline, Cells: make([]feature.Cell, len(l.Plan.Slots))}, make([]asof.Trace, len(l.Plan.Slots))
	all := make([]*explaining, len(l.Plan.Items))
	for i := range all {
		if all[i], err = s.explaining(&item{Lookup: l, index: i, cells: a.Cells}, traces); err != nil {
			return nil, nil, err
		}
	}
	var n reads
	defer func() {
		s.counters.add(n)
		for _, x := range all {
			if x.rows != nil {
				err = errors.Join(err, x.rows.Close())
			}
		}
	}()
	if a.Cut, err = s.look(all, &n); err != nil {
		return nil, nil, err
	}
	for _, x := range all {
		if err := s.finish(x); err != nil {
			return nil, nil, err
		}
	}
	return a, traces, nil
}

// explaining is one item of an Explain. Nothing that it gives away is shared with a state, but for values, which never change.
type explaining struct {
	item   *item
	table  *table
	hi     feature.Time
	traces []asof.Trace // of all items
	asked  []asof.Event // that the read brings for the key
	null   bool         // a part of the key is NULL
	place  place

	// What memory has of a key of which it has not everything, and the disk's rows of it when that was all.
	keep        feature.Time
	state       []asof.Event
	early, late rows
	rows        *pebble.Iterator // nil when nothing is to be read
}

func (s *Store) explaining(it *item, traces []asof.Trace) (*explaining, error) {
	view := it.Plan.Items[it.index].View
	t := s.world.Load().tables[view.Ref()]
	if err := t.check(&it.Plan.Items[it.index], it.At); err != nil {
		return nil, err
	}
	x := &explaining{item: it, table: t, hi: asof.Hi(it.At, t.view.Delay), traces: traces}
	for j, slot := range it.Plan.Slots {
		if slot.Item != it.index {
			continue
		}
		traces[j] = asof.Trace{Lo: asof.Ever, Hi: x.hi}
		if w := view.Features[slot.Feature].Window; w != nil {
			traces[j].Lo = asof.Lo(w, x.hi)
		}
	}
	columns, err := it.keyColumns(nil)
	if err != nil {
		return nil, err
	}
	asked, err := t.asked(it.Lookup)
	if err != nil {
		return nil, err
	}
	var sc scratch
	if x.null = !it.key(&sc, columns, 0); x.null {
		return x, nil
	}
	x.place = placeOf(wire.AppendKey(t.prefix(nil), sc.parts))
	x.asked = asked[string(x.place.key)]
	return x, nil
}

// look explains from memory what it can, and takes hold of the rest, all at one position, which it returns.
func (s *Store) look(all []*explaining, n *reads) (feature.Cut, error) {
	s.apply.Lock()
	defer s.apply.Unlock()
	for _, x := range all {
		if err := x.table.check(&x.item.Plan.Items[x.item.index], x.item.At); err != nil {
			return feature.Cut{}, err
		}
		if x.table.loading.Load() {
			return feature.Cut{}, feature.Errorf(feature.CodeUnavailable, "there is no single position to read at: view %s is loading an import", x.table.ref)
		}
		if err := s.lookAt(x, n); err != nil {
			return feature.Cut{}, err
		}
	}
	return *s.position.Load(), nil
}

func (s *Store) lookAt(x *explaining, n *reads) (err error) {
	t := x.table
	x.keep = t.keep()
	switch {
	case x.null && t.windows != nil:
		r := newReading(t.windows)
		r.begin(t, x.item, x.hi)
		r.missing(0)
	case x.null:
		x.item.fill(t, 0, nil, x.hi)
	case t.windows != nil:
		sh := t.shard(x.place.hash)
		sh.mu.RLock() // until the rows are held: a sweep, which comes after the cells that are seen have left their shard, may move them
		defer sh.mu.RUnlock()
		f := fetching{dirty: sh.dirty[string(x.place.key)], recent: sh.recent[string(x.place.key)]}
		if known := s.known(x.place, &f, n); known != nil {
			x.windowed(known)
			return nil
		}
		x.early, x.late = f.rows()
		n.disk++
		x.rows, err = s.disk.rows(x.place.key)
	default:
		c, state, partial := t.shard(x.place.hash).peek(x.place.key)
		if c != nil && !partial {
			n.memory++
			x.latest(state)
			return nil
		}
		if e := s.cache.get(x.place.hash, x.place.key); e != nil {
			n.cached++
			x.latest(union(slices.Clip(e.state), state, x.keep))
			return nil
		}
		x.state = state
		n.disk++
		x.rows, err = s.disk.rows(x.place.key)
	}
	return err
}

// finish explains what look did not.
func (s *Store) finish(x *explaining) error {
	it := x.rows
	if it == nil {
		return nil
	}
	x.rows = nil
	if x.table.windows == nil {
		base, err := s.disk.stateOf(it)
		if err == nil {
			x.latest(union(base, x.state, x.keep))
		}
		return err
	}
	whole, err := s.disk.pastOf(x.table, x.place.key, it, x.keep)
	if err != nil {
		return err
	}
	whole.addRows(x.early)
	whole.addRows(x.late)
	x.windowed(whole)
	return nil
}

// latest explains an item of a view without windows from the state of its key.
func (x *explaining) latest(state []asof.Event) {
	e := asof.Newer(asof.At(state, x.hi), x.asked, x.hi)
	x.item.fill(x.table, 0, e, x.hi)
	for j, slot := range x.item.Plan.Slots {
		if slot.Item == x.item.index && e != nil {
			x.traces[j].Events = []asof.Traced{{Position: e.Position, Deleted: e.Deleted, Value: e.Values[x.table.slots[slot.Feature]]}}
		}
	}
}

// windowed explains an item of a view with windows from the past of its key.
func (x *explaining) windowed(p *past) {
	r := newReading(x.table.windows)
	r.begin(x.table, x.item, x.hi)
	r.asked = x.asked
	r.row(p, 0)
	r.explain(p, x.traces)
}

// explain says what the item's slots are made of.
func (r *reading) explain(p *past, traces []asof.Trace) {
	for _, a := range r.exact {
		x := &traces[a.slot]
		r.traceEvents(x, p.events, a)
		s, some := p.events.span(x.Lo, x.Hi)
		if !some || s.a == s.b {
			continue
		}
		from, to, _ := p.events.whole(s)
		p.events.blocks(from, to, func(level, number int) { x.Sums = append(x.Sums, p.events.sum(level, number, a.of.measure)) })
	}
	for _, a := range r.tiled {
		x, g := &traces[a.slot], &r.windows.tilings[a.of.tiling]
		r.traceEvents(x, p.loose, a)
		x.Tiled = true
		p.tiles[a.of.tiling].each(g.begins(a.lo), func(level int, at *tile) { x.Sums = append(x.Sums, g.sum(level, at, a.of.measure)) })
	}
	for _, j := range r.latest {
		l, at := p.events.at(r.hi)
		var stored *asof.Event
		input := r.windows.reads[r.item.Plan.Slots[j].Feature].input
		if l != nil {
			stored = &asof.Event{Position: l.position(at), Deleted: l.isDeleted(at)}
		}
		switch e := asof.Newer(stored, r.asked, r.hi); e {
		case nil:
		case stored:
			traces[j].Events = []asof.Traced{{Position: e.Position, Deleted: e.Deleted, Value: l.value(r.windows, input, at)}}
		default:
			traces[j].Events = []asof.Traced{{Position: e.Position, Deleted: e.Deleted, Value: e.Values[input]}}
		}
	}
}

// traceEvents lists the events of a window that are there singly, the newest first, those that the read brings before them.
func (r *reading) traceEvents(x *asof.Trace, t *tree, a ask) {
	for i := range r.asked {
		if e := &r.asked[i]; x.Lo < e.EventTime && e.EventTime <= x.Hi {
			x.Events = append(x.Events, asof.Traced{Position: e.Position, Deleted: e.Deleted, Value: e.Values[a.of.input]})
		}
	}
	s, some := t.span(x.Lo, x.Hi)
	room := 0 // made once: the applier may be waiting
	for n := s.b; some && n >= s.a && room < asof.MaxTraced; n-- {
		room += t.leaves[n].len()
	}
	x.Events = slices.Grow(x.Events, min(room, asof.MaxTraced))
	for n := s.b; some && n >= s.a; n-- {
		l, from, to := t.leaves[n], 0, t.leaves[n].len()
		if n == s.a {
			from = s.i
		}
		if n == s.b {
			to = s.j
		}
		for i := to - 1; i >= from; i-- {
			if x.More = len(x.Events) >= asof.MaxTraced; x.More {
				return
			}
			x.Events = append(x.Events, asof.Traced{Position: l.position(i), Deleted: l.isDeleted(i), Value: l.value(r.windows, a.of.input, i)})
		}
	}
}

// value returns the value of an input in event i.
func (l *leaf) value(w *windows, input, i int) feature.Value {
	if c := w.columns[input]; c != everyEvent {
		return l.columns[c].Value(i)
	}
	return feature.BoolValue(true)
}

// sum describes a block.
func (t *tree) sum(level, number, measure int) asof.Sum {
	first, end := number<<(level*fanoutBits)-t.first, (number+1)<<(level*fanoutBits)-t.first
	last := t.leaves[end-1]
	x := asof.Sum{Level: level, First: t.leaves[first].position(0), Last: last.position(last.len() - 1), Value: t.block(level, number)[measure].Value()}
	x.After, x.Until = x.First.EventTime-1, x.Last.EventTime
	for _, l := range t.leaves[first:end] {
		x.Events += l.len()
	}
	return x
}

// sum describes a tile or a block of them.
func (g *tiling) sum(level int, at *tile, measure int) asof.Sum {
	x := asof.Sum{Level: level, After: asof.Ever, Until: feature.MaxTime, Value: at.states[measure].Value()}
	if g.hop > 0 {
		width := feature.Time(g.hop) << (level * tileFanoutBits)
		x.After, x.Until = feature.Time(at.number)*width, feature.Time(at.number+1)*width
	}
	return x
}
