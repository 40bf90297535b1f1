package online

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// updatePast makes add part of the past of a key of a windowed view, but for what no read sees. Like updateState it never
// reads the disk: where the past is not in memory only the rows are kept, which the next flush writes whether the disk has
// them or not.
func (s *Store) updatePast(t *table, p place, add []asof.Event, k *keeping) {
	sh := t.shard(p.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c, size := sh.dirty[string(p.key)], 0
	if c == nil {
		if c = s.dirtyPast(t, sh, p); c.past != nil && !c.past.lacks(add) {
			return
		}
		sh.dirty[c.key] = c
		size = cellBytes + len(c.key)
	}
	size -= len(c.rows)
	w := t.windows
	blind := c.past == nil || len(add) > w.leaf
	for i := range add {
		e := &add[i]
		exact, loose := w.wants(e, k)
		if exact && (blind || c.past.events.insert(e)) {
			c.rows, sh.values = c.rows.add(rowEvent, e, w, sh.values)
		}
		if loose && (blind || c.past.loose.insert(e)) {
			c.rows, sh.values = c.rows.add(rowLoose, e, w, sh.values)
		}
	}
	if c.past != nil {
		if blind {
			c.past.insertAll(add, k)
		}
		c.settle(k)
	}
	s.dirtyBytes.Add(int64(size + len(c.rows)))
}

// dirtyPast returns a new cell for a key that is not dirty. Its past is the one that readers have, if there is one.
func (s *Store) dirtyPast(t *table, sh *shard, p place) *cell {
	c := &cell{hash: p.hash}
	if r := sh.recent[string(p.key)]; r != nil {
		r.freeze()
		c.key, c.past = r.key, r.past
	} else {
		t.distinct.add(p.hash)
		c.key = string(p.key)
		if e := s.cache.get(p.hash, p.key); e != nil {
			c.past = e.past
		}
	}
	c.partial = c.past == nil
	return c
}

// settle moves events of a past that is whole into tiles, and drops old ones, from the disk too when they are many.
func (c *cell) settle(k *keeping) {
	if k.folds {
		c.past.fold(k.keep, func(id tileID) {
			if c.tiles == nil {
				c.tiles = map[tileID]struct{}{}
			}
			c.tiles[id] = struct{}{}
		}, func(l *leaf, i, j int) { c.rows = c.rows.drop(l, i, j) })
	}
	if c.past.prune(k) >= min(manyRows, c.past.windows.leaf) {
		if l := c.past.events.leaves[0]; l.len() > 0 {
			first := l.position(0)
			c.cut = wire.AppendPosition(c.cut[:0], &first)
		} else { // all were at or before
			c.cut = wire.AppendInstant(c.cut[:0], k.exact+1)
		}
	}
}

// freeze turns the tiles that changed into rows. It comes before any change that belongs to a later flush.
func (c *cell) freeze() {
	for id := range c.tiles {
		c.rows = c.rows.addTile(id, c.past.tiles[id.tiling].states(&c.past.windows.tilings[id.tiling], 0, id.number))
	}
	c.tiles = nil
}

// visit calls read with the past of a key, under the lock of its shard.
func (s *Store) visit(t *table, p place, n *reads, read func(*past)) error {
	sh := t.shard(p.hash)
	for {
		sh.mu.RLock()
		f := fetching{dirty: sh.dirty[string(p.key)], recent: sh.recent[string(p.key)]}
		if known := s.known(p, &f, n); known != nil {
			read(known)
			sh.mu.RUnlock()
			return nil
		}
		f.early, f.late = f.rows()
		sh.mu.RUnlock()
		if done, err := s.fetch(t, p, &f, n, read); done || err != nil {
			return err
		}
	}
}

// known returns the past of a key if it is in memory. The lock of its shard is held.
func (s *Store) known(p place, f *fetching, n *reads) *past {
	c := f.dirty
	if c == nil {
		c = f.recent
	}
	if c != nil {
		if c.past != nil {
			n.memory++
		}
		return c.past
	}
	if e := s.cache.get(p.hash, p.key); e != nil {
		n.cached++
		return e.past
	}
	return nil
}

// fetching is what memory has of a past that is not in memory.
type fetching struct {
	dirty, recent *cell
	early, late   rows // of the flush that is under way, and since it began
}

// rows returns the rows of the cells.
func (f *fetching) rows() (early, late rows) {
	if f.recent != nil {
		early = f.recent.rows
	}
	if f.dirty != nil {
		late = f.dirty.rows
	}
	return early, late
}

// fetch builds a past from the disk and f, leaves it where the next reader finds it and calls read with it. It returns false
// when a flush has ended meanwhile: what the disk has now may have what f has in tiles.
func (s *Store) fetch(t *table, p place, f *fetching, n *reads, read func(*past)) (bool, error) {
	n.disk++
	epoch := s.cache.epoch(p.hash)
	whole, err := s.disk.past(t, p.key)
	if err != nil {
		return false, err
	}
	whole.addRows(f.early)
	whole.addRows(f.late)
	sh := t.shard(p.hash)
	if f.dirty == nil && f.recent == nil {
		s.cache.put(&entry{key: string(p.key), hash: p.hash, past: whole, epoch: epoch}, 0)
		sh.mu.RLock() // a writer may have it from the cache
		defer sh.mu.RUnlock()
		read(whole)
		return true, nil
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.recent[string(p.key)] != f.recent || sh.dirty[string(p.key)] != f.dirty {
		return false, nil
	}
	if c := f.dirty; c != nil {
		if c.past == nil {
			whole.addRows(c.rows[len(f.late):])
			c.past, c.partial = whole, false
		}
		whole = c.past
	}
	read(whole)
	return true, nil
}

// erasePast puts an empty past over whatever the layers below have. The lock of the shard is held.
func (t *table) erasePast(sh *shard, p place) int64 {
	c := &cell{key: string(p.key), hash: p.hash, past: newPast(t.windows), erased: true}
	sh.dirty[c.key] = c
	return cellBytes + int64(len(c.key))
}

// past builds the past of a key from its rows.
func (d *disk) past(t *table, key []byte) (*past, error) {
	keep := t.keep()
	it, err := d.rows(key)
	if err != nil {
		return nil, err
	}
	return d.pastOf(t, key, it, keep)
}

// rows returns an iterator over the rows of a key as they are now, whatever is written later. To make it reads nothing from
// the disk.
func (d *disk) rows(key []byte) (*pebble.Iterator, error) {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: key, UpperBound: append(slices.Clip(key), rowEnd)})
	if err != nil {
		return nil, d.unreadable(errors.Join(errRead, err))
	}
	return it, nil
}

// pastOf builds the past of a key from its rows, and closes them. Reads have hi ≥ keep.
func (d *disk) pastOf(t *table, key []byte, it *pebble.Iterator, keep feature.Time) (*past, error) {
	p, err := readPast(t, key, it, keep)
	if failed := it.Close(); failed != nil {
		err = errors.Join(errRead, failed)
	}
	if err != nil {
		return nil, d.unreadable(err)
	}
	return p, nil
}

// stateOf returns the state of a key from its rows, of which there is one, and closes them.
func (d *disk) stateOf(it *pebble.Iterator) (state []asof.Event, err error) {
	if it.First() {
		if value, failed := it.ValueAndErr(); failed != nil {
			err = errors.Join(errRead, failed)
		} else {
			_, state, err = parseState(value)
		}
	}
	if failed := it.Close(); failed != nil {
		err = errors.Join(errRead, failed)
	}
	if err != nil {
		return nil, d.unreadable(err)
	}
	return state, nil
}

func readPast(t *table, key []byte, it *pebble.Iterator, keep feature.Time) (*past, error) {
	p := newPast(t.windows)
	read := newRowReader(p)
	for ok := seekNeeded(it, key, t.windows, keep); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, errors.Join(errRead, err)
		}
		if err := read.read(it.Key()[len(key):], value); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// seekNeeded moves to the first row that a view needs: the first event after the instant from which it keeps them, or, for
// its latest features, the last one before. What follows the events is needed, but for some old ones.
func seekNeeded(it *pebble.Iterator, key []byte, w *windows, keep feature.Time) bool {
	if w.exact == nil {
		return it.First()
	}
	from := w.exactFrom(keep)
	if from < feature.MinTime {
		return it.First()
	}
	bound := wire.AppendInstant(append(slices.Clip(key), rowEvent), from+1)
	if w.exact.latest && it.SeekLT(bound) {
		return true
	}
	return it.SeekGE(bound)
}
