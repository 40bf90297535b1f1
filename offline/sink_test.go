package offline_test

import (
	"math/rand/v2"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/offline"
)

// TestInterruptedBatch finishes a batch over 12 partitions that an earlier process has begun, from what a kill can leave of
// it: every row is there once.
func TestInterruptedBatch(t *testing.T) {
	for _, c := range []struct{ name, leave string }{
		{"all of it", ""},
		{"nothing but its beginning", "TRUNCATE TABLE events_trips SYNC"},
		// ClickHouse enters a part's token into its list before the part is in the table.
		{"a part less than it has tokens", "ALTER TABLE events_trips DELETE WHERE toYYYYMM(at) = 200203 SETTINGS mutations_sync = 2"},
		{"less than half of its parts, and all tokens", "ALTER TABLE events_trips DELETE WHERE toYear(at) > 2001 SETTINGS mutations_sync = 2"},
		{"tokens only", "ALTER TABLE events_trips DELETE WHERE true SETTINGS mutations_sync = 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			engine := chtest.Engine(t)
			database := chtest.Database(t, engine)
			conn := chtest.Open(t, engine, database)
			open := func() *offline.Store {
				s, err := offline.Open(t.Context(), offline.Config{Dial: engine.DialContext, Database: database})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				if err := s.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
				return s
			}
			w := newWorldIn(t, open())
			r := draw{rand.New(rand.NewPCG(1, 2))}
			b := feature.NewBatch(trips)
			for i := range 120 {
				b.Append(r.row(1_000_000_000_000_000 + feature.Time(i%12)*31*feature.Time(feature.Day)))
			}
			w.push(t, 1, b.Slice(0, 50), b.Slice(50, 120))
			statements := []string{"ALTER TABLE watermarks DELETE WHERE seq > 0 SETTINGS mutations_sync = 2", c.leave}
			for _, sql := range statements {
				if sql == "" {
					continue
				}
				if err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			again := open()
			if err := again.Ensure(t.Context(), trips); err != nil {
				t.Fatal(err)
			}
			if cut, begun, err := again.Recover(t.Context()); cut != (feature.Cut{Log: logID}) || begun != 2 || err != nil {
				t.Fatalf("Recover = %+v, %d, %v, want an open batch up to 2", cut, begun, err)
			}
			entries := []offline.Entry{{Seq: 1, Taken: 1, Batch: b.Slice(0, 50)}, {Seq: 2, Taken: 1, Batch: b.Slice(50, 120)}}
			if err := again.Append(t.Context(), logID, entries); err != nil {
				t.Fatal(err)
			}
			var rows, different, months uint64
			err := conn.QueryRow(t.Context(), "SELECT count(), uniqExact(_seq, _idx), uniqExact(toYYYYMM(at)) FROM events_trips").Scan(&rows, &different, &months)
			if rows != 120 || different != 120 || months < 12 || err != nil {
				t.Errorf("%d rows, %d different, in %d months, %v, want 120, 120 and at least 12", rows, different, months, err)
			}
			if cut, begun, err := again.Recover(t.Context()); cut.Seq != 2 || begun != 0 || err != nil {
				t.Errorf("Recover = %+v, %d, %v afterwards, want 2 and no open batch", cut, begun, err)
			}
		})
	}
}
