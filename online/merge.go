package online

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// stage is a generation of one view that waits for the Advance to its record.
type stage struct {
	clock feature.Time
	runs  []run
	bytes int64
}

// run is some events of one key, as asof.Insert keeps them.
type run struct {
	key    []byte
	events []asof.Event
}

// Merge adds events to a view: the history of a joining one, or, to a view that is ready, an import's
// generation. clock is the view's clock over those events and all that they were chosen from, asof.NoClock if
// there are none. Rows with equal keys should follow each other. Merge keeps the rows' values.
//
// A generation becomes visible, all of it, with the next Advance. One of more than Config.StageBytes does not fit
// in memory: its rows become visible as they come, lookups report the view as stale and LookupAtOnce refuses
// it until the Advance. After an error Merge is to be called again with all rows; what came in twice counts once (C1).
//
// The error is CodeNotFound if the view is not followed, or dropped while it is merged.
func (s *Store) Merge(v feature.Ref, clock feature.Time, rows iter.Seq2[asof.Kept, error]) error {
	t := s.world.Load().tables[v]
	if t == nil {
		return unknownView(v)
	}
	m := &merger{store: s, table: t, stage: &stage{clock: clock}}
	if t.phase.Load() == joining {
		m.stage = nil
		t.raise(clock)
	}
	if err := m.all(rows); err != nil {
		return fmt.Errorf("merge into %s: %w", v, err)
	}
	if m.stage == nil {
		return nil
	}
	s.apply.Lock()
	defer s.apply.Unlock()
	t.staged = append(t.staged, m.stage)
	return nil
}

// merger is one call of Merge.
type merger struct {
	store *Store
	table *table
	stage *stage // nil when rows go into the states directly
	key   []byte
	run   run
}

func (m *merger) all(rows iter.Seq2[asof.Kept, error]) error {
	m.run.key = nil
	for k, err := range rows {
		if err != nil {
			return err
		}
		if err := m.add(k); err != nil {
			return err
		}
	}
	return m.end()
}

func (m *merger) add(k asof.Kept) error {
	if len(k.Event.Values) != len(m.table.inputs) {
		return feature.Errorf(feature.CodeInternal, "an event with %d values, expected %d", len(k.Event.Values), len(m.table.inputs))
	}
	if k.Key.HasNull() {
		m.table.nulls.Add(1)
		return nil
	}
	m.key = wire.AppendKey(m.table.prefix(m.key[:0]), k.Key)
	if !bytes.Equal(m.key, m.run.key) {
		if err := m.end(); err != nil {
			return err
		}
		m.run.key = append(m.run.key, m.key...)
	}
	m.run.events = append(m.run.events, k.Event)
	return nil
}

// kept returns the events of a run that the view keeps. Each is inserted after those before it: rows of a key come newest
// first as a rule, and an event that is inserted before others copies them all.
func (m *merger) kept(events []asof.Event) []asof.Event {
	slices.SortFunc(events, func(a, b asof.Event) int { return asof.Compare(a.Position, b.Position) })
	keep := m.keep()
	if m.table.windows != nil {
		return slices.Clone(events[m.table.windows.old(events, keep):])
	}
	var out []asof.Event
	for i := range events {
		out = asof.Insert(out, events[i], keep)
	}
	return out
}

// keep returns the instant from which the view will keep events when the rows are visible.
func (m *merger) keep() feature.Time {
	clock := feature.Time(m.table.clock.Load())
	if m.stage != nil {
		clock = max(clock, m.stage.clock)
	}
	return asof.Keep(clock, m.table.view.History, m.table.view.Delay)
}

// end puts the run where it belongs and begins a new one.
func (m *merger) end() error {
	r := m.run
	if len(r.events) == 0 {
		return nil
	}
	r.events = m.kept(r.events)
	if m.stage == nil {
		m.run = run{key: r.key[:0]}
		if m.table.phase.Load() == gone {
			return unknownView(m.table.ref)
		}
		m.store.update(m.table, placeOf(r.key), r.events, m.table.keeping(false))
		return m.store.relieve()
	}
	m.run = run{}
	m.stage.runs = append(m.stage.runs, r)
	if m.stage.bytes += cellBytes + int64(len(r.key)) + stateBytes(r.events); m.stage.bytes > m.store.cfg.StageBytes {
		return m.open()
	}
	return nil
}

// open gives up to make the generation visible at once.
func (m *merger) open() error {
	s, t, st := m.store, m.table, m.stage
	m.stage = nil
	s.apply.Lock()
	t.loading.Store(true)
	t.raise(st.clock)
	s.changed = true
	s.apply.Unlock()
	for _, r := range st.runs {
		s.update(t, placeOf(r.key), r.events, t.keeping(false))
		if err := s.relieve(); err != nil {
			return err
		}
	}
	return nil
}

// Advance moves the position to seq, past an entry without rows. Generations merged since the last Advance become
// visible with it. A seq at or before the position changes nothing.
func (s *Store) Advance(seq uint64) error {
	s.advance(seq)
	return s.relieve()
}

func (s *Store) advance(seq uint64) {
	s.apply.Lock()
	defer s.apply.Unlock()
	at := s.position.Load()
	if seq <= at.Seq {
		return
	}
	for _, t := range s.world.Load().tables {
		s.pour(t)
	}
	s.moveTo(seq)
}

// pour makes the staged generations of t visible.
func (s *Store) pour(t *table) {
	for _, st := range t.staged {
		t.raise(st.clock)
	}
	keep := t.keeping(false)
	for _, st := range t.staged {
		for _, r := range st.runs {
			s.update(t, placeOf(r.key), r.events, keep)
		}
	}
	t.staged = nil
	t.loading.Store(false)
}

// moveTo moves the position. Store.apply is held.
func (s *Store) moveTo(seq uint64) {
	s.position.Store(&feature.Cut{Log: s.position.Load().Log, Seq: seq})
	s.changed = true
}
