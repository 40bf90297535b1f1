package online

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// snapshot is what one flush writes: everything between two entries of the log.
type snapshot struct {
	position positionRecord
	tables   []tableSnapshot
	drops    []uint32
	bytes    int64
}

type tableSnapshot struct {
	table  *table
	record viewRecord
	keep   feature.Time
	cells  []map[string]*cell // nothing in them changes any more
	rows   int                // written of them
	folds  bool               // see keeping
}

// Flush hands what changed since the last flush, with the position, to Pebble in one batch, and so bounds the memory
// for it. It survives a crash only after a sync (Run, Sync), which is harmless: the log is applied again from the
// position that did. After an error everything is still in memory, and the next Flush writes it.
func (s *Store) Flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if s.pending != nil {
		if err := s.write(s.pending); err != nil {
			return err
		}
	}
	if s.pending = s.snapshot(); s.pending == nil {
		return nil
	}
	return s.write(s.pending)
}

// snapshot takes what changed out of the dirty maps; nil if nothing did.
func (s *Store) snapshot() *snapshot {
	s.apply.Lock()
	defer s.apply.Unlock()
	bytes := s.dirtyBytes.Swap(0)
	if bytes == 0 && !s.changed && len(s.drops) == 0 {
		return nil
	}
	at := s.position.Load()
	snap := &snapshot{position: positionRecord{at.Log, at.Seq, s.nextID}, drops: s.drops, bytes: bytes}
	s.drops, s.changed = nil, false
	for _, t := range s.world.Load().tables {
		snap.tables = append(snap.tables, t.snapshot())
	}
	return snap
}

// snapshot turns the dirty maps into the recent ones. Store.apply is held, so that only rows of a joining view,
// or of a generation that is marked as loading, can be in a part of the shards.
func (t *table) snapshot() tableSnapshot {
	snap := tableSnapshot{table: t}
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		if n := len(sh.dirty); n > 0 {
			snap.cells = append(snap.cells, sh.dirty)
			sh.recent, sh.dirty = sh.dirty, make(map[string]*cell, n)
		}
		sh.mu.Unlock()
	}
	snap.keep, snap.folds = t.keep(), t.folds()
	snap.record = viewRecord{
		Name: t.ref.Name, Version: t.ref.Version, Fingerprint: t.print,
		Joining: t.phase.Load() == joining, Loading: t.loading.Load(),
		Clock: t.clock.Load(), Sketch: t.distinct.bytes(), Nulls: t.nulls.Load(),
	}
	return snap
}

// write writes snap and, when it can be read from disk, makes cached states of its keys misses and puts the new
// ones in their place.
func (s *Store) write(snap *snapshot) error {
	b := s.disk.db.NewBatchWithSize(int(min(snap.bytes/2, 1<<26)))
	defer b.Close()
	if err := s.encode(b, snap); err != nil {
		return fmt.Errorf("flush the replica: %w", err)
	}
	if err := s.disk.commit(b); err != nil {
		return fmt.Errorf("flush the replica: %w", err)
	}
	s.pending = nil
	s.unsynced.Store(true)
	s.counters.flushes.Add(1)
	for c := range snap.all() {
		s.cache.forget(c.hash)
	}
	for c, t := range snap.all() {
		s.recall(c, t)
	}
	for _, t := range snap.tables {
		t.table.clean()
	}
	if err := s.sweepAfter(snap); err != nil {
		return fmt.Errorf("flush the replica: %w", err)
	}
	return nil
}

// recall puts what c holds into the cache, if it is whole.
func (s *Store) recall(c *cell, t *tableSnapshot) {
	e := &entry{key: c.key, hash: c.hash, past: c.past, epoch: s.cache.epoch(c.hash)}
	switch {
	case c.partial:
	case c.past != nil:
		sh := t.table.shard(c.hash)
		sh.mu.RLock()
		defer sh.mu.RUnlock()
		s.cache.put(e, 0)
	case len(c.state) > 0:
		e.state = asof.Prune(c.state, t.keep)
		s.cache.put(e, 0)
	}
}

// clean takes partial cells, which are on disk now, out of the recent maps: they help nobody. Whole states stay, for
// who changes them next.
func (t *table) clean() {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		for key, c := range sh.recent {
			if c.partial {
				delete(sh.recent, key)
			}
		}
		sh.mu.Unlock()
	}
}

// all yields every cell of the snapshot with its table.
func (snap *snapshot) all() iter.Seq2[*cell, *tableSnapshot] {
	return func(yield func(*cell, *tableSnapshot) bool) {
		for i := range snap.tables {
			for _, cells := range snap.tables[i].cells {
				for _, c := range cells {
					if !yield(c, &snap.tables[i]) {
						return
					}
				}
			}
		}
	}
}

func (s *Store) encode(b *pebble.Batch, snap *snapshot) error {
	for _, id := range snap.drops {
		if err := dropTable(b, id); err != nil {
			return err
		}
	}
	for _, t := range snap.tables {
		if err := setJSON(b, viewKey(t.table.id), t.record); err != nil {
			return err
		}
	}
	for c, t := range snap.all() {
		put := s.encodeState
		if t.table.windows != nil {
			put = encodeRows
		}
		if err := put(b, c, t); err != nil {
			return err
		}
	}
	return setJSON(b, []byte(positionKey), snap.position)
}

func (s *Store) encodeState(b *pebble.Batch, c *cell, t *tableSnapshot) error {
	if !c.partial && len(c.state) == 0 { // erased
		return b.Delete([]byte(c.key), nil)
	}
	s.encoded = appendState(s.encoded[:0], c.state, t.keep)
	if c.partial {
		return b.Merge([]byte(c.key), s.encoded, nil)
	}
	return b.Set([]byte(c.key), s.encoded, nil)
}

// encodeRows writes what is new of a past. What is deleted comes first: a row may be written again behind it.
func encodeRows(b *pebble.Batch, c *cell, t *tableSnapshot) error {
	key := []byte(c.key)
	if c.erased {
		if err := b.DeleteRange(key, append([]byte(c.key), rowEnd), nil); err != nil {
			return err
		}
	} else if c.cut != nil {
		if err := b.DeleteRange(append([]byte(c.key), rowEvent), append(append([]byte(c.key), rowEvent), c.cut...), nil); err != nil {
			return err
		}
	}
	sh := t.table.shard(c.hash)
	sh.mu.Lock()
	c.freeze()
	sh.mu.Unlock()
	n, err := c.rows.write(b, key)
	t.rows += n
	return err
}

func dropTable(b *pebble.Batch, id uint32) error {
	if err := b.Delete(viewKey(id), nil); err != nil {
		return err
	}
	from := binary.BigEndian.AppendUint32([]byte{statePrefix}, id)
	to := binary.BigEndian.AppendUint32([]byte{statePrefix}, id+1)
	return b.DeleteRange(from, to, nil)
}

func viewKey(id uint32) []byte { return binary.BigEndian.AppendUint32([]byte{viewPrefix}, id) }

func setJSON(b *pebble.Batch, key []byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Set(key, text, nil)
}

// relieve flushes when more is dirty than may be; at three quarters of that it asks Run to.
func (s *Store) relieve() error {
	n := s.dirtyBytes.Load()
	if n > s.cfg.DirtyBytes {
		if err := s.Flush(); err != nil {
			return feature.Errorf(feature.CodeUnavailable, "the replica holds %d bytes that it cannot write: %w", n, err)
		}
	} else if n > s.cfg.DirtyBytes/4*3 {
		select {
		case s.kick <- struct{}{}:
		default:
		}
	}
	return nil
}
