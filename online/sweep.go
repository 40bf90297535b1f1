package online

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// sweepRows is how many rows a flush looks at at least.
const sweepRows = 4096

// sweepAfter deletes old rows of windowed views from the disk: nobody reads them, but a key that gets no more events
// would keep them for ever. It goes on where the last flush ended and looks at as many rows as this flush has written, so
// that the disk holds at most about twice what is needed. What is old is judged by the clock that snap has written: after a
// crash the replica may stand there again.
func (s *Store) sweepAfter(snap *snapshot) error {
	for i := range snap.tables {
		t := &snap.tables[i]
		from := asof.KeepFrom(t.table.view, t.keep)
		if t.table.shape == nil || from < feature.MinTime {
			continue
		}
		if err := s.sweep(t.table, from, t.rows+sweepRows); err != nil {
			return fmt.Errorf("sweep old events of %s: %w", t.table.ref, err)
		}
	}
	return nil
}

func (s *Store) sweep(t *table, from feature.Time, rows int) (err error) {
	w := sweeper{table: t, lower: t.prefix(nil), bound: wire.AppendInstant(nil, from+1), batch: s.disk.db.NewBatch()}
	defer w.batch.Close()
	it, err := s.disk.db.NewIter(&pebble.IterOptions{LowerBound: w.lower, UpperBound: binary.BigEndian.AppendUint32([]byte{statePrefix}, t.id+1)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	ok := it.SeekGE(append(slices.Clip(w.lower), t.swept...))
	for ; ok && rows > 0; ok = it.Next() {
		rows--
		if err := w.row(it.Key()); err != nil {
			return err
		}
	}
	t.swept = t.swept[:0]
	if next := it.Key(); ok && len(w.newest) > 0 {
		t.swept = append(t.swept, w.newest[len(w.lower):]...)
	} else if ok {
		t.swept = append(t.swept, next[len(w.lower):]...)
	}
	if w.batch.Empty() {
		return nil
	}
	return s.disk.commit(w.batch)
}

// sweeper looks at rows in their order.
type sweeper struct {
	table  *table
	lower  []byte // what they begin with
	bound  []byte // the position of the first event that is kept begins with this or more
	batch  *pebble.Batch
	newest []byte // the row before, if it is old and latest features may see it
	prefix int    // how much of newest says that it is an event of its key
}

func (w *sweeper) row(key []byte) error {
	n, err := wire.KeyLength(key[len(w.lower):], len(w.table.view.Keys))
	if n += len(w.lower); err != nil || n >= len(key) {
		return errors.Join(fmt.Errorf("%x is not the key of a row", key), err)
	}
	if key[n] != rowEvent || bytes.Compare(key[n+1:], w.bound) >= 0 {
		w.newest = w.newest[:0]
		return nil
	}
	if !w.table.shape.latest {
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
