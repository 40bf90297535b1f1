package online

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// updateTree makes add part of the tree of a key of a windowed view, but for what lies at or before from and no latest
// feature can see. Like update it never reads the disk: where the tree is not in memory only the rows are kept, which the
// next flush writes whether the disk has them or not.
func (s *Store) updateTree(t *table, p place, add []asof.Event, from feature.Time) {
	sh := t.shard(p.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c, size := sh.dirty[string(p.key)], 0
	if c == nil {
		if c = s.dirtyTree(t, sh, p); c.tree != nil && !c.news(add) {
			return
		}
		sh.dirty[c.key] = c
		size = cellBytes + len(c.key)
	}
	size -= len(c.rows)
	for i := range add {
		e := &add[i]
		if e.EventTime <= from && !t.shape.latest {
			continue
		}
		if c.tree == nil || c.tree.insert(e) {
			c.rows, sh.values = c.rows.add(e, t.shape, sh.values)
		}
	}
	c.prune(from)
	s.dirtyBytes.Add(int64(size + len(c.rows)))
}

// dirtyTree returns a new cell for a key that is not dirty. Its tree is the one that readers have, if there is one.
func (s *Store) dirtyTree(t *table, sh *shard, p place) *cell {
	c := &cell{hash: p.hash}
	if r := sh.recent[string(p.key)]; r != nil {
		c.key, c.tree = r.key, r.tree
	} else {
		t.distinct.add(p.hash)
		c.key = string(p.key)
		if e := s.cache.get(p.hash, p.key); e != nil {
			c.tree = e.tree
		}
	}
	c.partial = c.tree == nil
	return c
}

// news reports whether the tree has not all of the events.
func (c *cell) news(add []asof.Event) bool {
	return slices.ContainsFunc(add, func(e asof.Event) bool { return !c.tree.has(&e.Position) })
}

// prune drops old events, and from the disk too when they are many.
func (c *cell) prune(from feature.Time) {
	if c.tree == nil || c.tree.prune(from) < leafEvents/2 {
		return
	}
	first := c.tree.leaves[0].position(0)
	c.cut = wire.AppendPosition(c.cut[:0], &first)
}

// visit calls read with the tree of a key, under the lock of its shard.
func (s *Store) visit(t *table, p place, n *reads, read func(*tree)) error {
	sh := t.shard(p.hash)
	sh.mu.RLock()
	dirty, recent := sh.dirty[string(p.key)], sh.recent[string(p.key)]
	tr := s.known(p, dirty, recent, n)
	if tr != nil {
		read(tr)
		sh.mu.RUnlock()
		return nil
	}
	var late, early rows // of the flush that is under way, and since it began
	if recent != nil {
		early = recent.rows
	}
	if dirty != nil {
		late = dirty.rows
	}
	sh.mu.RUnlock()
	return s.fetch(t, p, fetching{dirty, early, late}, n, read)
}

// known returns the tree of a key if it is in memory. The lock of its shard is held.
func (s *Store) known(p place, dirty, recent *cell, n *reads) *tree {
	switch {
	case dirty != nil:
		n.memory++
		return dirty.tree
	case recent != nil:
		n.memory++
		return recent.tree
	}
	if e := s.cache.get(p.hash, p.key); e != nil {
		n.cached++
		return e.tree
	}
	return nil
}

// fetching is what memory has of a tree that is not in memory.
type fetching struct {
	dirty       *cell
	early, late rows
}

// fetch builds a tree from the disk and f, leaves it where the next reader finds it and calls read with it.
func (s *Store) fetch(t *table, p place, f fetching, n *reads, read func(*tree)) error {
	n.disk++
	epoch := s.cache.epoch(p.hash)
	tr, err := s.disk.tree(t, p.key)
	if err != nil {
		return err
	}
	tr.addRows(f.early)
	tr.addRows(f.late)
	sh := t.shard(p.hash)
	if f.dirty == nil && f.early == nil {
		s.cache.put(&entry{key: string(p.key), hash: p.hash, tree: tr, epoch: epoch}, 0)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	// As long as a cell is in the dirty map, nothing of its key reaches the disk that it does not have.
	if c := f.dirty; c != nil && sh.dirty[c.key] == c {
		if c.tree == nil {
			tr.addRows(c.rows[len(f.late):])
			c.tree, c.partial = tr, false
		}
		tr = c.tree
	}
	read(tr)
	return nil
}

// eraseTree puts an empty tree over whatever the layers below have. The lock of the shard is held.
func (t *table) eraseTree(sh *shard, p place) int64 {
	c := &cell{key: string(p.key), hash: p.hash, tree: &tree{shape: t.shape}, erased: true}
	sh.dirty[c.key] = c
	return cellBytes + int64(len(c.key))
}

// tree builds the tree of a key from its rows.
func (d *disk) tree(t *table, key []byte) (*tree, error) {
	tr, err := d.readTree(t, key)
	if err == nil {
		return tr, nil
	}
	if !errors.Is(err, errRead) || pebble.IsCorruptionError(err) {
		d.damage(err)
	}
	return nil, feature.Errorf(feature.CodeUnavailable, "read a state of the replica: %w", feature.Hide(err, "its copy on disk cannot be read"))
}

// errRead marks errors of the storage; others are of what it holds.
var errRead = errors.New("storage")

func (d *disk) readTree(t *table, key []byte) (tr *tree, err error) {
	lower := append(slices.Clip(key), rowEvent)
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: append(slices.Clip(key), rowEvent+1)})
	if err != nil {
		return nil, errors.Join(errRead, err)
	}
	defer func() {
		if failed := it.Close(); failed != nil {
			tr, err = nil, errors.Join(errRead, failed)
		}
	}()
	tr = &tree{shape: t.shape}
	read := newRowReader(t.shape)
	for ok := seekFrom(it, lower, t); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, errors.Join(errRead, err)
		}
		e, err := read.read(it.Key()[len(lower):], value)
		if err != nil {
			return nil, err
		}
		tr.insert(e)
	}
	return tr, nil
}

// seekFrom moves to the first row that a view needs: the first one after the instant from which it keeps events, or, for
// its latest features, the last one before.
func seekFrom(it *pebble.Iterator, lower []byte, t *table) bool {
	from := t.from()
	if from < feature.MinTime {
		return it.First()
	}
	bound := wire.AppendInstant(slices.Clip(lower), from+1)
	if t.shape.latest && it.SeekLT(bound) {
		return true
	}
	return it.SeekGE(bound)
}
