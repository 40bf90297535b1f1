package chdb_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/internal/chdb"
	"github.com/lockstepfs/lockstep/internal/chtest"
)

// TestCancelStorm: however many callers give up, at whatever moment, nothing is left running and nothing is broken.
func TestCancelStorm(t *testing.T) {
	t.Parallel()
	engine := startEngine(t, chdb.Config{Dir: t.TempDir(), Connections: 4})
	options := chtest.Options(engine, "default")
	options.MaxOpenConns = 16
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), "CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	statements := []func(context.Context) error{
		func(ctx context.Context) error {
			return drain(ctx, conn, "SELECT sum(sin(number)) FROM numbers(1000000000)")
		},
		func(ctx context.Context) error {
			return drain(ctx, conn, "SELECT number, repeat('x', 100) FROM numbers(10000000)")
		},
		func(ctx context.Context) error { return insertNumbers(ctx, conn, 1000) },
		func(ctx context.Context) error {
			return conn.Exec(ctx, "INSERT INTO t SELECT sleepEachRow(0.01) FROM numbers(100)")
		},
		func(ctx context.Context) error {
			return conn.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_threads": 1})), "SELECT 1")
		},
	}
	var callers sync.WaitGroup
	for seed := range uint64(16) {
		callers.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 12 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(40))*time.Millisecond)
				_ = statements[random.IntN(len(statements))](ctx) // most of them are cancelled
				cancel()
			}
		})
	}
	callers.Wait()
	var left []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("left: %q", left)
		}
	})
	await(t, "all statements to end", func() bool {
		const others = "SELECT groupArray((query, elapsed, is_cancelled)::String) FROM system.processes WHERE query NOT LIKE '%processes%'"
		if err := conn.QueryRow(t.Context(), others).Scan(&left); err != nil {
			t.Fatal(err)
		}
		return len(left) == 0
	})
	if got := engine.Restarts(); got != 0 {
		t.Errorf("Restarts() = %d, want 0", got)
	}
}

// TestCancelSparesOthers: a caller who gives up when the engine is about to be done has its own statement killed, not the next one
// on its connection. The engine gives a statement that follows an INSERT the query id of that.
func TestCancelSparesOthers(t *testing.T) {
	t.Parallel()
	engine := startEngine(t, chdb.Config{Dir: t.TempDir(), Connections: 1})
	conn := chtest.Conn(t, engine)
	if err := conn.Exec(t.Context(), "CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1000+random.IntN(4000))*time.Microsecond)
		_ = insertNumbers(ctx, conn, 1000)
		cancel()
		for j := range 3 {
			var n uint64
			if err := conn.QueryRow(t.Context(), "SELECT count() FROM numbers(100)").Scan(&n); err != nil || n != 100 {
				t.Errorf("round %d: statement %d after one that its caller gave up: %d, %v, want 100", i, j+1, n, err)
			}
		}
	}
}
