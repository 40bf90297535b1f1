package online

import (
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Lookup answers l from the replica. The answer reflects at least the entries up to its Cut, and each key of
// each view some one position. The error is CodeBelowFloor if l.At lies below the floor of a view of the plan, and
// CodeUnavailable if one is not followed, or not ready yet.
func (s *Store) Lookup(l *feature.Lookup) (*feature.Answer, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	return s.lookup(l)
}

// LookupAtOnce is Lookup of exactly one position: the answer reflects the entries up to its Cut and no others.
// It holds the applier meanwhile. While a generation is loaded that is too large to become visible at once it
// fails with CodeUnavailable.
func (s *Store) LookupAtOnce(l *feature.Lookup) (*feature.Answer, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return nil, errClosed
	}
	s.apply.Lock()
	defer s.apply.Unlock()
	a, err := s.lookup(l)
	if err == nil && len(a.Stale) > 0 {
		return nil, feature.Errorf(feature.CodeUnavailable, "there is no single position to read at: %s", a.Stale[0])
	}
	return a, err
}

func (s *Store) lookup(l *feature.Lookup) (*feature.Answer, error) {
	// The position first: what is read after it reflects it.
	a := &feature.Answer{Path: feature.PathOnline, Cut: *s.position.Load()}
	w, p := s.world.Load(), l.Plan
	a.Cells = make([]feature.Cell, l.Rows()*len(p.Slots))
	sc := s.pool.Get().(*scratch)
	defer s.pool.Put(sc)
	var n reads
	for i := range p.Items {
		t := w.tables[p.Items[i].View.Ref()]
		if err := t.check(&p.Items[i], l.At); err != nil {
			return nil, err
		}
		asked, err := t.asked(l)
		if err != nil {
			return nil, err
		}
		if err := s.lookupItem(t, &item{l, i, a.Cells, asked}, sc, &n); err != nil {
			return nil, err
		}
	}
	s.counters.add(n)
	// The clock is raised before states are pruned by it, so if l.At is not below the floor now, nothing that was
	// read had lost what l.At sees.
	for i := range p.Items {
		t := w.tables[p.Items[i].View.Ref()]
		if err := t.check(&p.Items[i], l.At); err != nil {
			return nil, err
		}
		if t.loading.Load() {
			a.Stale = append(a.Stale, "view "+t.ref.String()+" is loading an import")
		}
	}
	return a, nil
}

// check returns why the table, which may be nil, does not answer a read of it at the instant.
func (t *table) check(it *feature.Item, at feature.Time) error {
	switch {
	case t == nil || t.phase.Load() == gone:
		return feature.Errorf(feature.CodeUnavailable, "view %s is not followed by this replica (yet)", it.View.Ref())
	case t.phase.Load() == joining:
		return feature.Errorf(feature.CodeUnavailable, "bootstrapping: view %s is being loaded into this replica", t.ref)
	case !t.serves(it.View):
		return feature.Errorf(feature.CodeUnavailable, "view %s is followed by this replica in another definition", t.ref)
	case at < t.floor():
		return feature.Errorf(feature.CodeBelowFloor, "%s lies before %s, from which on this replica keeps view %s", at, t.floor(), t.ref)
	default:
		return nil
	}
}

// item is a part of a lookup: one view in one role.
type item struct {
	*feature.Lookup
	index int
	cells []feature.Cell
	asked asked
}

func (s *Store) lookupItem(t *table, it *item, sc *scratch, n *reads) error {
	var room [8]int
	columns, err := it.keyColumns(room[:0])
	if err != nil {
		return err
	}
	if t.windows != nil {
		return s.lookupWindows(t, it, columns, sc, n)
	}
	hi := asof.Hi(it.At, t.view.Delay)
	for row := range it.Rows() {
		var e *asof.Event
		if it.key(sc, columns, row) {
			sc.key = wire.AppendKey(t.prefix(sc.key[:0]), sc.parts)
			state, err := s.find(t, placeOf(sc.key), n)
			if err != nil {
				return err
			}
			e = asof.Newer(asof.At(state, hi), it.asked[string(sc.key)], hi)
		}
		it.fill(t, row, e, hi)
	}
	return nil
}

// key sets sc.parts to the key of a row, and reports whether it is one: no part of it is NULL (K3).
func (it *item) key(sc *scratch, columns []int, row int) bool {
	sc.parts = sc.parts[:0]
	for _, c := range columns {
		sc.parts = append(sc.parts, it.Keys[c][row])
	}
	return !sc.parts.HasNull()
}

// keyColumns appends to dst the index in Lookup.Keys of each part of the item's key.
func (it *item) keyColumns(dst []int) ([]int, error) {
	for _, name := range it.Plan.Items[it.index].Keys {
		at := feature.FieldIndex(it.Plan.Keys, name)
		if at < 0 || at >= len(it.Keys) || len(it.Keys[at]) != it.Rows() {
			return nil, feature.Errorf(feature.CodeInvalid, "key %q: expected a column of %d values", name, it.Rows())
		}
		dst = append(dst, at)
	}
	return dst, nil
}

// fill sets the item's cells of a row.
func (it *item) fill(t *table, row int, e *asof.Event, hi feature.Time) {
	view := it.Plan.Items[it.index].View
	cells := it.cells[row*len(it.Plan.Slots):]
	for j, slot := range it.Plan.Slots {
		if slot.Item != it.index {
			continue
		}
		var v feature.Value
		if e != nil {
			v = e.Values[t.slots[slot.Feature]]
		}
		cells[j] = asof.Latest(&view.Features[slot.Feature], e, v, hi)
	}
}
