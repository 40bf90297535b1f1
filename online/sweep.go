package online

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// How many rows a sweep looks at: a flush besides as many as it has written, and a view that has become ready at a time.
const (
	sweepRows = 4096
	readyRows = 1 << 16
)

// sweepAfter deletes rows of windowed views that nobody reads any more from the disk, and moves loose events into tiles: a key
// that gets no more events, or is never in memory, would keep them for ever. It goes on where the last flush ended and looks
// at as many rows as this flush has written, so that the disk holds at most about twice what is needed. What is old is
// judged by the clock that snap has written: after a crash the replica may stand there again. What the rows say about the
// set of events stays, so memory need not know.
func (s *Store) sweepAfter(snap *snapshot) error {
	for i := range snap.tables {
		if t := &snap.tables[i]; t.table.windows != nil && t.keep != asof.NoClock {
			if _, err := s.sweep(t, t.rows+sweepRows); err != nil {
				return fmt.Errorf("sweep old events of %s: %w", t.table.ref, err)
			}
			t.table.written = tableSnapshot{table: t.table, keep: t.keep, folds: t.folds}
		}
	}
	return nil
}

// sweepAll sweeps all rows of a view that has become ready.
func (s *Store) sweepAll(t *table) error {
	for ended := t.windows == nil || t.windows.loose == nil; !ended; {
		s.flushing.Lock()
		ended = t.written.table == nil || t.phase.Load() == gone
		var err error
		if !ended {
			ended, err = s.sweep(&t.written, readyRows)
		}
		s.flushing.Unlock()
		if err != nil {
			return fmt.Errorf("sweep the events of %s: %w", t.ref, err)
		}
	}
	return nil
}

// sweep looks at so many rows and reports whether it came to the last one. Store.flushing is held.
func (s *Store) sweep(t *tableSnapshot, rows int) (ended bool, err error) {
	w := newSweeper(s.disk.db, t)
	defer w.batch.Close()
	it, err := s.disk.db.NewIter(&pebble.IterOptions{LowerBound: w.lower, UpperBound: binary.BigEndian.AppendUint32([]byte{statePrefix}, t.table.id+1)})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	ok := it.SeekGE(append(slices.Clip(w.lower), t.table.swept...))
	for ; ok && rows > 0; ok = it.Next() {
		rows--
		value, err := it.ValueAndErr()
		if err != nil {
			return false, err
		}
		if err := w.row(it.Key(), value); err != nil {
			return false, err
		}
	}
	if err := w.endKey(); err != nil {
		return false, err
	}
	next := t.table.swept[:0]
	switch {
	case !ok:
	case len(w.newest) > 0:
		next = append(next, w.newest[len(w.lower):]...)
	default:
		next = append(next, it.Key()[len(w.lower):]...)
	}
	t.table.swept = next
	if w.batch.Empty() {
		return !ok, nil
	}
	return !ok, s.disk.commit(w.batch)
}

// sweeper looks at rows in their order.
type sweeper struct {
	db      *pebble.DB
	windows *windows
	parts   int    // of a key
	lower   []byte // what rows begin with
	batch   *pebble.Batch

	exact, loose, tiled []byte  // positions of what is kept for exact edges, is in some tile, is in no tile yet begin with these or more
	tiles               []int64 // as in keeping
	folds               bool

	newest []byte // the row before, if it is an old event that latest features may see
	prefix int    // how much of newest says that it is an event of its key

	key    []byte // of the row before, without what follows the key
	reader *rowReader
	moved  map[tileID][]agg.State // what goes into the tiles of key
}

func newSweeper(db *pebble.DB, t *tableSnapshot) *sweeper {
	w := t.table.windows
	x := &sweeper{
		db: db, windows: w, parts: len(t.table.view.Keys), lower: t.table.prefix(nil), batch: db.NewBatch(), folds: t.folds,
		reader: newRowReader(newPast(w)), moved: map[tileID][]agg.State{},
	}
	for i := range w.tilings {
		x.tiles = append(x.tiles, w.tilings[i].needed(t.keep))
	}
	x.exact, x.loose, x.tiled = above(w.exactFrom(t.keep)), above(w.looseFrom(t.keep)), above(t.keep)
	return x
}

// above returns what positions later than t begin with, or are above.
func above(t feature.Time) []byte { return wire.AppendInstant(nil, t+1) }

func (w *sweeper) row(key, value []byte) error {
	n, err := wire.KeyLength(key[len(w.lower):], w.parts)
	if n += len(w.lower); err != nil || n >= len(key) {
		return errors.Join(fmt.Errorf("%x is not the key of a row", key), err)
	}
	if !bytes.Equal(key[:n], w.key) {
		if err := w.endKey(); err != nil {
			return err
		}
		w.key = append(w.key[:0], key[:n]...)
	}
	if key[n] != rowEvent {
		w.newest = w.newest[:0]
	}
	switch key[n] {
	case rowEvent:
		return w.event(key, n)
	case rowLoose:
		return w.looseEvent(key, n, value)
	default:
		id, err := w.windows.parseTile(key[n:])
		if err == nil && id.number < w.tiles[id.tiling] {
			err = w.batch.Delete(key, nil)
		}
		return err
	}
}

// event looks at an event for exact edges and latest features.
func (w *sweeper) event(key []byte, n int) error {
	if bytes.Compare(key[n+1:], w.exact) >= 0 {
		w.newest = w.newest[:0]
		return nil
	}
	if !w.windows.exact.latest {
		return w.batch.Delete(key, nil)
	}
	if len(w.newest) > 0 && bytes.HasPrefix(key, w.newest[:w.prefix]) {
		if err := w.batch.Delete(w.newest, nil); err != nil {
			return err
		}
	}
	w.newest, w.prefix = append(w.newest[:0], key...), n+1
	return nil
}

// looseEvent looks at a loose event.
func (w *sweeper) looseEvent(key []byte, n int, value []byte) error {
	position := key[n+1:]
	if bytes.Compare(position, w.loose) < 0 {
		return w.batch.Delete(key, nil)
	}
	if !w.folds || bytes.Compare(position, w.tiled) >= 0 {
		return nil
	}
	e, err := w.reader.parse(position, value)
	if err != nil {
		return err
	}
	for i := range w.windows.tilings {
		g := &w.windows.tilings[i]
		id := tileID{i, g.number(e.EventTime)}
		if id.number < w.tiles[i] {
			continue
		}
		if w.moved[id] == nil {
			w.moved[id] = states(g.measures)
		}
		for m := range g.measures {
			g.measures[m].add(w.moved[id][m], e)
		}
	}
	return w.batch.Delete(key, nil)
}

// endKey adds what was moved to the tiles of the key.
func (w *sweeper) endKey() error {
	for id, states := range w.moved {
		key := appendTileKey(slices.Clone(w.key), id)
		value, closer, err := w.db.Get(key)
		if err == nil {
			var before []agg.State
			before, err = w.windows.tilings[id.tiling].parseStates(value)
			for m := range before {
				states[m].Merge(before[m])
			}
			err = errors.Join(err, closer.Close())
		}
		if err != nil && !errors.Is(err, pebble.ErrNotFound) {
			return fmt.Errorf("read tile %d: %w", id.number, err)
		}
		if err := w.batch.Set(key, appendStates(nil, states), nil); err != nil {
			return err
		}
	}
	clear(w.moved)
	return nil
}
