package online

import (
	"github.com/cespare/xxhash/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// place is a key as the layers below know it.
type place struct {
	key  []byte
	hash uint64
}

func placeOf(key []byte) place { return place{key, xxhash.Sum64(key)} }

// below returns the state of a key that no shard has, from the cache or from disk.
func (s *Store) below(p place, n *reads) ([]asof.Event, error) {
	if state, ok := s.cache.get(p.hash, p.key); ok {
		n.cached++
		return state, nil
	}
	n.disk++
	epoch := s.cache.epoch(p.hash)
	state, size, err := s.disk.state(p.key)
	if err != nil {
		return nil, err
	}
	s.cache.put(p.hash, &entry{key: string(p.key), state: state, epoch: epoch}, size)
	return state, nil
}

// update makes add part of the state of a key. The events of add are as asof.Insert keeps them.
func (s *Store) update(t *table, p place, add []asof.Event, keep feature.Time) error {
	sh := t.shard(p.hash)
	for {
		sh.mu.Lock()
		if c := sh.dirty[string(p.key)]; c != nil {
			s.change(c, union(c.state, add, keep))
			sh.mu.Unlock()
			return nil
		}
		if c := sh.recent[string(p.key)]; c != nil {
			s.begin(t, sh, c, union(c.state, add, keep))
			sh.mu.Unlock()
			return nil
		}
		epoch := s.cache.epoch(p.hash)
		sh.mu.Unlock()

		// Nobody waits while the disk is read. If the key came into the shard meanwhile, or came and went, the
		// state that was read may be old.
		var n reads
		state, err := s.below(p, &n)
		if err != nil {
			return err
		}
		sh.mu.Lock()
		if sh.dirty[string(p.key)] == nil && sh.recent[string(p.key)] == nil && s.cache.epoch(p.hash) == epoch {
			s.begin(t, sh, &cell{string(p.key), p.hash, state}, union(state, add, keep))
			sh.mu.Unlock()
			return nil
		}
		sh.mu.Unlock()
	}
}

// begin puts the changed state of a key into the dirty map.
func (s *Store) begin(t *table, sh *shard, old *cell, state []asof.Event) {
	if unchanged(old.state, state) {
		return
	}
	if len(old.state) == 0 {
		t.keys.Add(1)
	}
	sh.dirty[old.key] = &cell{old.key, old.hash, state}
	s.dirtyBytes.Add(cellBytes + int64(len(old.key)) + stateBytes(state))
}

// change changes the state of a key in the dirty map.
func (s *Store) change(c *cell, state []asof.Event) {
	if unchanged(c.state, state) {
		return
	}
	s.dirtyBytes.Add(eventBytes + valuesBytes(&state[len(state)-1]))
	c.state = state
}

// unchanged reports whether asof.Insert changed nothing that counts: the state may have lost its oldest events.
func unchanged(old, state []asof.Event) bool {
	n, m := len(old), len(state)
	return m == 0 || n >= m && &old[n-1] == &state[m-1]
}

// union returns the events of state and add that a replica keeps. The smaller goes into the larger.
func union(state, add []asof.Event, keep feature.Time) []asof.Event {
	if len(add) > len(state) {
		state, add = asof.Prune(append([]asof.Event(nil), add...), keep), state
	}
	for i := range add {
		state = asof.Insert(state, add[i], keep)
	}
	return state
}
