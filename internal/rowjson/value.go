package rowjson

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/lockstepfs/lockstep/feature"
)

// Value returns the token as a value of type t where nothing is lost (rule K4); the error says what was
// expected. Numbers may come as strings (an int64 has more digits than a JavaScript number), timestamps are
// text, null is NULL. A number too great for a float64 is an error, NaN and infinities (as text) are NULL.
func (t *Token) Value(typ feature.Type) (feature.Value, error) {
	if t.Kind == Null {
		return feature.Value{}, nil
	}
	if typ.List || t.Kind == Array || t.Kind == Object {
		return t.list(typ)
	}
	switch {
	case t.Kind == Number && typ.Kind == feature.KindInt64:
		return t.int64()
	case t.Kind == Number && typ.Kind == feature.KindFloat64:
		return t.float64()
	case t.Kind == String && typ.Kind == feature.KindString:
		return feature.StringValue(string(t.Text)), nil
	case t.Kind == String && typ.Kind == feature.KindTimestamp:
		at, err := feature.ParseTime(string(t.Text))
		if err != nil {
			return feature.Value{}, err
		}
		return feature.TimestampValue(at), nil
	}
	v, err := t.Infer()
	if err != nil {
		return feature.Value{}, err
	}
	return feature.Convert(v, typ)
}

func (t *Token) list(typ feature.Type) (feature.Value, error) {
	if t.Kind != Array || !typ.List {
		return feature.Value{}, fmt.Errorf("expected %s, got %s", typ, t.Kind)
	}
	if typ.Len > 0 && len(t.Elems) != typ.Len {
		return feature.Value{}, fmt.Errorf("expected %d elements, got %d", typ.Len, len(t.Elems))
	}
	elems := make([]feature.Value, len(t.Elems))
	for i := range t.Elems {
		e := &t.Elems[i]
		v, err := e.Value(feature.Type{Kind: typ.Kind})
		switch {
		case err != nil:
			return feature.Value{}, fmt.Errorf("element %d: %w", i, err)
		case v.IsNull():
			return feature.Value{}, fmt.Errorf("element %d is NULL; a list has no NULL inside", i)
		}
		elems[i] = v
	}
	return feature.ListValue(typ.Kind, elems), nil
}

// Infer returns the token as a value of the type that its text suggests, by the rules of feature.ParseJSON.
func (t *Token) Infer() (feature.Value, error) {
	switch t.Kind {
	case Null:
		return feature.Value{}, nil
	case True, False:
		return feature.BoolValue(t.Kind == True), nil
	case String:
		return feature.StringValue(string(t.Text)), nil
	case Number:
		if n, ok := parseInt(t.Text); ok {
			return feature.Int64Value(n), nil
		}
		if !bytes.ContainsAny(t.Text, ".eE") {
			return feature.Value{}, fmt.Errorf("number %s does not fit an int64", abbreviate(t.Text))
		}
		return t.float64()
	case Array:
		elems := make([]any, len(t.Elems))
		for i := range t.Elems {
			e := &t.Elems[i]
			if e.Kind == Array || e.Kind == Object {
				return feature.Value{}, fmt.Errorf("element %d is %s; lists hold scalars", i, e.Kind)
			}
			v, err := e.Infer()
			if err != nil {
				return feature.Value{}, fmt.Errorf("element %d: %w", i, err)
			}
			elems[i] = v
		}
		return feature.ValueOf(elems)
	default:
		return feature.Value{}, fmt.Errorf("expected a scalar or a list of scalars, got %s", t.Kind)
	}
}

func (t *Token) int64() (feature.Value, error) {
	if n, ok := parseInt(t.Text); ok {
		return feature.Int64Value(n), nil
	}
	if n, ok := parseWhole(t.Text); ok {
		return feature.Int64Value(n), nil
	}
	return feature.Value{}, fmt.Errorf("expected int64, got the number %s", abbreviate(t.Text))
}

// float64 reads a number as the nearest float64. A long whole number is refused when digits would be lost,
// that is, when it is neither the exact nor the shortest way to write the result.
func (t *Token) float64() (feature.Value, error) {
	f, err := strconv.ParseFloat(string(t.Text), 64)
	if err != nil || math.IsInf(f, 0) {
		return feature.Value{}, fmt.Errorf("number %s is out of the range of float64", abbreviate(t.Text))
	}
	if len(t.Text) > 15 && math.Abs(f) >= 1<<53 && !bytes.ContainsAny(t.Text, ".eE") &&
		strconv.FormatFloat(f, 'f', -1, 64) != string(t.Text) && strconv.FormatFloat(f, 'f', 0, 64) != string(t.Text) {
		return feature.Value{}, fmt.Errorf("number %s is too long for a float64: digits would be lost", abbreviate(t.Text))
	}
	return feature.Float64Value(f), nil
}

// parseInt reads a whole number without fraction and exponent that fits an int64.
func parseInt(b []byte) (int64, bool) {
	if len(b) > 18 { // may overflow: the careful way
		n, err := strconv.ParseInt(string(b), 10, 64)
		return n, err == nil
	}
	digits := b
	if b[0] == '-' {
		digits = b[1:]
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if b[0] == '-' {
		n = -n
	}
	return n, true
}

// parseWhole reads a number with a fraction or an exponent whose value is nevertheless whole, such as 5.0 or
// 1.5e3, in decimal, so that no digit is lost on the way.
func parseWhole(b []byte) (int64, bool) {
	mantissa, exponent := b, 0
	if i := bytes.IndexAny(b, "eE"); i >= 0 {
		n, err := strconv.Atoi(string(b[i+1:]))
		if err != nil {
			return 0, false
		}
		mantissa, exponent = b[:i], n
	}
	whole, frac, _ := bytes.Cut(mantissa, []byte("."))
	digits := append(append(make([]byte, 0, len(b)+20), whole...), frac...)
	exponent -= len(frac)
	for exponent < 0 && len(digits) > 1 && digits[len(digits)-1] == '0' {
		digits, exponent = digits[:len(digits)-1], exponent+1
	}
	if zero := len(bytes.Trim(digits, "-0")) == 0; zero {
		return 0, true
	}
	if exponent < 0 || exponent > 18 {
		return 0, false
	}
	for range exponent {
		digits = append(digits, '0')
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return n, err == nil
}

func abbreviate(b []byte) string {
	if len(b) > 60 {
		return string(b[:57]) + "..."
	}
	return string(b)
}
