package online

import (
	"cmp"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// reading is what one item of a lookup asks of the pasts of a windowed view. All windows with exact edges are read in one
// go, from the narrowest to the widest: each adds what lies before the one before it.
type reading struct {
	windows *windows
	item    *item
	hi      feature.Time
	exact   []ask        // windows with exact edges that are asked for, narrow ones first
	needs   []need       // measures that these read
	open    []int        // those of them that read what add adds
	tiled   []ask        // the other windows that are asked for
	states  []agg.State  // of each measure of windows.exact
	loose   []agg.State  // of each measure of windows.loose
	latest  []int        // slots of latest features
	asked   []asof.Event // that the read brings for the row's key
}

// ask is a window feature that is asked for.
type ask struct {
	lo   feature.Time
	slot int
	of   readOf
}

// need is a measure and the least instant that it is read from.
type need struct {
	measure int
	lo      feature.Time
}

func newReading(w *windows) *reading {
	r := &reading{windows: w}
	if w.exact != nil {
		r.states = states(w.exact.measures)
	}
	if w.loose != nil {
		r.loose = states(w.loose.measures)
	}
	return r
}

func states(of []measure) []agg.State {
	states := make([]agg.State, len(of))
	for i := range of {
		states[i] = of[i].state()
	}
	return states
}

// begin prepares r for an item.
func (r *reading) begin(t *table, it *item, hi feature.Time) {
	r.item, r.hi, r.exact, r.needs, r.tiled, r.latest, r.asked = it, hi, r.exact[:0], r.needs[:0], r.tiled[:0], r.latest[:0], nil
	for j, slot := range it.Plan.Slots {
		if slot.Item != it.index {
			continue
		}
		w, of := t.view.Features[slot.Feature].Window, r.windows.reads[slot.Feature]
		switch {
		case w == nil:
			r.latest = append(r.latest, j)
		case of.tiling == noTiling:
			r.exact = append(r.exact, ask{asof.Lo(w, hi), j, of})
		default:
			r.tiled = append(r.tiled, ask{asof.Lo(w, hi), j, of})
		}
	}
	slices.SortFunc(r.exact, func(a, b ask) int { return cmp.Compare(b.lo, a.lo) })
	for _, a := range r.exact {
		at := slices.IndexFunc(r.needs, func(n need) bool { return n.measure == a.of.measure })
		if at < 0 {
			at = len(r.needs)
			r.needs = append(r.needs, need{a.of.measure, a.lo})
		}
		r.needs[at].lo = min(r.needs[at].lo, a.lo)
	}
}

// row sets the item's cells of a row from the past of its key.
func (r *reading) row(p *past, row int) {
	slots, view := r.item.Plan.Slots, r.item.Plan.Items[r.item.index].View
	cells := r.item.cells[row*len(slots):]
	for _, n := range r.needs {
		r.states[n.measure].Reset()
	}
	top := r.hi
	for _, a := range r.exact {
		if a.lo < top {
			r.add(p.events, a.lo, top)
			top = a.lo
		}
		cells[a.slot] = asof.Windowed(&view.Features[slots[a.slot].Feature], r.states[a.of.measure].Value())
	}
	for _, a := range r.tiled {
		cells[a.slot] = asof.Windowed(&view.Features[slots[a.slot].Feature], r.tile(p, a))
	}
	if len(r.latest) == 0 {
		return
	}
	l, at := p.events.at(r.hi)
	var stored, newest *asof.Event
	if l != nil {
		stored = &asof.Event{Position: l.position(at), Deleted: l.isDeleted(at)}
	}
	newest = asof.Newer(stored, r.asked, r.hi)
	for _, j := range r.latest {
		f := slots[j].Feature
		input := r.windows.reads[f].input
		var v feature.Value
		switch newest {
		case nil:
		case stored:
			v = l.columns[r.windows.columns[input]].Value(at)
		default:
			v = newest.Values[input]
		}
		cells[j] = asof.Latest(&view.Features[f], newest, v, r.hi)
	}
}

// add adds the events with lo < event_time ≤ hi, which are all before those of the states.
func (r *reading) add(t *tree, lo, hi feature.Time) {
	r.open = r.open[:0]
	for _, n := range r.needs {
		if n.lo <= lo {
			r.open = append(r.open, n.measure)
		}
	}
	if s, some := t.span(lo, hi); some {
		t.fold(r.states, r.open, s)
	}
	for _, m := range r.open {
		r.addAsked(r.states[m], &t.shape.measures[m], lo, hi)
	}
}

// addAsked adds the events that the read brings with lo < event_time ≤ hi to the state of a measure (rule D4).
func (r *reading) addAsked(s agg.State, m *measure, lo, hi feature.Time) {
	for i := range r.asked {
		if e := &r.asked[i]; lo < e.EventTime && e.EventTime <= hi {
			m.add(s, e)
		}
	}
}

// tile returns the value of a window over tiles. What is in a tile is all at or before hi.
func (r *reading) tile(p *past, a ask) feature.Value {
	g := &r.windows.tilings[a.of.tiling]
	s := r.loose[g.first+a.of.measure]
	s.Reset()
	p.tiles[a.of.tiling].fold(s, a.of.measure, g.begins(a.lo))
	if span, some := p.loose.span(a.lo, r.hi); some {
		r.open = append(r.open[:0], g.first+a.of.measure)
		p.loose.fold(r.loose, r.open, span)
	}
	r.addAsked(s, &g.measures[a.of.measure], a.lo, r.hi)
	return s.Value()
}

// missing sets the item's cells of a row whose key has a NULL part (K3).
func (r *reading) missing(row int) {
	slots, view := r.item.Plan.Slots, r.item.Plan.Items[r.item.index].View
	for j, slot := range slots {
		if slot.Item == r.item.index {
			r.item.cells[row*len(slots)+j] = asof.Unkeyed(&view.Features[slot.Feature])
		}
	}
}

func (s *Store) lookupWindows(t *table, it *item, columns []int, sc *scratch, n *reads) error {
	r := t.readings.Get().(*reading)
	defer t.readings.Put(r)
	r.begin(t, it, asof.Hi(it.At, t.view.Delay))
	for row := range it.Rows() {
		if !it.key(sc, columns, row) {
			r.missing(row)
			continue
		}
		sc.key = wire.AppendKey(t.prefix(sc.key[:0]), sc.parts)
		if it.asked != nil {
			r.asked = it.asked[string(sc.key)]
		}
		if err := s.visit(t, placeOf(sc.key), n, func(p *past) { r.row(p, row) }); err != nil {
			return err
		}
	}
	return nil
}
