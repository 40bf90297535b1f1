package feature_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

func i64(n int64) feature.Value       { return feature.Int64Value(n) }
func f64(f float64) feature.Value     { return feature.Float64Value(f) }
func str(s string) feature.Value      { return feature.StringValue(s) }
func ts(t feature.Time) feature.Value { return feature.TimestampValue(t) }
func boolean(b bool) feature.Value    { return feature.BoolValue(b) }
func listOf(k feature.Kind, elems ...feature.Value) feature.Value {
	return feature.ListValue(k, elems)
}

func TestConvert(t *testing.T) {
	null := feature.Value{}
	vector := feature.Type{Kind: feature.KindFloat64, List: true, Len: 2}
	ints, floats := feature.ListOf(feature.KindInt64), feature.ListOf(feature.KindFloat64)
	tests := []struct {
		in   feature.Value
		typ  feature.Type
		want feature.Value
	}{
		{null, feature.Int64, null},
		{null, vector, null},
		{i64(5), feature.Int64, i64(5)},
		{str("5"), feature.Int64, i64(5)},
		{str("-0"), feature.Int64, i64(0)},
		{str("9223372036854775807"), feature.Int64, i64(math.MaxInt64)},
		{str("-9223372036854775808"), feature.Int64, i64(math.MinInt64)},
		{f64(5), feature.Int64, i64(5)},
		{f64(-1 << 63), feature.Int64, i64(math.MinInt64)},
		{f64(math.Nextafter(1<<63, 0)), feature.Int64, i64(1<<63 - 1024)},
		{i64(5), feature.Float64, f64(5)},
		{i64(1 << 53), feature.Float64, f64(1 << 53)},
		{i64(math.MinInt64), feature.Float64, f64(-1 << 63)},
		{str("-0"), feature.Float64, f64(0)},
		{str("0.1"), feature.Float64, f64(0.1)},
		{str("1e-400"), feature.Float64, f64(0)},
		{str("NaN"), feature.Float64, null},
		{str("Infinity"), feature.Float64, null},
		{str("-inf"), feature.Float64, null},
		{f64(math.NaN()), feature.Int64, null},
		{str("true"), feature.Bool, boolean(true)},
		{str("false"), feature.Bool, boolean(false)},
		{i64(5), feature.String, str("5")},
		{boolean(true), feature.String, str("true")},
		{str("2001-06-25"), feature.Timestamp, ts(993427200000000)},
		{ts(feature.MinTime), feature.Timestamp, ts(feature.MinTime)},
		{listOf(feature.KindInt64, i64(1)), floats, listOf(feature.KindFloat64, f64(1))},
		{listOf(feature.KindFloat64, f64(1)), ints, listOf(feature.KindInt64, i64(1))},
		{listOf(feature.KindInt64, i64(1), i64(2)), vector, listOf(feature.KindFloat64, f64(1), f64(2))},
		{listOf(feature.KindInt64), ints, listOf(feature.KindInt64)},
		{listOf(feature.KindString, str("5")), ints, listOf(feature.KindInt64, i64(5))},
	}
	for _, tt := range tests {
		if got, err := feature.Convert(tt.in, tt.typ); err != nil || !got.Equal(tt.want) {
			t.Errorf("Convert(%s, %s) = %s, %v, want %s", tt.in, tt.typ, got, err, tt.want)
		}
	}
}

func TestConvertRefuses(t *testing.T) {
	vector := feature.Type{Kind: feature.KindFloat64, List: true, Len: 2}
	ints := feature.ListOf(feature.KindInt64)
	empty, err := feature.ParseJSON([]byte("[]"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		in      feature.Value
		typ     feature.Type
		message string
	}{
		{str("5.0"), feature.Int64, `cannot take string "5.0" for int64`},
		{str(""), feature.Int64, "for int64"},
		{str("9223372036854775808"), feature.Int64, "for int64"},
		{f64(5.5), feature.Int64, "cannot take float64 5.5 for int64"},
		{f64(1 << 63), feature.Int64, "for int64"},
		{boolean(true), feature.Int64, "for int64"},
		{ts(0), feature.Int64, "for int64"},
		{i64(1<<53 + 1), feature.Float64, "for float64"},
		{i64(math.MaxInt64), feature.Float64, "for float64"},
		{str("1e400"), feature.Float64, "for float64"},
		{str("0x1p4"), feature.Float64, "for float64"},
		{str("1_000"), feature.Float64, "for float64"},
		{str("yes"), feature.Bool, "for bool"},
		{i64(1), feature.Bool, "for bool"},
		{f64(1), feature.String, "for string"},
		{ts(0), feature.String, "for string"},
		{str("a\xff"), feature.String, "not valid UTF-8"},
		{i64(993427200), feature.Timestamp, "for timestamp"},
		{str("1899-12-31"), feature.Timestamp, "outside the years"},
		{ts(feature.MaxTime + 1), feature.Timestamp, "outside the years"},
		{listOf(feature.KindInt64, i64(1)), feature.Int64, "cannot take list<int64> [1] for int64"},
		{i64(1), ints, "cannot take int64 1 for list<int64>"},
		{empty, feature.Int64, "cannot take list<nothing> [] for int64"},
		{empty, vector, "expected 2 elements, got 0"},
		{listOf(feature.KindFloat64, f64(1)), vector, "expected 2 elements, got 1"},
		{listOf(feature.KindFloat64, f64(1.5)), ints, "element 0: cannot take float64 1.5 for int64"},
		{listOf(feature.KindString, str("NaN"), str("1")), vector, "element 0 is NULL"},
		{listOf(feature.KindString, str("a"), str("\xff")), feature.ListOf(feature.KindString), "element 1: string"},
		{str(strings.Repeat("é", 1000)), feature.Int64, "..."},
	}
	for _, tt := range tests {
		got, err := feature.Convert(tt.in, tt.typ)
		if err == nil || !strings.Contains(err.Error(), tt.message) || len(err.Error()) > 300 {
			t.Errorf("Convert(%s, %s) = %s, %v, want an error with %q", tt.in, tt.typ, got, err, tt.message)
		}
	}
}

// What converts to another type and back is what it was: nothing is lost (K4).
func TestConvertLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := types().Draw(t, "from"), types().Draw(t, "to")
		want := valuesOf(from).Draw(t, "value")
		there, err := feature.Convert(want, to)
		if err != nil || there.IsNull() {
			return
		}
		if there.Type() != to {
			t.Fatalf("Convert(%s, %s) is of type %s", want, to, there.Type())
		}
		if from.Kind == feature.KindString || from.Kind == feature.KindTimestamp {
			return // "05" and 5 are one number
		}
		if back, err := feature.Convert(there, from); err != nil || !back.Equal(want) {
			t.Fatalf("Convert(Convert(%s, %s), %s) = %s, %v", want, to, from, back, err)
		}
	})
}

func TestParseText(t *testing.T) {
	null := feature.Value{}
	for _, tt := range []struct {
		in   string
		typ  feature.Type
		want feature.Value
	}{
		{"", feature.Int64, null},
		{"", feature.Timestamp, null},
		{"", feature.ListOf(feature.KindString), null},
		{"", feature.String, str("")},
		{"5", feature.Int64, i64(5)},
		{"5", feature.String, str("5")},
		{"[1, 2]", feature.ListOf(feature.KindFloat64), listOf(feature.KindFloat64, f64(1), f64(2))},
		{"[]", feature.ListOf(feature.KindBool), listOf(feature.KindBool)},
	} {
		if got, err := feature.ParseText(tt.in, tt.typ); err != nil || !got.Equal(tt.want) {
			t.Errorf("ParseText(%q, %s) = %s, %v, want %s", tt.in, tt.typ, got, err, tt.want)
		}
	}
	if got, err := feature.ParseText("[1", feature.ListOf(feature.KindInt64)); err == nil {
		t.Errorf("ParseText([1) = %s, want an error", got)
	}
}
