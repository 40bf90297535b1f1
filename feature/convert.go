package feature

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Convert returns v as a value of type t where nothing is lost (rule K4), else an error that says what was
// expected: "5" and 5.0 become the int64 5, 5 the float64 5, "true" a bool, text and RFC 3339 a timestamp,
// NaN and infinite floats NULL (V2). An integer is not taken for a timestamp: its unit would be a guess.
// NULL stays NULL. Strings must be valid UTF-8.
func Convert(v Value, t Type) (Value, error) {
	if v.IsNull() {
		return Value{}, nil
	}
	if t.List || v.list {
		return convertList(v, t)
	}
	if v.kind == t.Kind {
		return checkScalar(v)
	}
	var out Value
	ok := false
	switch t.Kind {
	case KindInt64:
		out, ok = toInt64(v)
	case KindFloat64:
		out, ok = toFloat64(v)
	case KindBool:
		if v.kind == KindString && (v.str == "true" || v.str == "false") {
			out, ok = BoolValue(v.str == "true"), true
		}
	case KindTimestamp:
		if v.kind == KindString {
			x, err := ParseTime(v.str)
			if err != nil {
				return Value{}, err
			}
			out, ok = TimestampValue(x), true
		}
	case KindString:
		if v.kind == KindInt64 || v.kind == KindBool {
			out, ok = StringValue(v.Text()), true
		}
	default: // no type of a column
	}
	if !ok {
		return Value{}, fmt.Errorf("cannot take %s %s for %s", v.kind, abbreviate(v.String()), t)
	}
	return out, nil
}

func checkScalar(v Value) (Value, error) {
	switch v.kind {
	case KindString:
		if !utf8.ValidString(v.str) {
			return Value{}, fmt.Errorf("string %s is not valid UTF-8", abbreviate(strconv.Quote(v.str)))
		}
	case KindTimestamp:
		if !v.Time().Valid() {
			return Value{}, errRange(v.Time().String())
		}
	default: // always right
	}
	return v, nil
}

func toInt64(v Value) (Value, bool) {
	switch v.kind {
	case KindString:
		n, err := strconv.ParseInt(v.str, 10, 64)
		return Int64Value(n), err == nil
	case KindFloat64:
		// Every float64 in [-2^63, 2^63) that is a whole number converts exactly.
		if f := v.Float64(); f == math.Trunc(f) && f >= -1<<63 && f < 1<<63 {
			return Int64Value(int64(f)), true
		}
	default:
	}
	return Value{}, false
}

func toFloat64(v Value) (Value, bool) {
	switch v.kind {
	case KindString:
		if strings.ContainsAny(v.str, "xX_") { // Go's own notations
			return Value{}, false
		}
		f, err := strconv.ParseFloat(v.str, 64)
		return Float64Value(f), err == nil
	case KindInt64:
		n := v.Int64()
		f := float64(n)
		return Float64Value(f), f < 1<<63 && int64(f) == n
	default:
	}
	return Value{}, false
}

func convertList(v Value, t Type) (Value, error) {
	if !v.list || !t.List {
		return Value{}, fmt.Errorf("cannot take %s %s for %s", v.Type(), abbreviate(v.String()), t)
	}
	in := v.List()
	if t.Len > 0 && len(in) != t.Len {
		return Value{}, fmt.Errorf("expected %d elements, got %d", t.Len, len(in))
	}
	out := make([]Value, len(in))
	for i, e := range in {
		c, err := Convert(e, Type{Kind: t.Kind})
		if err != nil {
			return Value{}, fmt.Errorf("element %d: %w", i, err)
		}
		if c.IsNull() {
			return Value{}, fmt.Errorf("element %d is NULL; a list has no NULL inside", i)
		}
		out[i] = c
	}
	return ListValue(t.Kind, out), nil
}

func abbreviate(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}

// ParseText reads the text of a CSV field or a command-line argument as a value of type t. The empty text is
// NULL, except for a string type, where it is the empty string. Lists are JSON arrays.
func ParseText(s string, t Type) (Value, error) {
	if t.List {
		if s == "" {
			return Value{}, nil
		}
		v, err := ParseJSON([]byte(s))
		if err != nil {
			return Value{}, err
		}
		return Convert(v, t)
	}
	if s == "" && t.Kind != KindString {
		return Value{}, nil
	}
	return Convert(StringValue(s), t)
}
