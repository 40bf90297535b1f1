package online

import (
	"fmt"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/lockstepfs/lockstep/internal/asof"
)

// stripes is how many epochs there are; keys share them by hash. A power of two.
const stripes = 1 << 16

// cache holds decoded states of keys. It may lose anything at any time and never returns what is no longer true:
// an entry counts only while the epoch of its key's stripe is what it was before its state was read from disk.
type cache struct {
	entries *ristretto.Cache[uint64, *entry]
	epochs  []atomic.Uint64
}

// entry is a state in the cache. It carries its key because the cache knows keys by a hash only.
type entry struct {
	key   string
	hash  uint64
	state []asof.Event
	past  *past // of a windowed view, instead of state
	epoch uint64
}

func newCache(bytes int64) (*cache, error) {
	entries, err := ristretto.NewCache(&ristretto.Config[uint64, *entry]{
		NumCounters:        max(1<<10, min(bytes/64, 1<<24)),
		MaxCost:            bytes,
		BufferItems:        64,
		IgnoreInternalCost: true, // entryCost counts it
		KeyToHash:          func(k uint64) (uint64, uint64) { return k, 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("make a cache of %d bytes: %w", bytes, err)
	}
	return &cache{entries: entries, epochs: make([]atomic.Uint64, stripes)}, nil
}

func (c *cache) close() { c.entries.Close() }

// epoch returns the epoch of the stripe of hash. Read it before the state that put stores under it.
func (c *cache) epoch(hash uint64) uint64 { return c.epochs[hash%stripes].Load() }

// forget makes every entry of the stripe a miss. Call it when the new state can be read from disk and before
// it leaves the layers above.
func (c *cache) forget(hash uint64) { c.epochs[hash%stripes].Add(1) }

// get returns the entry of key or nil; an empty state is that of a key without events.
func (c *cache) get(hash uint64, key []byte) *entry {
	e, ok := c.entries.Get(hash)
	if !ok || e.epoch != c.epoch(hash) || e.key != string(key) {
		return nil
	}
	return e
}

// put offers e to the cache; extra is memory that its state keeps alive besides its events.
func (c *cache) put(e *entry, extra int) {
	cost := entryBytes + int64(len(e.key)+extra) + stateBytes(e.state)
	if e.past != nil {
		cost += e.past.bytes()
	}
	c.entries.Set(e.hash, e, cost)
}

// Sizes in memory. entryBytes is measured: what ristretto and the entry take besides key and state.
const (
	entryBytes = 200
	cellBytes  = 180 // a cell with its place in a map
	eventBytes = 88
	valueBytes = 40
)

// stateBytes returns about how much memory a state takes, room for further events included.
func stateBytes(state []asof.Event) int64 {
	n := int64(cap(state)) * eventBytes
	for i := range state {
		n += valuesBytes(&state[i])
	}
	return n
}

func valuesBytes(e *asof.Event) int64 {
	n := int64(len(e.Columns) + len(e.Values)*valueBytes)
	for _, v := range e.Values {
		n += int64(len(v.Str()) + len(v.List())*valueBytes)
	}
	return n
}
