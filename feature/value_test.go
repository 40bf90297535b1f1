package feature_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

var scalarKinds = []feature.Kind{feature.KindInt64, feature.KindFloat64, feature.KindBool, feature.KindString, feature.KindTimestamp}

// types draws any type.
func types() *rapid.Generator[feature.Type] {
	return rapid.Custom(func(t *rapid.T) feature.Type {
		return feature.Type{Kind: rapid.SampledFrom(scalarKinds).Draw(t, "kind"), List: rapid.Bool().Draw(t, "list")}
	})
}

// valuesOf draws a value of the type, or NULL where a list is not wanted inside of one.
func valuesOf(typ feature.Type) *rapid.Generator[feature.Value] {
	return rapid.Custom(func(t *rapid.T) feature.Value {
		if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
			return feature.Value{}
		}
		if typ.List {
			return feature.ListValue(typ.Kind, rapid.SliceOfN(scalars(typ.Kind), 0, 4).Draw(t, "list"))
		}
		return scalars(typ.Kind).Draw(t, "scalar")
	})
}

func scalars(k feature.Kind) *rapid.Generator[feature.Value] {
	return rapid.Custom(func(t *rapid.T) feature.Value {
		switch k {
		case feature.KindInt64:
			return feature.Int64Value(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1 << 53, 1<<53 + 1, math.MaxInt64})).Draw(t, "int"))
		case feature.KindFloat64:
			special := rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, 1 << 63, 1e20, 1e21, 1234567890123456789, -1e-7})
			return feature.Float64Value(rapid.OneOf(rapid.Float64(), special).Filter(func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }).Draw(t, "float"))
		case feature.KindBool:
			return feature.BoolValue(rapid.Bool().Draw(t, "bool"))
		case feature.KindString:
			return feature.StringValue(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\x00", "\u2028", "<&>", `"\`, "null", "5", "true"})).Draw(t, "string"))
		default:
			return feature.TimestampValue(instants().Draw(t, "time"))
		}
	})
}

func TestFloat64ValueIsFinite(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if v := feature.Float64Value(f); !v.IsNull() {
			t.Errorf("Float64Value(%v) = %s, want NULL", f, v)
		}
	}
	zero := feature.Float64Value(math.Copysign(0, -1))
	if math.Signbit(zero.Float64()) {
		t.Error("Float64Value(-0) keeps its sign")
	}
	if !zero.Equal(feature.Float64Value(0)) {
		t.Error("-0 and 0 differ")
	}
}

func TestValueString(t *testing.T) {
	tests := []struct {
		in            feature.Value
		str, txt, jsn string
	}{
		{feature.Value{}, "NULL", "", "null"},
		{feature.Int64Value(math.MinInt64), "-9223372036854775808", "-9223372036854775808", "-9223372036854775808"},
		{feature.Float64Value(0.5), "0.5", "0.5", "0.5"},
		{feature.Float64Value(1e6), "1e+06", "1e+06", "1000000"},
		{feature.Float64Value(1 << 53), "9.007199254740992e+15", "9.007199254740992e+15", "9.007199254740992e+15"},
		{feature.Float64Value(1e-7), "1e-07", "1e-07", "1e-07"},
		{feature.BoolValue(true), "true", "true", "true"},
		{feature.StringValue(`a"b`), `"a\"b"`, `a"b`, `"a\"b"`},
		{feature.StringValue("é\x01"), `"é\x01"`, "é\x01", `"é\u0001"`},
		{feature.TimestampValue(-1), "1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z", `"1969-12-31T23:59:59.999999Z"`},
		{feature.TimestampValue(993470400000000), "2001-06-25T12:00:00Z", "2001-06-25T12:00:00Z", `"2001-06-25T12:00:00Z"`},
		{feature.ListValue(feature.KindInt64, []feature.Value{feature.Int64Value(1), feature.Int64Value(2)}), "[1 2]", "[1,2]", "[1,2]"},
		{feature.ListValue(feature.KindInt64, nil), "[]", "[]", "[]"},
	}
	for _, tt := range tests {
		if got := tt.in.String(); got != tt.str {
			t.Errorf("String() = %s, want %s", got, tt.str)
		}
		if got := tt.in.Text(); got != tt.txt {
			t.Errorf("Text() = %s, want %s", got, tt.txt)
		}
		if got := string(tt.in.AppendJSON(nil)); got != tt.jsn {
			t.Errorf("AppendJSON() = %s, want %s", got, tt.jsn)
		}
	}
}

func TestCompare(t *testing.T) {
	list := func(xs ...int64) feature.Value {
		elems := make([]feature.Value, len(xs))
		for i, x := range xs {
			elems[i] = feature.Int64Value(x)
		}
		return feature.ListValue(feature.KindInt64, elems)
	}
	ordered := [][]feature.Value{
		{{}, feature.Int64Value(math.MinInt64), feature.Int64Value(-1), feature.Int64Value(0), feature.Int64Value(math.MaxInt64)},
		{{}, feature.Float64Value(-math.MaxFloat64), feature.Float64Value(-1), feature.Float64Value(0), feature.Float64Value(1e-300), feature.Float64Value(math.MaxFloat64)},
		{{}, feature.BoolValue(false), feature.BoolValue(true)},
		{{}, feature.StringValue(""), feature.StringValue("\x00"), feature.StringValue("a"), feature.StringValue("a\x00"), feature.StringValue("b"), feature.StringValue("\xff")},
		{{}, feature.TimestampValue(feature.MinTime), feature.TimestampValue(-1), feature.TimestampValue(0), feature.TimestampValue(feature.MaxTime)},
		{{}, list(), list(-5), list(1), list(1, -9), list(1, 0), list(2)},
	}
	for _, vs := range ordered {
		for i, v := range vs {
			for j, w := range vs {
				want := 0
				if i < j {
					want = -1
				} else if i > j {
					want = 1
				}
				if got := feature.Compare(v, w); got != want {
					t.Errorf("Compare(%s, %s) = %d, want %d", v, w, got, want)
				}
				if got := v.Equal(w); got != (want == 0) {
					t.Errorf("(%s).Equal(%s) = %t", v, w, got)
				}
			}
		}
	}
	if feature.Int64Value(1).Equal(feature.BoolValue(true)) || feature.Int64Value(0).Equal(feature.TimestampValue(0)) {
		t.Error("values of different types are equal")
	}
}

// A value written as JSON and read back as its type is the same value.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := types().Draw(t, "type")
		want := valuesOf(typ).Draw(t, "value")
		text := want.AppendJSON(nil)
		if !json.Valid(text) {
			t.Fatalf("%s is written as %s, which is not JSON", want, text)
		}
		var parsed feature.Value
		if err := json.Unmarshal(text, &parsed); err != nil {
			t.Fatalf("Unmarshal(%s): %v", text, err)
		}
		got, err := feature.Convert(parsed, typ)
		if err != nil || !got.Equal(want) {
			t.Fatalf("Convert(ParseJSON(%s), %s) = %s, %v, want %s", text, typ, got, err, want)
		}
	})
}

// A value written as text and read back as its type is the same value; NULL and the empty string are one text.
func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := types().Draw(t, "type")
		want := valuesOf(typ).Draw(t, "value")
		if want.IsNull() && typ == feature.String {
			want = feature.StringValue("")
		}
		if got, err := feature.ParseText(want.Text(), typ); err != nil || !got.Equal(want) {
			t.Fatalf("ParseText(%q, %s) = %s, %v, want %s", want.Text(), typ, got, err, want)
		}
	})
}

// Compare is an order: sorting by it is stable under permutation, and equal means equal.
func TestCompareIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := types().Draw(t, "type")
		vs := rapid.SliceOfN(valuesOf(typ), 3, 3).Draw(t, "values")
		a, b, c := vs[0], vs[1], vs[2]
		if feature.Compare(a, b) != -feature.Compare(b, a) {
			t.Fatalf("Compare(%s, %s) is not the opposite of the reverse", a, b)
		}
		slices.SortFunc(vs, feature.Compare)
		if feature.Compare(vs[0], vs[2]) > 0 {
			t.Fatalf("Compare is not transitive over %s, %s, %s", a, b, c)
		}
	})
}
