package offline_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/offline"
)

var rewrite = flag.Bool("golden", false, "write the golden files anew")

// TestStatements compares every statement that reads events with its golden file, for a source with everything (tiebreak,
// deleted, lists, imported events) and one with nothing. Other tests execute them.
func TestStatements(t *testing.T) {
	t.Parallel()
	full, err := offline.Statements(trips, newCatalog().Views[1], true)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := offline.Statements(plainSource, plainView(), false)
	if err != nil {
		t.Fatal(err)
	}
	windows, err := offline.WindowStatements(trips, windowsView(), true)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := offline.WindowStatements(plainSource, countsView(), false)
	if err != nil {
		t.Fatal(err)
	}
	for folder, statements := range map[string]map[string]string{"full": full, "plain": plain, "windows": windows, "counts": counts} {
		for name, got := range statements {
			file := filepath.Join("testdata", "golden", folder, name)
			if *rewrite {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v: run go test ./offline -golden", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s differs (-want +got):\n%s", file, diff)
			}
		}
	}
}

var plainSource = &feature.Source{Name: "bench", EventTime: "event_time", Columns: []feature.Field{
	{Name: "k", Type: feature.Int64}, {Name: "event_time", Type: feature.Timestamp}, {Name: "f", Type: feature.Float64}, {Name: "n", Type: feature.Int64},
}}

func plainView() *feature.View {
	user := feature.Entity{Name: "user", Key: []feature.Field{{Name: "k", Type: feature.Int64}}}
	return &feature.View{Name: "v", Version: 1, Entity: user, Keys: []string{"k"}, Source: "bench", History: feature.DefaultHistory, Features: []feature.Feature{
		{Name: "f", Latest: "f", Type: feature.Float64, TTL: 30 * feature.Day}, {Name: "n", Latest: "n", Type: feature.Int64},
	}}
}

// windowsView has windows of every kind.
func windowsView() *feature.View {
	v := newCatalog().Views[1]
	v.Features = nil
	for i, w := range []feature.Window{
		{Operator: "count", Input: "*", Width: 7 * feature.Day},
		{Operator: "avg", Input: "tie", Width: 7 * feature.Day, Where: "late"},
		{Operator: "stddev_pop", Input: "price"},
		{Operator: "max", Input: "price", Width: feature.Day, Hop: feature.Hour},
		{Operator: "last", Input: "note", Width: 7 * feature.Day},
		{Operator: "last_n", Input: "note", N: 5, Width: 7 * feature.Day},
		{Operator: "top_k", Input: "note", N: 3, Width: 7 * feature.Day},
		{Operator: "approx_quantile", Input: "price", Quantile: 0.9, Precision: 7, Width: 7 * feature.Day},
		{Operator: "count_distinct", Input: "note", Width: feature.Day, Hop: feature.Hour},
		{Operator: "approx_count_distinct", Input: "tie", Precision: 11},
	} {
		v.Features = append(v.Features, feature.Feature{Name: fmt.Sprintf("w%d", i), Window: &w})
	}
	return v
}

// countsView has windows that need running counts and sums alone.
func countsView() *feature.View {
	v := plainView()
	v.Features = []feature.Feature{
		{Name: "count", Window: &feature.Window{Operator: "count", Input: "*", Width: feature.Day}, Type: feature.Int64},
		{Name: "sum", Window: &feature.Window{Operator: "sum", Input: "n", Width: feature.Day}, Type: feature.Int64},
	}
	return v
}
