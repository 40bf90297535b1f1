package offline_test

import (
	"context"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/offline"
)

// TestResumeImportOutlivesItsInsert gives an insert up that ClickHouse goes on with, as it does when a client dies: the import
// that goes on has every row once.
func TestResumeImportOutlivesItsInsert(t *testing.T) {
	engine := chtest.Engine(t)
	database := chtest.Database(t, engine)
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := engine.DialContext(ctx, addr)
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return lingering{c}, err
	}
	s, err := offline.Open(t.Context(), offline.Config{Dial: dial, Database: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ensure(t.Context(), trips); err != nil {
		t.Fatal(err)
	}
	conn := chtest.Open(t, engine, database)
	if err := conn.Exec(t.Context(), "ALTER TABLE events_trips ADD COLUMN slow UInt8 MATERIALIZED sleepEachRow(0.05)"); err != nil {
		t.Fatal(err)
	}
	const rows = 30 // a second and a half
	b := feature.NewBatch(trips)
	r := draw{rand.New(rand.NewPCG(1, 2))}
	for range rows {
		b.Append(r.row(1_000_000_000_000_000))
	}

	im, err := s.BeginImport(t.Context(), trips, feature.File{Name: "file", Hash: "hash"}, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error)
	cut := *im
	go func() { given <- s.InsertImport(ctx, trips, &cut, b) }()
	deadline, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	for running := uint64(0); running == 0; {
		sql := "SELECT count() FROM system.processes WHERE query LIKE '%INSERT INTO%events_trips%' AND query NOT LIKE '%processes%'"
		if err := conn.QueryRow(deadline, sql).Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-given; err == nil {
		t.Fatal("the insert ended before it was given up")
	}
	if err := s.ResumeImport(t.Context(), trips, im); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertImport(t.Context(), trips, im, b); err != nil {
		t.Fatal(err)
	}
	var count, different uint64
	if err := conn.QueryRow(t.Context(), "SELECT count(), uniqExact(_row) FROM events_trips").Scan(&count, &different); err != nil {
		t.Fatal(err)
	}
	if count != rows || different != rows {
		t.Errorf("%d rows at %d places are in, want %d", count, different, rows)
	}
}

// lingering is a connection whose other side does not notice that it is closed.
type lingering struct{ net.Conn }

func (c lingering) Close() error { return c.SetDeadline(time.Unix(1, 0)) }
