package online

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Footprint is what some keys of a view take on a replica's disk, before compression.
type Footprint struct {
	Keys, Events int64 // what was measured
	EventBytes   int64 // of rows of single events: they grow with the events
	KeyBytes     int64 // of everything else, which grows with the keys
}

// Total returns what so many keys with so many events take.
func (f *Footprint) Total(keys, events uint64) int64 {
	if f.Keys == 0 {
		return 0
	}
	n := float64(f.KeyBytes) / float64(f.Keys) * float64(keys)
	if f.Events > 0 {
		n += float64(f.EventBytes) / float64(f.Events) * float64(events)
	}
	return int64(n)
}

// Measure computes the states of a view that rows make, as Merge would, and what they take. Rows are as for Merge, those of a
// key follow each other; clock is the view's. At most a million rows are looked at.
func Measure(v *feature.View, src *feature.Source, clock feature.Time, rows iter.Seq2[asof.Kept, error]) (*Footprint, error) {
	t, err := newTable(0, v, src, leafEvents)
	if err != nil {
		return nil, err
	}
	t.raise(clock)
	m := &measuring{table: t, keep: t.keeping(true)}
	var key []byte
	var events []asof.Event
	for row, err := range rows {
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", v.Ref(), err)
		}
		next := wire.AppendKey(t.prefix(nil), row.Key)
		if !bytes.Equal(next, key) {
			m.add(key, events)
			key, events = next, events[:0]
		}
		if events = append(events, row.Event); m.Events+int64(len(events)) >= maxMeasured {
			break // perhaps in the middle of a key
		}
	}
	m.add(key, events)
	return &m.Footprint, nil
}

const maxMeasured = 1_000_000

// measuring is a Measure under way.
type measuring struct {
	Footprint
	table   *table
	keep    *keeping
	scratch []feature.Value
	row     rows
}

// add measures the state of a key.
func (m *measuring) add(key []byte, events []asof.Event) {
	if len(events) == 0 {
		return
	}
	m.Keys++
	m.Events += int64(len(events))
	slices.SortFunc(events, func(a, b asof.Event) int { return asof.Compare(a.Position, b.Position) })
	w := m.table.windows
	if w == nil {
		var state []asof.Event
		for i := range events {
			state = asof.Insert(state, events[i], m.keep.keep)
		}
		m.KeyBytes += int64(len(key) + len(appendState(nil, state, m.keep.keep)))
		return
	}
	p := newPast(w)
	p.insertAll(events, m.keep)
	p.prune(m.keep)
	if m.keep.folds {
		p.fold(m.keep.keep, func(tileID) {}, func(*leaf, int, int) {})
	}
	for i := range events {
		exact, loose := w.wants(&events[i], m.keep)
		if exact {
			m.event(rowEvent, key, &events[i])
		}
		if loose && (!m.keep.folds || p.loose.has(&events[i].Position)) {
			m.event(rowLoose, key, &events[i])
		}
	}
	for i := range p.tiles {
		for _, tile := range p.tiles[i].levels[0] {
			m.row = m.row[:0].addTile(tileID{i, tile.number}, tile.states)
			m.KeyBytes += int64(len(key) + len(m.row) - changeHead)
		}
	}
}

func (m *measuring) event(kind byte, key []byte, e *asof.Event) {
	m.row, m.scratch = m.row[:0].add(kind, e, m.table.windows, m.scratch)
	m.EventBytes += int64(len(key) + len(m.row) - changeHead)
}

// countedRows is how many rows of a view StateBytes counts before it asks for the size of their files.
const countedRows = 10_000

// StateBytes returns what the states of a view take on disk, as of the last flush: the bytes of their rows, or, where these are
// many, of the files that hold them.
func (s *Store) StateBytes(v feature.Ref) (n int64, err error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return 0, errClosed
	}
	t := s.world.Load().tables[v]
	if t == nil {
		return 0, unknownView(v)
	}
	return s.disk.size(t.prefix(nil), (&table{id: t.id + 1}).prefix(nil))
}

// size returns how many bytes the rows from a key up to, and without, another are, or their files.
func (d *disk) size(from, to []byte) (int64, error) {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return 0, err
	}
	n, rows := int64(0), 0
	ok := it.First()
	for ; ok && rows < countedRows; ok = it.Next() {
		rows++
		n += int64(len(it.Key()) + len(it.Value()))
	}
	if err := it.Close(); err != nil || !ok {
		return n, err
	}
	files, err := d.db.EstimateDiskUsage(from, to)
	return max(n, int64(files)), err
}
