package identity

import (
	"fmt"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// rows reads the rows of a batch as the index sees them.
type rows struct {
	ids
	batch *feature.Batch
	times []int64
	heads [][]byte // of each column, how the text that is summed begins
	buf   []byte
	elem  []byte
}

func rowsOf(src *feature.Source, b *feature.Batch) (*rows, error) {
	r := &rows{batch: b, ids: ids{key: make(feature.Key, len(src.ID))}, heads: make([][]byte, len(b.Fields))}
	for i, f := range b.Fields {
		r.heads[i] = []byte(f.Name + "=")
	}
	for _, name := range src.ID {
		c := b.Column(name)
		if c == nil || !c.Type.KeyPart() {
			return nil, fmt.Errorf("rows of %s have no column %s for their id", src.Name, name)
		}
		r.columns = append(r.columns, c)
	}
	c := b.Column(src.EventTime)
	if c == nil || c.Type != feature.Timestamp {
		return nil, fmt.Errorf("rows of %s have no column %s for their event time", src.Name, src.EventTime)
	}
	r.times = c.Ints
	return r, nil
}

// ids reads ids.
type ids struct {
	columns []*feature.Column
	key     feature.Key
}

// appendID appends the id of a row, self-delimiting. It returns false if a part of it is NULL: such a row came in
// before its source had an id, and is no copy of anything.
func (r *ids) appendID(dst []byte, row int) ([]byte, bool) {
	for i, c := range r.columns {
		if c.IsNull(row) {
			return dst, false
		}
		r.key[i] = c.Value(row)
	}
	return wire.AppendKey(dst, r.key), true
}

// sum returns a number that rows with equal columns share and others, as good as certainly, do not. NULL adds
// nothing to it, so that a column that the source gained later makes no difference to what was there. The offline
// store computes the same; docs/format/identity.md defines it.
func (r *rows) sum(row int) uint64 {
	var sum uint64
	for i := range r.batch.Columns {
		c := &r.batch.Columns[i]
		if c.IsNull(row) {
			continue
		}
		r.buf = append(r.buf[:0], r.heads[i]...)
		switch {
		case c.Type.List:
			for _, v := range c.Lists[row] {
				r.elem = appendText(r.elem[:0], v)
				r.buf = append(strconv.AppendInt(r.buf, int64(len(r.elem)), 10), ':')
				r.buf = append(r.buf, r.elem...)
			}
		case c.Type.Kind == feature.KindString:
			r.buf = append(r.buf, c.Strs[row]...)
		case c.Type.Kind == feature.KindFloat64:
			r.buf = appendFloat(r.buf, c.Floats[row])
		default:
			r.buf = strconv.AppendInt(r.buf, c.Ints[row], 10)
		}
		sum += xxhash.Sum64(r.buf)
	}
	return sum
}

// appendText appends a scalar as it is summed.
func appendText(dst []byte, v feature.Value) []byte {
	switch v.Type().Kind {
	case feature.KindString:
		return append(dst, v.Str()...)
	case feature.KindFloat64:
		return appendFloat(dst, v.Float64())
	case feature.KindBool:
		if v.Bool() {
			return append(dst, '1')
		}
		return append(dst, '0')
	case feature.KindTimestamp:
		return strconv.AppendInt(dst, int64(v.Time()), 10)
	default:
		return strconv.AppendInt(dst, v.Int64(), 10)
	}
}

func appendFloat(dst []byte, f float64) []byte {
	return strconv.AppendInt(dst, int64(math.Float64bits(f)), 10)
}
