package feature

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ParseJSON reads one JSON scalar or array of scalars. Whole numbers that fit become int64, others float64;
// strings stay strings (Convert makes timestamps and numbers of them); null is NULL. A list with elements of
// different kinds, nulls or lists inside is an error, except that whole numbers widen to float64 beside
// floats. The type of an empty array is a list of KindNull, which converts to any list.
func ParseJSON(b []byte) (Value, error) {
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

// ValueOf returns the Value of a decoded JSON value (nil, bool, json.Number, float64, string, []any) or of a
// plain Go value (int, int64, []int64, []float64, []string, ...). See ParseJSON for the rules.
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
	case []any:
		return listOf(x)
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

// kindEmpty marks the list whose element kind is not known because it has none.
const kindEmpty Kind = 255

func numeric(k Kind) bool { return k == KindInt64 || k == KindFloat64 }
