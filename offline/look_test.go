package offline_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/offline"
)

func TestSampleKeys(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(13, 14))}
	w := newHistory(t, r)
	plan := newPlan(t, w.catalog, "model")
	at := bases[2]
	sample, err := w.store.SampleKeys(t.Context(), plan, at, 4, w.cut())
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.store.SampleKeys(t.Context(), plan, at, 4, w.cut())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, again, cmp.Comparer(feature.Value.Equal)); diff != "" {
		t.Errorf("the second sample differs:\n%s", diff)
	}
	if len(sample) != len(plan.Keys) || len(sample[0]) != 4 {
		t.Fatalf("a sample of %d columns", len(sample))
	}
	for i, it := range plan.Items {
		one, err := w.catalog.PlanFeatures([]string{it.View.Name + "." + it.View.Features[0].Name})
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, k := range w.oracle.Keys(one, at, feature.ClockEvent, oracle.Cut(w.seq)) {
			known[k.String()] = true
		}
		for row := range sample[0] {
			var k feature.Key
			for _, name := range it.Keys {
				k = append(k, sample[feature.FieldIndex(plan.Keys, name)][row])
			}
			if !known[k.String()] {
				t.Errorf("item %d: %v has no events", i, k)
			}
		}
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	got, err := store.Query(t.Context(), `SELECT number AS c1, if(number = 1, NULL, 'x') AS c0, map('a', 1) AS m, [1.5] AS l,
		fromUnixTimestamp64Micro(toInt64(10413791999999999), 'UTC') AS t FROM numbers(5) ORDER BY number DESC -- all`, 3)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, row := range got.Rows {
		var cells []string
		for _, v := range row {
			cells = append(cells, v.Text())
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	want := []string{"4 x {'a':1} [1.5] 2299-12-31T23:59:59.999999Z", "3 x {'a':1} [1.5] 2299-12-31T23:59:59.999999Z", "2 x {'a':1} [1.5] 2299-12-31T23:59:59.999999Z"}
	if diff := cmp.Diff(want, lines); diff != "" || !got.Truncated {
		t.Errorf("rows differ (truncated %v, want true) (-want +got):\n%s", got.Truncated, diff)
	}
	got, err = store.Query(t.Context(), "SHOW TABLES;", 0)
	if err != nil || len(got.Rows) < 4 {
		t.Errorf("SHOW TABLES = %d rows, %v, want the system tables", len(got.Rows), err)
	}
	for _, sql := range []string{"DROP TABLE imports", "INSERT INTO watermarks SELECT 'x', 1, now()", "SELECT * FROM nothing", "SELEC 1", "", "SELECT throwIf(number = 3) FROM numbers(5)"} {
		if _, err := store.Query(t.Context(), sql, 0); !errors.Is(err, feature.ErrInvalid) {
			t.Errorf("Query(%q) = %v, want a CodeInvalid error", sql, err)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := store.Query(ctx, "SELECT count() FROM numbers_mt(1000000000000) WHERE sipHash64(number) = 1", 0)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Query = %v, want the context's error", err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the query ended after %v", took)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, url := range []string{"http://127.0.0.1:1", "clickhouse://127.0.0.1:1/db"} {
		_, err := offline.Open(ctx, offline.Config{URL: url})
		if !errors.Is(err, feature.ErrUnavailable) {
			t.Errorf("Open(%s) = %v, want a CodeUnavailable error", url, err)
		}
	}
	for _, url := range []string{"", "nonsense", "ftp://x"} {
		if _, err := offline.Open(ctx, offline.Config{URL: url}); !errors.Is(err, feature.ErrInvalid) {
			t.Errorf("Open(%q) = %v, want a CodeInvalid error", url, err)
		}
	}
}
