package wire

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// AppendOrdered appends v, possibly NULL, so that the order of the bytes is feature.Compare of the values, and
// the order of concatenations is the order of the tuples (rule O2). The format is docs/format/ordered.md.
func AppendOrdered(dst []byte, v feature.Value) []byte {
	t := v.Type()
	if !t.List {
		return appendOrderedScalar(append(dst, byte(t.Kind)<<1), t.Kind, v)
	}
	dst = append(dst, byte(t.Kind)<<1|1)
	for _, e := range v.List() {
		// An element's tag is above the 0 that ends a list, so the shorter of two lists comes first.
		kind := e.Type().Kind
		dst = appendOrderedScalar(append(dst, byte(kind)<<1), kind, e)
	}
	return append(dst, 0)
}

func appendOrderedScalar(dst []byte, kind feature.Kind, v feature.Value) []byte {
	switch kind {
	case feature.KindNull:
		return dst
	case feature.KindInt64:
		return appendOrderedInt(dst, v.Int64())
	case feature.KindTimestamp:
		return appendOrderedInt(dst, int64(v.Time()))
	case feature.KindBool:
		if v.Bool() {
			return append(dst, 1)
		}
		return append(dst, 0)
	case feature.KindFloat64:
		u := floatBits(v.Float64())
		if u>>63 == 1 {
			u = ^u // the greater the magnitude of a negative number, the lower it is
		} else {
			u |= 1 << 63
		}
		return binary.BigEndian.AppendUint64(dst, u)
	case feature.KindString:
		return appendOrderedString(dst, v.Str())
	default:
		panic(fmt.Sprintf("wire: a scalar of %s", kind))
	}
}

func appendOrderedInt(dst []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(n)^1<<63)
}

// appendOrderedString ends the string with 00 00 and writes a 00 within it as 00 FF: a string is below its
// extensions, whatever follows it.
func appendOrderedString(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, s[i])
		if s[i] == 0 {
			dst = append(dst, 0xFF)
		}
	}
	return append(dst, 0, 0)
}

// floatBits returns the bits of f with −0 as 0; f is finite (rule V2).
func floatBits(f float64) uint64 { return math.Float64bits(f + 0) }

// float returns the value of bits, which must be those of a finite number.
func (r *reader) float(bits uint64) feature.Value {
	v := feature.Float64Value(math.Float64frombits(bits))
	if v.IsNull() {
		r.fail("float64: not a finite number")
	}
	return v
}

// ColumnOrder returns the indexes of the fields in order of their names: the order in which the columns of
// two imported events of equal position are compared (rule O2).
func ColumnOrder(fields []feature.Field) []int {
	order := make([]int, len(fields))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(fields[i].Name, fields[j].Name) })
	return order
}

// AppendOrderedColumn appends a column of an imported event; those of one event, in order of their names, are what
// asof.Position holds as Columns. A NULL appends nothing, and a value stands behind its name with all bits flipped:
// where one event has a value and the other's next one is of a later column, the first is above, as NULL is lowest. So
// an event compares in the same way whether it was imported before or after its source got more columns.
func AppendOrderedColumn(dst []byte, name string, v feature.Value) []byte {
	if v.IsNull() {
		return dst
	}
	for i := range len(name) {
		dst = append(dst, ^name[i])
	}
	return AppendOrdered(append(dst, 0xFF), v)
}

// AppendRowOrder appends the columns of row i of b in the given order (of ColumnOrder).
func AppendRowOrder(dst []byte, b *feature.Batch, i int, order []int) []byte {
	for _, c := range order {
		dst = AppendOrderedColumn(dst, b.Fields[c].Name, b.Columns[c].Value(i))
	}
	return dst
}
