package offline

import (
	"fmt"
	"strconv"

	"github.com/lockstepfs/lockstep/feature"
)

// Bits of the first flag word of a row that a query returns; those above say which columns are NULL.
const (
	flagMatched = 1 << iota // there is an event
	flagDeleted             // its deleted column is true
	flagNulls   = 2         // shift of the first column's bit
)

// columnsPerWord is how many columns' NULL bits go into one flag word; the first two bits of the first one are taken.
const columnsPerWord = 60

// Flags are the flag words of an event with the columns of e.
func (e *events) Flags() []string { return flagWords(e.Columns, "toUInt64(1) + 2 * "+e.Deleted) }

// flagWords are expressions of UInt64: first, plus a bit for each column that is NULL.
func flagWords(columns []valueColumn, first string) []string {
	words := []string{first}
	for i, c := range columns {
		word, bit := i/columnsPerWord, i%columnsPerWord+flagNulls
		if word == len(words) {
			words = append(words, "toUInt64(0)")
		}
		words[word] += " + " + strconv.FormatUint(1<<bit, 10) + " * (" + c.Null + ")"
	}
	return words
}

// FlagType converts a flag word to the narrowest type that holds it: a join copies it with every event.
func (e *events) FlagType() string {
	for _, bits := range []int{8, 16, 32} {
		if flagNulls+len(e.Columns) <= bits {
			return fmt.Sprintf("toUInt%d", bits)
		}
	}
	return "toUInt64"
}

// FlagCount is how many words Flags has.
func (e *events) FlagCount() int { return flagCount(len(e.Columns)) }

func flagCount(columns int) int { return max(1, (columns+columnsPerWord-1)/columnsPerWord) }

// cells receive the columns of a row from the driver.
type cells struct {
	flags []uint64
	vars  []variable
}

// variable is one column of the row scanned last, in the representation of newColumn.
type variable struct {
	typ     feature.Type
	num     int64
	float   float64
	str     string
	nums    []int64
	floats  []float64
	strs    []string
	boolean []bool
}

// newCells returns cells for columns of the types given and their flag words, and pointers to them for Scan: the words
// first.
func newCells(types []feature.Type) (*cells, []any) {
	c := &cells{flags: make([]uint64, flagCount(len(types))), vars: make([]variable, len(types))}
	var into []any
	for i := range c.flags {
		into = append(into, &c.flags[i])
	}
	for i, t := range types {
		c.vars[i].typ = t
		into = append(into, c.vars[i].pointer())
	}
	return c, into
}

func (c *cells) isNull(i int) bool {
	return c.flags[i/columnsPerWord]&(1<<(i%columnsPerWord+flagNulls)) != 0
}

// value returns column i; NULL where the flags say so.
func (c *cells) value(i int) feature.Value {
	if c.isNull(i) {
		return feature.Value{}
	}
	return c.vars[i].value()
}

func (v *variable) pointer() any {
	switch {
	case v.typ.List:
		switch v.typ.Kind {
		case feature.KindFloat64:
			return &v.floats
		case feature.KindString:
			return &v.strs
		case feature.KindBool:
			return &v.boolean
		default:
			return &v.nums
		}
	case v.typ.Kind == feature.KindFloat64:
		return &v.float
	case v.typ.Kind == feature.KindString:
		return &v.str
	default:
		return &v.num
	}
}

func (v *variable) value() feature.Value {
	if v.typ.List {
		return v.list()
	}
	return number(v.typ.Kind, v.num, v.float, v.str)
}

func number(k feature.Kind, num int64, float float64, str string) feature.Value {
	switch k {
	case feature.KindFloat64:
		return feature.Float64Value(float)
	case feature.KindString:
		return feature.StringValue(str)
	case feature.KindBool:
		return feature.BoolValue(num != 0)
	case feature.KindTimestamp:
		return feature.TimestampValue(feature.Time(num))
	default:
		return feature.Int64Value(num)
	}
}

func (v *variable) list() feature.Value {
	var out []feature.Value
	switch v.typ.Kind {
	case feature.KindFloat64:
		out = elements(v.floats, feature.Float64Value)
	case feature.KindString:
		out = elements(v.strs, feature.StringValue)
	case feature.KindBool:
		out = elements(v.boolean, feature.BoolValue)
	default:
		out = elements(v.nums, func(n int64) feature.Value { return number(v.typ.Kind, n, 0, "") })
	}
	return feature.ListValue(v.typ.Kind, out)
}

func elements[T any](in []T, of func(T) feature.Value) []feature.Value {
	out := make([]feature.Value, len(in))
	for i, x := range in {
		out[i] = of(x)
	}
	return out
}

// keyTypes are the types of a key's parts as queries return them.
func keyTypes(key []feature.Field) []feature.Type {
	types := make([]feature.Type, len(key))
	for i, f := range key {
		types[i] = f.Type
	}
	return types
}

// newKey returns variables for the parts of a key, and pointers to them for Scan.
func newKey(key []feature.Field) ([]variable, []any) { return newVariables(keyTypes(key)) }

// newVariables returns variables of the types given, and pointers to them for Scan.
func newVariables(types []feature.Type) ([]variable, []any) {
	vars := make([]variable, len(types))
	into := make([]any, len(types))
	for i, t := range types {
		vars[i].typ = t
		into[i] = vars[i].pointer()
	}
	return vars, into
}

func keyOf(parts []variable) feature.Key {
	k := make(feature.Key, len(parts))
	for i := range parts {
		k[i] = parts[i].value()
	}
	return k
}
