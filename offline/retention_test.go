package offline_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/offline"
)

// TestRetention lets ClickHouse remove old events, and reads at instants that could see them and that could not (rule E4).
func TestRetention(t *testing.T) {
	s := openStore(t)
	visits := feature.Source{
		Name: "visits", EventTime: "at", MaxFuture: feature.Hour,
		Columns: []feature.Field{{Name: "k", Type: feature.String}, {Name: "at", Type: feature.Timestamp}, {Name: "n", Type: feature.Int64}},
	}
	view := &feature.View{
		Name: "counts", Version: 1, Entity: feature.Entity{Name: "k", Key: []feature.Field{{Name: "k", Type: feature.String}}}, Keys: []string{"k"}, Source: "visits",
		Features: []feature.Feature{
			{Name: "n", Latest: "n", Type: feature.Int64, TTL: 10 * feature.Day},
			{Name: "c", Window: &feature.Window{Operator: "count", Input: feature.AnyEvent, Width: 5 * feature.Day}, Type: feature.Int64},
		},
	}
	catalog := &feature.Catalog{Sources: []*feature.Source{&visits}, Views: []*feature.View{view}}
	plan, err := catalog.PlanFeatures([]string{"counts.n", "counts.c"})
	if err != nil {
		t.Fatal(err)
	}
	ensure := func(retention feature.Span) {
		t.Helper()
		src := visits
		src.Retention = retention
		if err := s.Ensure(t.Context(), &src); err != nil {
			t.Fatalf("ensure with a retention of %s: %v", retention, err)
		}
	}
	now := feature.Time(time.Now().UnixMicro())
	read := func(ago feature.Span) ([]feature.Cell, error) {
		l := &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.StringValue("a")}}, At: now.Add(-ago)}
		a, err := s.Lookup(t.Context(), l, feature.Cut{Log: logID, Seq: 1})
		if err != nil {
			return nil, err
		}
		return a.Cells, nil
	}

	ensure(0)
	if err := s.Follow(t.Context(), logID, 0); err != nil {
		t.Fatal(err)
	}
	b := feature.NewBatch(&visits)
	for i, at := range []feature.Time{feature.MinTime, -feature.Time(feature.Day), 0, 1_000_000_000_000_000, now.Add(-100 * feature.Day), now.Add(-feature.Hour), feature.MaxTime} {
		b.Append([]feature.Value{feature.StringValue("a"), feature.TimestampValue(at), feature.Int64Value(int64(i))})
	}
	if err := s.Append(t.Context(), logID, []offline.Entry{{Seq: 1, Taken: now, Batch: b}}); err != nil {
		t.Fatal(err)
	}
	if cells, err := read(95 * feature.Day); err != nil || cells[0].Value.Int64() != 4 || cells[1].Value.Int64() != 0 {
		t.Fatalf("95 days ago without retention: %v, %v", cells, err)
	}

	ensure(30 * feature.Day)
	eventually(t, "ClickHouse to remove the events that are too old, and no others", func() bool {
		table, err := s.Query(t.Context(), "SELECT n FROM events_visits ORDER BY n", 0)
		if err != nil {
			t.Fatal(err)
		}
		var left []int64
		for _, row := range table.Rows {
			left = append(left, row[0].Int64())
		}
		return slices.Equal(left, []int64{5, 6})
	})
	if cells, err := read(0); err != nil || cells[0].Value.Int64() != 5 || cells[1].Value.Int64() != 1 {
		t.Errorf("now: %v, %v", cells, err)
	}
	if _, err := read(20 * feature.Day); err != nil {
		t.Errorf("20 days ago, which reads 10 days back: %v", err)
	}
	refused := func(what string, ago feature.Span) {
		t.Helper()
		_, err := read(ago)
		if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "view counts@1 at ") || !strings.Contains(err.Error(), "reads up to 10d back") {
			t.Errorf("%s: %v, want an error that says what is kept", what, err)
		}
	}
	refused("21 days ago", 21*feature.Day)
	set, err := s.Train(t.Context(), offline.Training{Plan: plan, KeysAll: true, At: now.Add(-21 * feature.Day)})
	if err == nil || !strings.Contains(err.Error(), "reads up to 10d back") {
		t.Errorf("a training set 21 days ago: %v, want an error that says what is kept", err)
	}
	if err == nil {
		set.Close()
	}

	for _, retention := range []feature.Span{60 * feature.Day, 0} { // what is gone does not come back
		ensure(retention)
		refused("21 days ago after a longer retention", 21*feature.Day)
		if _, err := read(20 * feature.Day); err != nil {
			t.Errorf("20 days ago after a longer retention: %v", err)
		}
	}
}
