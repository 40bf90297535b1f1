package feature

import (
	"cmp"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Value is one value of rule V1, or NULL: the zero Value is NULL. Values are immutable; copying one copies no
// list and no string. A float64 Value is always finite and never −0 when it was made by Float64Value.
type Value struct {
	kind Kind
	list bool
	num  uint64
	str  string
	elem *[]Value
}

// Int64Value returns an int64.
func Int64Value(v int64) Value { return Value{kind: KindInt64, num: uint64(v)} }

// Float64Value returns a float64; NaN and the infinities become NULL and −0 becomes 0 (rule V2).
func Float64Value(v float64) Value {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Value{}
	}
	return Value{kind: KindFloat64, num: math.Float64bits(v + 0)}
}

// BoolValue returns a bool.
func BoolValue(v bool) Value {
	if v {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// StringValue returns a string.
func StringValue(v string) Value { return Value{kind: KindString, str: v} }

// TimestampValue returns an instant.
func TimestampValue(t Time) Value { return Value{kind: KindTimestamp, num: uint64(t)} }

// ListValue returns a list of elements of kind k. It keeps elem, which the caller must not change, and every
// element must be of kind k: lists hold no NULL (rule V1).
func ListValue(k Kind, elem []Value) Value { return Value{kind: k, list: true, elem: &elem} }

// IsNull reports whether v is NULL.
func (v Value) IsNull() bool { return v.kind == KindNull }

// Type returns the type of v without a vector's length; the zero Type for NULL.
func (v Value) Type() Type { return Type{Kind: v.kind, List: v.list} }

// Int64 returns the number in an int64 Value; it is meaningless for others.
func (v Value) Int64() int64 { return int64(v.num) }

// Float64 returns the number in a float64 Value; it is meaningless for others.
func (v Value) Float64() float64 { return math.Float64frombits(v.num) }

// Bool returns the truth in a bool Value; it is meaningless for others.
func (v Value) Bool() bool { return v.num != 0 }

// Str returns the text of a string Value; it is "" for others.
func (v Value) Str() string { return v.str }

// Time returns the instant in a timestamp Value; it is meaningless for others.
func (v Value) Time() Time { return Time(v.num) }

// List returns the elements of a list Value, which the caller must not change; nil for others.
func (v Value) List() []Value {
	if v.elem == nil {
		return nil
	}
	return *v.elem
}

// Equal reports whether v and w are the same value of the same type. NULL equals NULL.
func (v Value) Equal(w Value) bool {
	return v.kind == w.kind && v.list == w.list && Compare(v, w) == 0
}

// Compare orders two values of one type as rule O2 needs it: NULL lowest, false before true, strings by
// bytes, lists element by element and the shorter first. Values of different types are ordered by type.
func Compare(v, w Value) int {
	if c := cmp.Compare(v.kind, w.kind); c != 0 {
		return c // KindNull is 0
	}
	if v.list || w.list {
		if v.list != w.list {
			if w.list {
				return -1
			}
			return 1
		}
		return compareLists(v.List(), w.List())
	}
	switch v.kind {
	case KindFloat64:
		return cmp.Compare(v.Float64(), w.Float64())
	case KindString:
		return strings.Compare(v.str, w.str)
	default:
		return cmp.Compare(int64(v.num), int64(w.num))
	}
}

func compareLists(a, b []Value) int {
	for i := range min(len(a), len(b)) {
		if c := Compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// String returns v for people: NULL, 12, 0.5, true, "text", an instant, [1 2].
func (v Value) String() string {
	if v.list {
		parts := make([]string, len(v.List()))
		for i, e := range v.List() {
			parts[i] = e.String()
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	switch v.kind {
	case KindNull:
		return "NULL"
	case KindString:
		return strconv.Quote(v.str)
	default:
		return v.Text()
	}
}

// Text returns a scalar without quotes, as CSV files and command lines write it; NULL is "". Lists are JSON.
func (v Value) Text() string {
	if v.list {
		b, _ := v.MarshalJSON()
		return string(b)
	}
	switch v.kind {
	case KindInt64:
		return strconv.FormatInt(v.Int64(), 10)
	case KindFloat64:
		return strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	case KindBool:
		return strconv.FormatBool(v.Bool())
	case KindString:
		return v.str
	case KindTimestamp:
		return v.Time().String()
	default:
		return ""
	}
}

// AppendJSON appends v as JSON to dst: numbers, booleans, strings, RFC 3339 times, arrays, null.
func (v Value) AppendJSON(dst []byte) []byte {
	if v.list {
		dst = append(dst, '[')
		for i, e := range v.List() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.AppendJSON(dst)
		}
		return append(dst, ']')
	}
	switch v.kind {
	case KindInt64:
		return strconv.AppendInt(dst, v.Int64(), 10)
	case KindFloat64:
		return appendFloat(dst, v.Float64())
	case KindBool:
		return strconv.AppendBool(dst, v.Bool())
	case KindString:
		return appendQuoted(dst, v.str)
	case KindTimestamp:
		dst = append(dst, '"')
		dst = v.Time().Std().AppendFormat(dst, "2006-01-02T15:04:05.999999Z07:00")
		return append(dst, '"')
	default:
		return append(dst, "null"...)
	}
}

// appendFloat writes a float so that it reads back as a float64 of the same bits, and as JSON.
func appendFloat(dst []byte, f float64) []byte {
	// From 2^53 on, a whole number without an exponent would read back as an int64, of which it may not be the
	// exact value.
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1<<53) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

func appendQuoted(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			b, _ := json.Marshal(s) // a string cannot fail to encode
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// MarshalJSON writes v as AppendJSON does.
func (v Value) MarshalJSON() ([]byte, error) { return v.AppendJSON(nil), nil }
