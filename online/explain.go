package online

import (
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Explain is LookupAtOnce of a lookup of one row, with what each slot of the plan was made of. A key with a NULL part has no
// events.
func (s *Store) Explain(l *feature.Lookup) (*feature.Answer, []asof.Trace, error) {
	if l.Rows() != 1 {
		return nil, nil, feature.Errorf(feature.CodeInvalid, "%d keys: expected one to explain", l.Rows())
	}
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return nil, nil, errClosed
	}
	s.apply.Lock() // between the answer and its explanation nothing happens
	defer s.apply.Unlock()
	a, err := s.lookup(l)
	if err != nil {
		return nil, nil, err
	}
	traces := make([]asof.Trace, len(l.Plan.Slots))
	for i := range l.Plan.Items {
		if err := s.explainItem(&item{l, i, a.Cells, nil}, traces); err != nil {
			return nil, nil, err
		}
	}
	return a, traces, nil
}

func (s *Store) explainItem(it *item, traces []asof.Trace) error {
	view := it.Plan.Items[it.index].View
	t := s.world.Load().tables[view.Ref()]
	hi := asof.Hi(it.At, t.view.Delay)
	for j, slot := range it.Plan.Slots {
		if slot.Item == it.index {
			traces[j] = asof.Trace{Lo: asof.Ever, Hi: hi}
			if w := view.Features[slot.Feature].Window; w != nil {
				traces[j].Lo = asof.Lo(w, hi)
			}
		}
	}
	columns, err := it.keyColumns(nil)
	if err != nil {
		return err
	}
	if it.asked, err = t.asked(it.Lookup); err != nil {
		return err
	}
	var sc scratch
	var n reads
	if !it.key(&sc, columns, 0) {
		return nil
	}
	sc.key = wire.AppendKey(t.prefix(nil), sc.parts)
	asked := it.asked[string(sc.key)]
	if t.windows != nil {
		r := newReading(t.windows)
		r.begin(t, it, hi)
		r.asked = asked
		return s.visit(t, placeOf(sc.key), &n, func(p *past) { r.explain(p, traces) })
	}
	state, err := s.find(t, placeOf(sc.key), &n)
	if err != nil {
		return err
	}
	e := asof.Newer(asof.At(state, hi), asked, hi)
	for j, slot := range it.Plan.Slots {
		if slot.Item == it.index && e != nil {
			traces[j].Events = []asof.Traced{{Position: e.Position, Deleted: e.Deleted, Value: e.Values[t.slots[slot.Feature]]}}
		}
	}
	return nil
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
