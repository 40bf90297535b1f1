package feature_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lockstepfs/lockstep/feature"
)

func TestParseJSON(t *testing.T) {
	for in, want := range map[string]feature.Value{
		"null":                 {},
		" 5 ":                  i64(5),
		"-0":                   i64(0),
		"9223372036854775807":  i64(math.MaxInt64),
		"-9223372036854775808": i64(math.MinInt64),
		"5.0":                  f64(5),
		"-0.0":                 f64(0),
		"1e3":                  f64(1000),
		"1e19":                 f64(1e19),
		"1e-400":               f64(0),
		"true":                 boolean(true),
		`"5"`:                  str("5"),
		`""`:                   str(""),
		`"\ud83d\ude00"`:       str("😀"),
		`"\\ud83d"`:            str(`\ud83d`),
		`"\ufffd"`:             str("\ufffd"),
		"[1,2]":                listOf(feature.KindInt64, i64(1), i64(2)),
		"[1,2.5]":              listOf(feature.KindFloat64, f64(1), f64(2.5)),
		`["a"]`:                listOf(feature.KindString, str("a")),
	} {
		if got, err := feature.ParseJSON([]byte(in)); err != nil || !got.Equal(want) {
			t.Errorf("ParseJSON(%s) = %s, %v, want %s", in, got, err, want)
		}
	}
	for in, message := range map[string]string{
		"":                       "not JSON",
		"nul":                    "not JSON",
		"1 2":                    "more than one value",
		"1]":                     "more than one value",
		"[1":                     "not JSON",
		"NaN":                    "not JSON",
		"1e400":                  "out of range",
		"9223372036854775808":    "does not fit an int64",
		`{"a":1}`:                "expected a scalar or a list",
		`[{"a":1}]`:              "element 0",
		"[[1]]":                  "element 0 is a list",
		"[1,null]":               "element 1 is NULL",
		`[1,"a"]`:                "element 1 is string in a list of int64",
		"[9007199254740993,0.5]": "element 0",
		"\"\xff\"":               "not valid Unicode",
		`"\ud83d"`:               "not valid Unicode",
		`"\ude00\ud83d"`:         "not valid Unicode",
		`"\ud83dx"`:              "not valid Unicode",
	} {
		if got, err := feature.ParseJSON([]byte(in)); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("ParseJSON(%s) = %s, %v, want an error with %q", in, got, err, message)
		}
	}
	for _, typ := range []feature.Type{feature.ListOf(feature.KindBool), feature.ListOf(feature.KindTimestamp)} {
		v, err := feature.ParseJSON([]byte("[]"))
		if err == nil {
			v, err = feature.Convert(v, typ)
		}
		if err != nil || !v.Equal(feature.ListValue(typ.Kind, nil)) {
			t.Errorf("[] as %s = %s, %v, want the empty list", typ, v, err)
		}
	}
}

func TestValueOf(t *testing.T) {
	at := time.Date(2001, 6, 25, 12, 0, 0, 1999, time.UTC)
	for _, tt := range []struct {
		in   any
		want feature.Value
	}{
		{nil, feature.Value{}},
		{5, i64(5)},
		{int64(5), i64(5)},
		{0.5, f64(0.5)},
		{math.NaN(), feature.Value{}},
		{true, boolean(true)},
		{"a", str("a")},
		{i64(7), i64(7)},
		{at, ts(993470400000001)},
		{feature.Time(-1), ts(-1)},
		{json.Number("12"), i64(12)},
		{[]int64{1, 2}, listOf(feature.KindInt64, i64(1), i64(2))},
		{[]float64{1, 2}, listOf(feature.KindFloat64, f64(1), f64(2))},
		{[]string{"a"}, listOf(feature.KindString, str("a"))},
		{[]bool{true}, listOf(feature.KindBool, boolean(true))},
		{[]any{1, 2.5}, listOf(feature.KindFloat64, f64(1), f64(2.5))},
	} {
		if got, err := feature.ValueOf(tt.in); err != nil || !got.Equal(tt.want) {
			t.Errorf("ValueOf(%v) = %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []any{struct{}{}, map[string]any{}, []any{[]any{1}}, []float64{math.NaN()}, time.Time{}} {
		if got, err := feature.ValueOf(in); err == nil {
			t.Errorf("ValueOf(%v) = %s, want an error", in, got)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{"1", "-0.0", "1e400", "[1,2.5]", `["a"]`, "[[1]]", `"\ud83d"`, "null", "[]", "123456789012345678901234567890"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := feature.ParseJSON(b)
		if err != nil {
			return
		}
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("ParseJSON(%q) = %s, but that is not JSON", b, v)
		}
		text := v.AppendJSON(nil)
		again, err := feature.ParseJSON(text)
		if err != nil {
			t.Fatalf("ParseJSON(%q) = %s, written as %s, which fails: %v", b, v, text, err)
		}
		if v.Type().Kind == feature.KindFloat64 { // 1.0 is written as 1
			again, err = feature.Convert(again, v.Type())
		}
		if err != nil || !again.Equal(v) {
			t.Fatalf("ParseJSON(%q) = %s, which reads back as %s, %v", b, v, again, err)
		}
	})
}
