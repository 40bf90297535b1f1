package rowfile

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/lockstepfs/lockstep/feature"
)

// appendArrow adds place i of a to c, whose type is arrowType's for it.
func appendArrow(c *feature.Column, a arrow.Array, i int) error {
	if isNull(a, i) {
		c.Append(feature.Value{})
		return nil
	}
	if !c.Type.List && c.Nulls == nil { // the fast way for the usual types
		switch a := a.(type) {
		case *array.Int64:
			c.Ints = append(c.Ints, a.Value(i))
			return nil
		case *array.Float64:
			c.Floats = append(c.Floats, a.Value(i))
			return nil
		case *array.String:
			c.Strs = append(c.Strs, strings.Clone(a.Value(i)))
			return nil
		}
	}
	v, err := arrowValue(a, i)
	if err != nil {
		return err
	}
	c.Append(v)
	return nil
}

// isNull reports whether place i of a is NULL; columns of type null have no bitmap that says so.
func isNull(a arrow.Array, i int) bool { return a.IsNull(i) || a.DataType().ID() == arrow.NULL }

// arrowValue returns place i of a, which is not NULL. Strings do not share memory with a. A timestamp may lie
// outside of valid time.
func arrowValue(a arrow.Array, i int) (feature.Value, error) {
	switch a := a.(type) {
	case *array.Dictionary:
		at := a.GetValueIndex(i)
		if isNull(a.Dictionary(), at) {
			return feature.Value{}, nil
		}
		return arrowValue(a.Dictionary(), at)
	case array.ListLike:
		return arrowList(a, i)
	case *array.Boolean:
		return feature.BoolValue(a.Value(i)), nil
	case *array.Timestamp:
		return feature.TimestampValue(feature.Time(arrowTime(int64(a.Value(i)), a.DataType().(*arrow.TimestampType).Unit))), nil
	case *array.Date32:
		return feature.TimestampValue(feature.Time(scale(int64(a.Value(i)), int64(feature.Day)))), nil
	case *array.Date64:
		return feature.TimestampValue(feature.Time(scale(int64(a.Value(i)), 1000))), nil
	case array.StringLike:
		return feature.StringValue(strings.Clone(a.Value(i))), nil
	case interface{ Value(int) []byte }:
		return feature.StringValue(string(a.Value(i))), nil
	default:
		return arrowNumber(a, i)
	}
}

func arrowNumber(a arrow.Array, i int) (feature.Value, error) {
	switch a := a.(type) {
	case *array.Int8:
		return feature.Int64Value(int64(a.Value(i))), nil
	case *array.Int16:
		return feature.Int64Value(int64(a.Value(i))), nil
	case *array.Int32:
		return feature.Int64Value(int64(a.Value(i))), nil
	case *array.Int64:
		return feature.Int64Value(a.Value(i)), nil
	case *array.Uint8:
		return feature.Int64Value(int64(a.Value(i))), nil
	case *array.Uint16:
		return feature.Int64Value(int64(a.Value(i))), nil
	case *array.Uint32:
		return feature.Int64Value(int64(a.Value(i))), nil
	case *array.Uint64:
		n, err := fitInt64(a.Value(i))
		return feature.Int64Value(n), err
	case *array.Float16:
		return feature.Float64Value(float64(a.Value(i).Float32())), nil
	case *array.Float32:
		return feature.Float64Value(float64(a.Value(i))), nil
	case *array.Float64:
		return feature.Float64Value(a.Value(i)), nil
	default:
		return feature.Value{}, fmt.Errorf("a value of type %s", a.DataType())
	}
}

func arrowList(a array.ListLike, i int) (feature.Value, error) {
	from, to := a.ValueOffsets(i)
	values := a.ListValues()
	if from < 0 || to < from || to > int64(values.Len()) {
		return feature.Value{}, fmt.Errorf("a broken list from element %d to %d of %d", from, to, values.Len())
	}
	elems := make([]feature.Value, 0, to-from)
	typ, _ := arrowType(values.DataType())
	for at := int(from); at < int(to); at++ {
		v, err := feature.Value{}, error(nil)
		if !isNull(values, at) {
			v, err = arrowValue(values, at)
		}
		if err != nil {
			return feature.Value{}, fmt.Errorf("element %d: %w", len(elems), err)
		}
		if v.IsNull() {
			return feature.Value{}, nullInside(len(elems))
		}
		elems = append(elems, v)
	}
	return feature.ListValue(typ.Kind, elems), nil
}
