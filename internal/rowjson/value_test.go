package rowjson_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

func token(t testing.TB, text string) *rowjson.Token {
	t.Helper()
	var s rowjson.Scanner
	s.Reset([]byte(`{"v":` + text + `}`))
	if !s.Next() {
		t.Fatalf("%s: %v", text, s.Err())
	}
	return s.Value()
}

func ints(xs ...int64) feature.Value {
	elems := make([]feature.Value, len(xs))
	for i, x := range xs {
		elems[i] = feature.Int64Value(x)
	}
	return feature.ListValue(feature.KindInt64, elems)
}

func TestValue(t *testing.T) {
	vector := feature.Type{Kind: feature.KindFloat64, List: true, Len: 2}
	null := feature.Value{}
	tests := []struct {
		in   string
		typ  feature.Type
		want feature.Value
	}{
		{"null", feature.Int64, null},
		{"null", vector, null},
		{"5", feature.Int64, feature.Int64Value(5)},
		{"-0", feature.Int64, feature.Int64Value(0)},
		{"-9223372036854775808", feature.Int64, feature.Int64Value(math.MinInt64)},
		{"9223372036854775807", feature.Int64, feature.Int64Value(math.MaxInt64)},
		{`"9223372036854775807"`, feature.Int64, feature.Int64Value(math.MaxInt64)},
		{"999999999999999999", feature.Int64, feature.Int64Value(999999999999999999)},
		{"5.0", feature.Int64, feature.Int64Value(5)},
		{"-1.50e1", feature.Int64, feature.Int64Value(-15)},
		{"1e18", feature.Int64, feature.Int64Value(1e18)},
		{"0.0e99", feature.Int64, feature.Int64Value(0)},
		{"-0.0", feature.Int64, feature.Int64Value(0)},
		{"9007199254740993.0", feature.Int64, feature.Int64Value(9007199254740993)}, // a float64 would round it
		{"0.5", feature.Float64, feature.Float64Value(0.5)},
		{"-0.0", feature.Float64, feature.Float64Value(0)},
		{"-0", feature.Float64, feature.Float64Value(0)},
		{"5", feature.Float64, feature.Float64Value(5)},
		{"9007199254740992", feature.Float64, feature.Float64Value(1 << 53)},
		{"1234567890123456768", feature.Float64, feature.Float64Value(1234567890123456768)}, // exact
		{"1234567890123456800", feature.Float64, feature.Float64Value(1234567890123456768)}, // shortest, as JavaScript writes it
		{"100000000000000000000", feature.Float64, feature.Float64Value(1e20)},
		{"1e-400", feature.Float64, feature.Float64Value(0)},
		{`"NaN"`, feature.Float64, null},
		{`"-Infinity"`, feature.Float64, null},
		{"true", feature.Bool, feature.BoolValue(true)},
		{`"false"`, feature.Bool, feature.BoolValue(false)},
		{`"x"`, feature.String, feature.StringValue("x")},
		{"5", feature.String, feature.StringValue("5")},
		{`"2001-06-25T12:00:00.0000009Z"`, feature.Timestamp, feature.TimestampValue(993470400000000)},
		{"[1, 2.0]", feature.ListOf(feature.KindInt64), ints(1, 2)},
		{"[]", feature.ListOf(feature.KindInt64), ints()},
		{"[]", feature.ListOf(feature.KindTimestamp), feature.ListValue(feature.KindTimestamp, nil)},
		{"[1, 2]", vector, feature.ListValue(feature.KindFloat64, []feature.Value{feature.Float64Value(1), feature.Float64Value(2)})},
	}
	for _, tt := range tests {
		if got, err := token(t, tt.in).Value(tt.typ); err != nil || !got.Equal(tt.want) {
			t.Errorf("%s as %s = %s, %v, want %s", tt.in, tt.typ, got, err, tt.want)
		}
	}
}

func TestValueRefuses(t *testing.T) {
	vector := feature.Type{Kind: feature.KindFloat64, List: true, Len: 2}
	tests := []struct {
		in      string
		typ     feature.Type
		message string
	}{
		{"1.5", feature.Int64, "expected int64, got the number 1.5"},
		{"9223372036854775808", feature.Int64, "expected int64, got the number 9223372036854775808"},
		{"1e19", feature.Int64, "expected int64"},
		{"1e99999999999999999999", feature.Int64, "expected int64"},
		{"9007199254740993", feature.Float64, "digits would be lost"},
		{"18446744073709551617", feature.Float64, "digits would be lost"},
		{"1e400", feature.Float64, "out of the range of float64"},
		{`"1e400"`, feature.Float64, "for float64"},
		{`"x"`, feature.Int64, `cannot take string "x" for int64`},
		{"true", feature.Int64, "for int64"},
		{"1", feature.Bool, "for bool"},
		{"1.5", feature.String, "for string"},
		{"993470400", feature.Timestamp, "for timestamp"},
		{`"noon"`, feature.Timestamp, "expected RFC 3339"},
		{`"1899-12-31T00:00:00Z"`, feature.Timestamp, "outside the years"},
		{"[1]", feature.Int64, "expected int64, got an array"},
		{`{"a":1}`, feature.String, "expected string, got an object"},
		{"1", vector, "expected vector<2>, got a number"},
		{"[1]", vector, "expected 2 elements, got 1"},
		{"[1,null]", vector, "element 1 is NULL"},
		{`[1,"NaN"]`, vector, "element 1 is NULL"},
		{"[1,[2]]", vector, "element 1: expected float64, got an array"},
		{`[1,{}]`, vector, "element 1: expected float64, got an object"},
		{`["a",1.5]`, feature.ListOf(feature.KindString), "element 1: cannot take"},
	}
	for _, tt := range tests {
		if got, err := token(t, tt.in).Value(tt.typ); err == nil || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s as %s = %s, %v, want an error with %q", tt.in, tt.typ, got, err, tt.message)
		}
	}
}

// Infer reads what feature.ParseJSON reads.
func FuzzInfer(f *testing.F) {
	for _, s := range []string{"1", "-0.0", "1e400", `[1,2.5]`, `["a"]`, "[[1]]", "null", "[]", "9223372036854775808", "[1,null]", `{"a":1}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s rowjson.Scanner
		s.Reset([]byte(`{"v":` + text + `}`))
		if !s.Next() || string(s.Key()) != "v" {
			return
		}
		v := *s.Value()
		if s.Next() || s.Err() != nil {
			return
		}
		got, err := v.Infer()
		want, wantErr := feature.ParseJSON([]byte(text))
		emptyList := want.Type().List && len(want.List()) == 0 // of elements of no known kind
		if (err == nil) != (wantErr == nil) || err == nil && !emptyList && !got.Equal(want) {
			t.Fatalf("%s = %s, %v; feature.ParseJSON says %s, %v", text, got, err, want, wantErr)
		}
	})
}

// A number is an int64 exactly when its decimal value is one.
func FuzzWhole(f *testing.F) {
	for _, s := range []string{"5.0", "-1.50e1", "1e18", "0.0e9", "9007199254740993.0", "1e-1", "10e-1", "-0.00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s rowjson.Scanner
		s.Reset([]byte(`{"v":` + text + `}`))
		if len(text) > 30 || !s.Next() || s.Value().Kind != rowjson.Number || string(s.Value().Text) != text {
			return
		}
		if _, exp, ok := strings.Cut(strings.ToLower(text), "e"); ok && len(exp) > 4 {
			return // too slow for the oracle
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("big.Rat does not read %s", text)
		}
		want := exact.IsInt() && exact.Num().IsInt64()
		got, err := s.Value().Value(feature.Int64)
		if (err == nil) != want || want && got.Int64() != exact.Num().Int64() {
			t.Fatalf("%s as int64 = %s, %v; its exact value is %s", text, got, err, exact)
		}
	})
}
