package feature_test

import (
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
)

func TestParseType(t *testing.T) {
	for in, want := range map[string]feature.Type{
		"int64":           feature.Int64,
		" float64 ":       feature.Float64,
		"bool":            feature.Bool,
		"string":          feature.String,
		"timestamp":       feature.Timestamp,
		"list<int64>":     feature.ListOf(feature.KindInt64),
		"list<timestamp>": feature.ListOf(feature.KindTimestamp),
		"vector<3>":       {Kind: feature.KindFloat64, List: true, Len: 3},
		"vector<65536>":   {Kind: feature.KindFloat64, List: true, Len: 65536},
	} {
		if got, err := feature.ParseType(in); err != nil || got != want {
			t.Errorf("ParseType(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "null", "int", "Int64", "int32", "list", "list<>", "list<null>", "list<list<int64>>", "list<int64", "list<int64>>",
		"vector<0>", "vector<-1>", "vector<+3>", "vector<03>", "vector<65537>", "vector<x>", "vector<>", "list<nothing>",
	} {
		if got, err := feature.ParseType(in); err == nil || !strings.Contains(err.Error(), "expected int64") {
			t.Errorf("ParseType(%q) = %v, %v, want an error that says what was expected", in, got, err)
		}
	}
}

func TestKeyPart(t *testing.T) {
	for typ, want := range map[feature.Type]bool{
		feature.Int64: true, feature.String: true, feature.Bool: true, feature.Timestamp: true,
		feature.Float64: false, feature.ListOf(feature.KindInt64): false, {}: false,
	} {
		if got := typ.KeyPart(); got != want {
			t.Errorf("%s.KeyPart() = %t, want %t", typ, got, want)
		}
	}
}

func FuzzParseType(f *testing.F) {
	f.Add("list<int64>")
	f.Add("vector<12>")
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := feature.ParseType(s)
		if err != nil {
			return
		}
		if again, err := feature.ParseType(typ.String()); err != nil || again != typ || typ.String() != strings.TrimSpace(s) {
			t.Fatalf("ParseType(%q) = %v, which reads as %v, %v", s, typ, again, err)
		}
	})
}
