package rowfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/lockstepfs/lockstep/feature"
)

// dense is the values of a page or a dictionary without the NULLs, in the slice that a feature.Column of their
// kind uses.
type dense struct {
	ints   []int64
	floats []float64
	strs   []string
}

// lookup sets d to the values of table at the indexes.
func (d *dense) lookup(table *dense, indexes []int32) error {
	var err error
	switch {
	case table.floats != nil:
		d.floats, err = gather(d.floats[:0], table.floats, indexes)
	case table.strs != nil:
		d.strs, err = gather(d.strs[:0], table.strs, indexes)
	default:
		d.ints, err = gather(d.ints[:0], table.ints, indexes)
	}
	return err
}

func gather[T any](dst, table []T, indexes []int32) ([]T, error) {
	dst = slices.Grow(dst, len(indexes))
	for _, i := range indexes {
		if uint(i) >= uint(len(table)) {
			return nil, fmt.Errorf("index %d into a dictionary of %d", i, len(table))
		}
		dst = append(dst, table[i])
	}
	return dst, nil
}

// move appends n values from the one at i on to c.
func (d *dense) move(c *feature.Column, i, n int) {
	switch c.Type.Kind {
	case feature.KindFloat64:
		c.Floats = append(c.Floats, d.floats[i:i+n]...)
	case feature.KindString:
		c.Strs = append(c.Strs, d.strs[i:i+n]...)
	default:
		c.Ints = append(c.Ints, d.ints[i:i+n]...)
	}
}

// null appends the zero value that a NULL place holds.
func (d *dense) null(c *feature.Column) {
	switch c.Type.Kind {
	case feature.KindFloat64:
		c.Floats = append(c.Floats, 0)
	case feature.KindString:
		c.Strs = append(c.Strs, "")
	default:
		c.Ints = append(c.Ints, 0)
	}
}

func (d *dense) value(k feature.Kind, i int) feature.Value {
	switch k {
	case feature.KindFloat64:
		return feature.Float64Value(d.floats[i])
	case feature.KindString:
		return feature.StringValue(d.strs[i])
	case feature.KindBool:
		return feature.BoolValue(d.ints[i] != 0)
	case feature.KindTimestamp:
		return feature.TimestampValue(feature.Time(d.ints[i]))
	default:
		return feature.Int64Value(d.ints[i])
	}
}

// makeRoom makes room for n places.
func makeRoom(c *feature.Column, n int) {
	switch c.Type.Kind {
	case feature.KindFloat64:
		c.Floats = make([]float64, 0, n)
	case feature.KindString:
		c.Strs = make([]string, 0, n)
	default:
		c.Ints = make([]int64, 0, n)
	}
}

// leaf is how the values of a Parquet type are read.
type leaf struct {
	kind     feature.Kind
	decode   func(v encoding.Values, n int, to *dense) error
	unsigned bool // a negative number stands for one that does not fit an int64
	decimal  bool // read as text, which is exact
}

// leafOf returns how to read values of t, or why they cannot be kept without loss.
func leafOf(t parquet.Type) (leaf, error) {
	if logical := t.LogicalType(); logical != nil && logical.Value != nil {
		switch l := logical.Value.(type) {
		case *format.TimestampType:
			return timestampLeaf(l)
		case *format.DateType:
			return leaf{kind: feature.KindTimestamp, decode: int32s(func(x int32) int64 { return scale(int64(x), int64(feature.Day)) })}, nil
		case *format.IntType:
			return intLeaf(l)
		case *format.StringType, *format.EnumType, *format.JsonType:
			return leaf{kind: feature.KindString, decode: texts}, nil
		case *format.UUIDType:
			return leaf{kind: feature.KindString, decode: uuids}, nil
		case *format.NullType:
			return leaf{kind: feature.KindString, decode: nothing}, nil
		case *format.DecimalType:
			return decimalLeaf(t.Kind(), int(l.Scale))
		default:
			return leaf{}, errors.New("expected integers, floats, booleans, text, dates or timestamps")
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return leaf{kind: feature.KindBool, decode: bits}, nil
	case parquet.Int32:
		return leaf{kind: feature.KindInt64, decode: int32s(func(x int32) int64 { return int64(x) })}, nil
	case parquet.Int64:
		return leaf{kind: feature.KindInt64, decode: int64s(nil)}, nil
	case parquet.Int96:
		return leaf{kind: feature.KindTimestamp, decode: int96s}, nil
	case parquet.Float:
		return leaf{kind: feature.KindFloat64, decode: singles}, nil
	case parquet.Double:
		return leaf{kind: feature.KindFloat64, decode: doubles}, nil
	case parquet.ByteArray:
		return leaf{kind: feature.KindString, decode: texts}, nil
	default:
		return leaf{}, errors.New("expected integers, floats, booleans, text, dates or timestamps")
	}
}

func timestampLeaf(t *format.TimestampType) (leaf, error) {
	switch t.Unit.Value.(type) {
	case *format.MilliSeconds:
		return leaf{kind: feature.KindTimestamp, decode: int64s(func(x int64) int64 { return scale(x, 1000) })}, nil
	case *format.MicroSeconds:
		return leaf{kind: feature.KindTimestamp, decode: int64s(nil)}, nil
	case *format.NanoSeconds:
		return leaf{kind: feature.KindTimestamp, decode: int64s(func(x int64) int64 { return floorDiv(x, 1000) })}, nil
	default:
		return leaf{}, errors.New("expected milliseconds, microseconds or nanoseconds")
	}
}

func intLeaf(t *format.IntType) (leaf, error) {
	switch {
	case t.BitWidth == 64 && t.IsSigned:
		return leaf{kind: feature.KindInt64, decode: int64s(nil)}, nil
	case t.BitWidth == 64:
		return leaf{kind: feature.KindInt64, decode: int64s(nil), unsigned: true}, nil
	case t.IsSigned:
		return leaf{kind: feature.KindInt64, decode: int32s(func(x int32) int64 { return int64(x) })}, nil
	default:
		return leaf{kind: feature.KindInt64, decode: int32s(func(x int32) int64 { return int64(uint32(x)) })}, nil
	}
}

// int64s reads 64-bit integers, through f unless it is nil.
func int64s(f func(int64) int64) func(encoding.Values, int, *dense) error {
	return func(v encoding.Values, n int, to *dense) error {
		in := v.Int64()
		if len(in) < n {
			return errShort
		}
		to.ints = append(to.ints[:0], in[:n]...)
		if f != nil {
			for i, x := range to.ints {
				to.ints[i] = f(x)
			}
		}
		return nil
	}
}

func int32s(f func(int32) int64) func(encoding.Values, int, *dense) error {
	return func(v encoding.Values, n int, to *dense) error {
		in := v.Int32()
		if len(in) < n {
			return errShort
		}
		to.ints = to.ints[:0]
		for _, x := range in[:n] {
			to.ints = append(to.ints, f(x))
		}
		return nil
	}
}

func singles(v encoding.Values, n int, to *dense) error {
	in := v.Float()
	if len(in) < n {
		return errShort
	}
	to.floats = append(to.floats[:0], make([]float64, n)...)
	for i, x := range in[:n] {
		to.floats[i] = float64(x)
	}
	return nil
}

func doubles(v encoding.Values, n int, to *dense) error {
	in := v.Double()
	if len(in) < n {
		return errShort
	}
	to.floats = append(to.floats[:0], in[:n]...)
	return nil
}

func bits(v encoding.Values, n int, to *dense) error {
	in := v.Boolean()
	if len(in) < (n+7)/8 {
		return errShort
	}
	to.ints = to.ints[:0]
	for i := range n {
		to.ints = append(to.ints, int64(in[i/8]>>(i%8)&1))
	}
	return nil
}

// texts makes one string of all and cuts the values out of it.
func texts(v encoding.Values, n int, to *dense) error {
	to.strs = append(to.strs[:0], make([]string, n)...)
	if n == 0 {
		return nil
	}
	data, offsets := v.ByteArray()
	if len(offsets) < n+1 {
		return errShort
	}
	base := offsets[0]
	all := string(data[base:offsets[n]])
	for i := range n {
		to.strs[i] = all[offsets[i]-base : offsets[i+1]-base]
	}
	return nil
}

func uuids(v encoding.Values, n int, to *dense) error {
	data, size := v.FixedLenByteArray()
	if size != 16 || len(data) < 16*n {
		return errShort
	}
	to.strs = append(to.strs[:0], make([]string, n)...)
	for i := range n {
		h := hex.EncodeToString(data[16*i : 16*i+16])
		to.strs[i] = h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	return nil
}

// int96s reads the deprecated timestamps: nanoseconds of the day and a Julian day.
func int96s(v encoding.Values, n int, to *dense) error {
	const epoch = 2440588 // Julian day of 1970-01-01
	in := v.Int96()
	if len(in) < n {
		return errShort
	}
	to.ints = to.ints[:0]
	for _, x := range in[:n] {
		nanos := int64(x[1])<<32 | int64(x[0])
		to.ints = append(to.ints, scale(int64(int32(x[2]))-epoch, int64(feature.Day))+floorDiv(nanos, 1000))
	}
	return nil
}

func nothing(_ encoding.Values, n int, to *dense) error {
	if n > 0 {
		return errors.New("a column without values has a value")
	}
	to.strs = to.strs[:0]
	return nil
}
