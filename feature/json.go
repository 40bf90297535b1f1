package feature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// ParseJSON reads one JSON scalar or array of scalars. Whole numbers that fit become int64, others float64;
// strings stay strings (Convert makes timestamps and numbers of them); null is NULL. A list with elements of
// different kinds, nulls or lists inside is an error, except that whole numbers widen to float64 beside
// floats. The type of an empty array is a list of KindNull, which converts to any list.
func ParseJSON(b []byte) (Value, error) {
	if !utf8.Valid(b) || brokenSurrogate(b) { // encoding/json would put U+FFFD in its place
		return Value{}, fmt.Errorf("not JSON: %s is not valid Unicode", abbreviate(strconv.Quote(string(b))))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var x any
	if err := dec.Decode(&x); err != nil {
		return Value{}, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Value{}, fmt.Errorf("not JSON: more than one value")
	}
	return ValueOf(x)
}

// brokenSurrogate reports whether an escape in b is half of a surrogate pair.
func brokenSurrogate(b []byte) bool {
	for i := 0; i+1 < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		i++ // a backslash behind a backslash escapes nothing
		if b[i] != 'u' || i+5 > len(b) {
			continue
		}
		r, err := strconv.ParseUint(string(b[i+1:i+5]), 16, 16)
		if err != nil || !utf16.IsSurrogate(rune(r)) {
			continue
		}
		if i+11 > len(b) || b[i+5] != '\\' || b[i+6] != 'u' {
			return true
		}
		low, err := strconv.ParseUint(string(b[i+7:i+11]), 16, 16)
		if err != nil || utf16.DecodeRune(rune(r), rune(low)) == utf8.RuneError {
			return true
		}
		i += 10
	}
	return false
}

// ValueOf returns the Value of a decoded JSON value (nil, bool, json.Number, float64, string, []any) or of a
// plain Go value (int, int64, Time, time.Time, and slices of int64, float64, string, bool). See ParseJSON for
// the rules.
func ValueOf(x any) (Value, error) {
	switch x := x.(type) {
	case nil:
		return Value{}, nil
	case Value:
		return x, nil
	case bool:
		return BoolValue(x), nil
	case string:
		return StringValue(x), nil
	case json.Number:
		return parseNumber(string(x))
	case float64:
		return Float64Value(x), nil
	case int:
		return Int64Value(int64(x)), nil
	case int64:
		return Int64Value(x), nil
	case Time:
		return TimestampValue(x), nil
	case time.Time:
		t, err := TimeOf(x)
		return TimestampValue(t), err
	case []any:
		return listOf(x)
	case []int64:
		return listOf(anys(x))
	case []float64:
		return listOf(anys(x))
	case []string:
		return listOf(anys(x))
	case []bool:
		return listOf(anys(x))
	default:
		return Value{}, fmt.Errorf("expected a scalar or a list of scalars, got %T", x)
	}
}

func parseNumber(s string) (Value, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return Int64Value(n), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return Value{}, fmt.Errorf("number %s is out of range", abbreviate(s))
	}
	if f == math.Trunc(f) && math.Abs(f) >= 1<<53 && !strings.ContainsAny(s, ".eE") {
		return Value{}, fmt.Errorf("number %s does not fit an int64", abbreviate(s))
	}
	return Float64Value(f), nil
}

func listOf(xs []any) (Value, error) {
	elems := make([]Value, len(xs))
	kind := KindNull
	for i, x := range xs {
		e, err := ValueOf(x)
		switch {
		case err != nil:
			return Value{}, fmt.Errorf("element %d: %w", i, err)
		case e.IsNull():
			return Value{}, fmt.Errorf("element %d is NULL; a list has no NULL inside", i)
		case e.list:
			return Value{}, fmt.Errorf("element %d is a list; lists do not nest", i)
		case kind == KindNull || kind == e.kind:
			kind = e.kind
		case numeric(kind) && numeric(e.kind):
			kind = KindFloat64
		default:
			return Value{}, fmt.Errorf("element %d is %s in a list of %s", i, e.kind, kind)
		}
		elems[i] = e
	}
	if kind == KindNull {
		return Value{kind: kindEmpty, list: true, elem: &elems}, nil
	}
	return Convert(ListValue(kind, elems), ListOf(kind))
}

func anys[T any](xs []T) []any {
	out := make([]any, len(xs))
	for i, x := range xs {
		out[i] = x
	}
	return out
}

// kindEmpty marks the list whose element kind is not known because it has none.
const kindEmpty Kind = 255

func numeric(k Kind) bool { return k == KindInt64 || k == KindFloat64 }

// UnmarshalJSON reads a scalar or a list of scalars by the rules of ParseJSON. JSON does not say whether a
// string is a timestamp, or a whole number a float64: Convert the Value where the type is known.
func (v *Value) UnmarshalJSON(b []byte) error {
	parsed, err := ParseJSON(b)
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
