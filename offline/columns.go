package offline

import (
	"github.com/lockstepfs/lockstep/feature"
)

// stored is one column of a ClickHouse table with the rows to put into it: a slice that the driver appends at once.
type stored struct {
	name string
	typ  string
	data any
}

// scalarType is the ClickHouse type of one value of kind k, with instants as microseconds when raw.
func scalarType(k feature.Kind, raw bool) string {
	switch k {
	case feature.KindFloat64:
		return "Float64"
	case feature.KindString:
		return "String"
	case feature.KindBool:
		return "Bool"
	case feature.KindTimestamp:
		if !raw {
			return "DateTime64(6, 'UTC')"
		}
	default: // int64, and instants as microseconds
	}
	return "Int64"
}

// columnType is the ClickHouse type of a column.
func columnType(t feature.Type, raw, required bool) string {
	typ := scalarType(t.Kind, raw)
	switch {
	case t.List:
		return "Array(" + typ + ")"
	case required:
		return typ
	default:
		return "Nullable(" + typ + ")"
	}
}

// Prefixes of the columns that go with a column of a source. Names of sources' columns begin with a letter.
const (
	rawPrefix = "_us_"  // microseconds, ephemeral: what instants are written through
	hasPrefix = "_has_" // whether a list is there, where false means NULL
)

// eventColumns are the columns through which c goes into an event table.
func eventColumns(f feature.Field, c *feature.Column, required bool) []stored {
	name := f.Name
	if f.Type.Kind == feature.KindTimestamp {
		name = rawPrefix + name
	}
	return columnData(name, hasPrefix+f.Name, c, required)
}

// columnData is c under the name given, and for a list under has whether it is there.
func columnData(name, has string, c *feature.Column, required bool) []stored {
	typ := columnType(c.Type, true, required)
	if c.Type.List {
		return []stored{{name, typ, lists(c)}, {has, "Bool", present(c)}}
	}
	nullable := c.Nulls != nil && !required
	var data any
	switch c.Type.Kind {
	case feature.KindFloat64:
		data = orPointers(c.Floats, c.Nulls, nullable)
	case feature.KindString:
		data = orPointers(c.Strs, c.Nulls, nullable)
	case feature.KindBool:
		bools := make([]bool, len(c.Ints))
		for i, n := range c.Ints {
			bools[i] = n != 0
		}
		nulls := c.Nulls
		if nulls == nil { // for a []bool the driver forgets the NULL map of a Nullable(Bool)
			nulls = make([]bool, len(bools))
		}
		data = orPointers(bools, nulls, !required)
	default:
		data = orPointers(c.Ints, c.Nulls, nullable)
	}
	return []stored{{name, typ, data}}
}

// orPointers returns values, or pointers to them and nil where NULL: the driver takes either for a Nullable column.
func orPointers[T any](values []T, nulls []bool, nullable bool) any {
	if !nullable {
		return values
	}
	p := make([]*T, len(values))
	for i := range values {
		if !nulls[i] {
			p[i] = &values[i]
		}
	}
	return p
}

func present(c *feature.Column) []bool {
	has := make([]bool, len(c.Lists))
	for i := range has {
		has[i] = !c.IsNull(i)
	}
	return has
}

func lists(c *feature.Column) any {
	switch c.Type.Kind {
	case feature.KindFloat64:
		return listsOf(c.Lists, feature.Value.Float64)
	case feature.KindString:
		return listsOf(c.Lists, feature.Value.Str)
	case feature.KindBool:
		return listsOf(c.Lists, feature.Value.Bool)
	case feature.KindTimestamp:
		return listsOf(c.Lists, func(v feature.Value) int64 { return int64(v.Time()) })
	default:
		return listsOf(c.Lists, feature.Value.Int64)
	}
}

func listsOf[T any](lists [][]feature.Value, of func(feature.Value) T) [][]T {
	out := make([][]T, len(lists))
	for i, list := range lists {
		out[i] = make([]T, len(list))
		for j, v := range list {
			out[i][j] = of(v)
		}
	}
	return out
}
