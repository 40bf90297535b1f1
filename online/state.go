package online

import (
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// place is a key as the layers below the shards know it.
type place struct {
	key  []byte
	hash uint64
}

func placeOf(key []byte) place { return place{key, xxhash.Sum64(key)} }

// cell is what a shard knows of a key.
type cell struct {
	key     string // as on disk
	hash    uint64
	state   []asof.Event
	partial bool // state is only what was added lately: the events below belong to it too

	// Of a windowed view, instead of state:
	past   *past               // nil while partial; the cell of a later flush has the same one, which goes on changing
	rows   rows                // what changed since the last flush
	tiles  map[tileID]struct{} // that changed and are not among rows yet
	cut    []byte              // not nil: events before this position are to be deleted from the disk
	erased bool                // all rows of before are to be deleted from the disk
}

// update makes add part of the state of a key.
func (s *Store) update(t *table, p place, add []asof.Event, k *keeping) {
	if t.windows != nil {
		s.updatePast(t, p, add, k)
	} else {
		s.updateState(t, p, add, k.keep)
	}
}

// updateState makes add part of the state of a key. The events of add are as asof.Insert keeps them. It never reads the
// disk: where the state is not in memory only add is kept, and whoever reads it, or Pebble when it compacts, puts
// both together. A state is a function of a set of events, so it does not matter who does, or how often.
func (s *Store) updateState(t *table, p place, add []asof.Event, keep feature.Time) {
	sh := t.shard(p.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c := sh.dirty[string(p.key)]; c != nil {
		state := union(c.state, add, keep)
		if !unchanged(c.state, state) {
			more := int64(len(state) - len(c.state))
			s.dirtyBytes.Add(more * (eventBytes + valuesBytes(&state[len(state)-1])))
			c.state = state
		}
		return
	}
	var base []asof.Event
	next := &cell{hash: p.hash}
	if c := sh.recent[string(p.key)]; c != nil {
		next.key, base, next.partial = c.key, c.state, c.partial
	} else {
		t.distinct.add(p.hash)
		next.key = string(p.key)
		// No shard has the key, so what the cache has is what the disk has.
		known := false
		if e := s.cache.get(p.hash, p.key); e != nil {
			base, known = e.state, true
		}
		next.partial = !known
	}
	next.state = union(base, add, keep)
	if !unchanged(base, next.state) {
		sh.dirty[next.key] = next
		s.dirtyBytes.Add(cellBytes + int64(len(next.key)) + stateBytes(next.state))
	}
}

// unchanged reports whether asof.Insert changed nothing that counts: the state may have lost its oldest events.
func unchanged(old, state []asof.Event) bool {
	n, m := len(old), len(state)
	return m == 0 || n >= m && &old[n-1] == &state[m-1]
}

// union returns the events of state and add that a replica keeps. The smaller goes into the larger. As with
// asof.Insert, state must be the newest of its kind or have no room.
func union(state, add []asof.Event, keep feature.Time) []asof.Event {
	if len(add) > len(state) {
		state, add = asof.Prune(append([]asof.Event(nil), add...), keep), state
	}
	for i := range add {
		state = asof.Insert(state, add[i], keep)
	}
	return state
}

// find returns the state of a key.
func (s *Store) find(t *table, p place, n *reads) ([]asof.Event, error) {
	sh := t.shard(p.hash)
	c, state, partial := sh.peek(p.key)
	if c != nil && !partial {
		n.memory++
		return state, nil
	}
	// What is below is complete without the cell, or with it: it is read after the cell.
	base, err := s.below(p, n)
	if err != nil || c == nil {
		return base, err
	}
	return s.complete(t, c, state, base), nil
}

// peek returns the cell of a key, or nil, with what it holds now.
func (sh *shard) peek(key []byte) (c *cell, state []asof.Event, partial bool) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if c = sh.dirty[string(key)]; c == nil {
		c = sh.recent[string(key)]
	}
	if c == nil {
		return nil, nil, false
	}
	return c, c.state, c.partial
}

// complete returns what a partial cell held together with what is below it, and leaves that in the cell for the
// next reader.
func (s *Store) complete(t *table, c *cell, state, base []asof.Event) []asof.Event {
	base = slices.Clip(base) // others read it too
	keep := t.keep()
	sh := t.shard(c.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.dirty[c.key] != c {
		return union(base, state, keep)
	}
	if c.partial {
		// As long as a cell is in the dirty map, nothing of its key reaches the disk that it does not have.
		c.state, c.partial = union(base, c.state, keep), false
		s.dirtyBytes.Add(stateBytes(base))
	}
	return c.state
}

// below returns the state of a key as the cache or the disk has it.
func (s *Store) below(p place, n *reads) ([]asof.Event, error) {
	if e := s.cache.get(p.hash, p.key); e != nil {
		n.cached++
		return e.state, nil
	}
	n.disk++
	epoch := s.cache.epoch(p.hash)
	state, size, err := s.disk.state(p.key)
	if err != nil {
		return nil, err
	}
	s.cache.put(&entry{key: string(p.key), hash: p.hash, state: state, epoch: epoch}, size)
	return state, nil
}
