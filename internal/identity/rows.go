package identity

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// rows reads the rows of a batch as the index sees them.
type rows struct {
	batch *feature.Batch
	id    []*feature.Column
	times []int64
	seeds []uint64 // of each column, from its name
	key   feature.Key
	buf   []byte
}

func rowsOf(src *feature.Source, b *feature.Batch) (*rows, error) {
	r := &rows{batch: b, key: make(feature.Key, len(src.ID)), seeds: make([]uint64, len(b.Fields))}
	for i, f := range b.Fields {
		r.seeds[i] = xxhash.Sum64String(f.Name)
	}
	for _, name := range src.ID {
		c := b.Column(name)
		if c == nil || !c.Type.KeyPart() {
			return nil, fmt.Errorf("rows of %s have no column %s for their id", src.Name, name)
		}
		r.id = append(r.id, c)
	}
	c := b.Column(src.EventTime)
	if c == nil || c.Type != feature.Timestamp {
		return nil, fmt.Errorf("rows of %s have no column %s for their event time", src.Name, src.EventTime)
	}
	r.times = c.Ints
	return r, nil
}

// appendID appends the id of a row, self-delimiting. It returns false if a part of it is NULL: such a row came in
// before its source had an id, and is no copy of anything.
func (r *rows) appendID(dst []byte, row int) ([]byte, bool) {
	for i, c := range r.id {
		if c.IsNull(row) {
			return dst, false
		}
		r.key[i] = c.Value(row)
	}
	return wire.AppendKey(dst, r.key), true
}

// sum returns a number that rows with equal columns share and others, as good as certainly, do not. NULL adds
// nothing to it, so that a column that the source gained later makes no difference to what was there.
func (r *rows) sum(row int) uint64 {
	var sum uint64
	for i := range r.batch.Columns {
		c := &r.batch.Columns[i]
		if c.IsNull(row) {
			continue
		}
		r.buf = binary.LittleEndian.AppendUint64(r.buf[:0], r.seeds[i])
		r.buf = wire.AppendOrdered(r.buf, c.Value(row))
		sum += xxhash.Sum64(r.buf)
	}
	return sum
}
