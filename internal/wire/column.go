package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// appendInts appends whole numbers as their distance from the least of them, each in 1, 2, 4 or 8 bytes. Never
// fewer, so that the number of bytes bounds what a reader allocates. What a NULL place holds does not widen
// the others and is lost.
func appendInts(dst []byte, ints []int64, nulls []bool) []byte {
	base, width := frame(ints, nulls)
	dst = binary.AppendVarint(dst, base)
	dst = append(dst, byte(width))
	n := len(ints) * width
	dst = slices.Grow(dst, n)
	out := dst[len(dst) : len(dst)+n]
	switch width {
	case 1:
		for i, v := range ints {
			out[i] = byte(v - base)
		}
	case 2:
		for i, v := range ints {
			binary.LittleEndian.PutUint16(out[2*i:], uint16(v-base))
		}
	case 4:
		for i, v := range ints {
			binary.LittleEndian.PutUint32(out[4*i:], uint32(v-base))
		}
	default:
		for i, v := range ints {
			binary.LittleEndian.PutUint64(out[8*i:], uint64(v-base))
		}
	}
	return dst[:len(dst)+n]
}

// frame returns the least number and how many bytes the distance to the greatest takes.
func frame(ints []int64, nulls []bool) (base int64, width int) {
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for i, v := range ints {
		if nulls == nil || !nulls[i] {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo > hi {
		return 0, 1
	}
	switch d := uint64(hi) - uint64(lo); {
	case d < 1<<8:
		return lo, 1
	case d < 1<<16:
		return lo, 2
	case d < 1<<32:
		return lo, 4
	default:
		return lo, 8
	}
}

func (r *reader) ints(n int) []int64 {
	base := r.varint("least number of a column")
	width := int(r.byte("width of a column"))
	if r.err == nil && width != 1 && width != 2 && width != 4 && width != 8 {
		r.fail("width of a column: expected 1, 2, 4 or 8, got %d", width)
	}
	if r.err == nil && n > r.left()/width {
		r.fail("%d numbers of %d bytes, but only %d bytes are left", n, width, r.left())
	}
	in := r.take(n*width, "numbers")
	if r.err != nil {
		return nil
	}
	ints := make([]int64, n)
	switch width {
	case 1:
		for i := range ints {
			ints[i] = base + int64(in[i])
		}
	case 2:
		for i := range ints {
			ints[i] = base + int64(binary.LittleEndian.Uint16(in[2*i:]))
		}
	case 4:
		for i := range ints {
			ints[i] = base + int64(binary.LittleEndian.Uint32(in[4*i:]))
		}
	default:
		for i := range ints {
			ints[i] = base + int64(binary.LittleEndian.Uint64(in[8*i:]))
		}
	}
	return ints
}

func appendFloats(dst []byte, floats []float64) []byte {
	dst = slices.Grow(dst, 8*len(floats))
	for _, f := range floats {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
	}
	return dst
}

func (r *reader) floats(n int) []float64 {
	if n > r.left()/8 {
		r.fail("%d floats, but only %d bytes are left", n, r.left())
	}
	in := r.take(8*n, "floats")
	if r.err != nil {
		return nil
	}
	floats := make([]float64, n)
	for i := range floats {
		floats[i] = math.Float64frombits(binary.LittleEndian.Uint64(in[8*i:]))
	}
	return floats
}

func appendStrings(dst []byte, strs []string) []byte {
	lengths := make([]int64, len(strs))
	total := 0
	for i, s := range strs {
		lengths[i] = int64(len(s))
		total += len(s)
	}
	dst = appendInts(dst, lengths, nil)
	dst = slices.Grow(dst, total)
	for _, s := range strs {
		dst = append(dst, s...)
	}
	return dst
}

func (r *reader) strings(n int) []string {
	lengths, total := r.lengths(n)
	text := string(r.take(total, "strings")) // one copy for all
	if r.err != nil {
		return nil
	}
	strs := make([]string, n)
	from := 0
	for i, l := range lengths {
		strs[i] = text[from : from+int(l)]
		from += int(l)
	}
	return strs
}

// lengths reads the lengths of n strings or lists, whose elements take at least a byte each, and their sum.
func (r *reader) lengths(n int) ([]int64, int) {
	lengths := r.ints(n)
	total, limit := int64(0), int64(r.left())
	for _, l := range lengths {
		if l < 0 || l > limit-total {
			r.fail("lengths of strings or lists: %d after %d, but only %d bytes are left", l, total, limit)
			return nil, 0
		}
		total += l
	}
	return lengths, int(total)
}

func (r *reader) nulls(n int) []bool {
	in := r.take((n+7)/8, "NULLs")
	if r.err != nil {
		return nil
	}
	nulls := make([]bool, n)
	for i := range nulls {
		nulls[i] = in[i/8]>>(i%8)&1 == 1
	}
	return nulls
}

func (r *reader) lists(kind feature.Kind, n int) [][]feature.Value {
	lengths, total := r.lengths(n)
	flat := r.elements(kind, total)
	if r.err != nil {
		return nil
	}
	lists := make([][]feature.Value, n)
	from := 0
	for i, l := range lengths {
		to := from + int(l)
		lists[i] = flat[from:to:to]
		from = to
	}
	return lists
}

// elements reads the elements of all lists of a column.
func (r *reader) elements(kind feature.Kind, n int) []feature.Value {
	flat := feature.Column{Type: feature.Type{Kind: kind}}
	switch kind {
	case feature.KindFloat64:
		flat.Floats = r.floats(n)
	case feature.KindString:
		flat.Strs = r.strings(n)
	default:
		flat.Ints = r.ints(n)
	}
	if kind == feature.KindBool {
		r.checkBools(flat.Ints)
	}
	if r.err != nil {
		return nil
	}
	values := make([]feature.Value, n)
	for i := range values {
		values[i] = flat.Value(i)
		if values[i].IsNull() {
			r.fail("float64 in a list: not a finite number")
			return nil
		}
	}
	return values
}
