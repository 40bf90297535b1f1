package online

import (
	"sync/atomic"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Stats is what a replica tells about itself.
type Stats struct {
	Position   feature.Cut
	Views      []ViewStats // by name and version
	DirtyBytes int64       // about the memory of what is not flushed
	Flushes    int64       // since the store was opened
	Reads      ReadStats
	Failure    error // what Health returns
}

// ViewStats is what a replica tells about one view.
type ViewStats struct {
	View     feature.Ref
	Ready    bool         // false while its history is being merged
	Loading  bool         // a generation is loaded whose rows become visible as they come
	HasClock bool         // Clock and Floor mean something: the view has events
	Clock    feature.Time // C4
	Floor    feature.Time // the earliest instant that is answered
	Keys     int64        // with events, within some percent
	Nulls    int64        // rows that are not part of the view: NULL in a key column (K2)
}

// ReadStats counts the states that lookups asked for since the store was opened, by where they were found.
type ReadStats struct {
	Memory int64 // among those changed lately
	Cached int64
	Disk   int64
}

// reads counts the states that one lookup asked for.
type reads struct{ memory, cached, disk int64 }

type counters struct{ memory, cached, disk, flushes atomic.Int64 }

func (c *counters) add(n reads) {
	if n.memory > 0 {
		c.memory.Add(n.memory)
	}
	if n.cached > 0 {
		c.cached.Add(n.cached)
	}
	if n.disk > 0 {
		c.disk.Add(n.disk)
	}
}

// Stats returns what the replica tells about itself now.
func (s *Store) Stats() Stats {
	st := Stats{
		Position: s.Position(), DirtyBytes: s.dirtyBytes.Load(), Flushes: s.counters.flushes.Load(), Failure: s.Health(),
		Reads: ReadStats{s.counters.memory.Load(), s.counters.cached.Load(), s.counters.disk.Load()},
	}
	w := s.world.Load()
	for _, ref := range w.refs() {
		t := w.tables[ref]
		clock := feature.Time(t.clock.Load())
		v := ViewStats{View: ref, Ready: t.phase.Load() == ready, Loading: t.loading.Load(), Keys: t.distinct.count(), Nulls: t.nulls.Load()}
		if clock != asof.NoClock {
			v.HasClock, v.Clock, v.Floor = true, clock, asof.Floor(clock, t.view.History)
		}
		st.Views = append(st.Views, v)
	}
	return st
}
