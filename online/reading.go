package online

import (
	"cmp"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// reading is what one item of a lookup asks of the trees of a windowed view. All windows of one measure are read in one
// go, from the narrowest to the widest: each adds what lies before the one before it.
type reading struct {
	shape  *shape
	item   *item
	hi     feature.Time
	asks   []ask       // windows that are asked for, narrow ones first
	needs  []need      // measures that these read
	states []agg.State // of each measure of the shape, and as many for what is in between
	latest []int       // slots of latest features
}

// ask is a window feature that is asked for.
type ask struct {
	lo      feature.Time
	slot    int
	measure int
}

// need is a measure and the least instant that it is read from.
type need struct {
	measure int
	lo      feature.Time
}

func newReading(s *shape) *reading {
	r := &reading{shape: s}
	for range 2 {
		for i := range s.measures {
			r.states = append(r.states, agg.New(s.measures[i].spec))
		}
	}
	return r
}

// begin prepares r for an item.
func (r *reading) begin(t *table, it *item, hi feature.Time) {
	r.item, r.hi, r.asks, r.needs, r.latest = it, hi, r.asks[:0], r.needs[:0], r.latest[:0]
	for j, slot := range it.Plan.Slots {
		if slot.Item != it.index {
			continue
		}
		m := t.shape.measureOf[slot.Feature]
		if m == latestFeature {
			r.latest = append(r.latest, j)
			continue
		}
		r.asks = append(r.asks, ask{asof.Lo(t.view.Features[slot.Feature].Window, hi), j, m})
	}
	slices.SortFunc(r.asks, func(a, b ask) int { return cmp.Compare(b.lo, a.lo) })
	for _, a := range r.asks {
		at := slices.IndexFunc(r.needs, func(n need) bool { return n.measure == a.measure })
		if at < 0 {
			at = len(r.needs)
			r.needs = append(r.needs, need{a.measure, a.lo})
		}
		r.needs[at].lo = min(r.needs[at].lo, a.lo)
	}
}

// row sets the item's cells of a row from the tree of its key.
func (r *reading) row(t *tree, row int) {
	slots, view := r.item.Plan.Slots, r.item.Plan.Items[r.item.index].View
	cells := r.item.cells[row*len(slots):]
	for _, n := range r.needs {
		r.states[n.measure].Reset()
	}
	top := r.hi
	for _, a := range r.asks {
		if a.lo < top {
			r.add(t, a.lo, top)
			top = a.lo
		}
		cells[a.slot] = asof.Windowed(&view.Features[slots[a.slot].Feature], r.states[a.measure].Value())
	}
	if len(r.latest) == 0 {
		return
	}
	l, at := t.at(r.hi)
	for _, j := range r.latest {
		f := slots[j].Feature
		if l == nil {
			cells[j] = asof.Latest(&view.Features[f], nil, feature.Value{}, r.hi)
			continue
		}
		e := asof.Event{Position: l.position(at), Deleted: l.isDeleted(at)}
		cells[j] = asof.Latest(&view.Features[f], &e, l.columns[r.shape.columns[r.shape.inputOf[f]]].Value(at), r.hi)
	}
}

// add adds the events with lo < event_time ≤ hi, which are all before those of the states.
func (r *reading) add(t *tree, lo, hi feature.Time) {
	s, some := t.span(lo, hi)
	if !some {
		return
	}
	for _, n := range r.needs {
		switch m := n.measure; {
		case n.lo > lo:
		case r.shape.measures[m].ordered:
			earlier := m + len(r.shape.measures)
			r.states[earlier].Reset()
			t.fold(r.states[earlier], m, s)
			r.states[earlier].Merge(r.states[m])
			r.states[m], r.states[earlier] = r.states[earlier], r.states[m]
		default:
			t.fold(r.states[m], m, s)
		}
	}
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
		if err := s.visit(t, placeOf(sc.key), n, func(tr *tree) { r.row(tr, row) }); err != nil {
			return err
		}
	}
	return nil
}
