package chdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/internal/chdb"
	"github.com/lockstepfs/lockstep/internal/chtest"
)

// BenchmarkStart measures from Run to the first answer, and the stop.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		engine, err := chdb.Open(chdb.Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		start := time.Now()
		go func() { ended <- engine.Run(ctx) }()
		conn, err := clickhouse.Open(chtest.Options(engine, "default"))
		if err != nil {
			b.Fatal(err)
		}
		if err := conn.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms-to-ping")
		conn.Close()
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSelect measures the way there and back, plain and with a setting, which costs a connection of the engine.
func BenchmarkSelect(b *testing.B) {
	conn := chtest.Conn(b, chtest.Engine(b))
	for name, ctx := range map[string]context.Context{
		"setting=0": b.Context(),
		"setting=1": clickhouse.Context(b.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_threads": 1})),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var n uint8
				if err := conn.QueryRow(ctx, "SELECT 1").Scan(&n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

const benchRows = 2_000_000

// BenchmarkInsert writes 2,000,000 rows of three columns, by column.
func BenchmarkInsert(b *testing.B) {
	ctx := b.Context()
	conn := chtest.Conn(b, chtest.Engine(b))
	k, ts, v := make([]int64, benchRows), make([]time.Time, benchRows), make([]float64, benchRows)
	for i := range benchRows {
		k[i], ts[i], v[i] = int64(i%100_000), time.UnixMicro(int64(i)*1000), float64(i)
	}
	for b.Loop() {
		if err := conn.Exec(ctx, "CREATE OR REPLACE TABLE t (k Int64, ts DateTime64(6, 'UTC'), v Float64) ENGINE = MergeTree ORDER BY (k, ts)"); err != nil {
			b.Fatal(err)
		}
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
		if err != nil {
			b.Fatal(err)
		}
		for i, column := range []any{k, ts, v} {
			if err := batch.Column(i).Append(column); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkScan reads as many rows, value by value.
func BenchmarkScan(b *testing.B) {
	ctx := b.Context()
	conn := chtest.Conn(b, chtest.Engine(b))
	err := conn.Exec(ctx, "CREATE TABLE t ENGINE = MergeTree ORDER BY (k, ts) AS SELECT toInt64(number % 100000) AS k, fromUnixTimestamp64Micro(number * 1000, 'UTC') AS ts, toFloat64(number) AS v FROM numbers({n:UInt64})",
		clickhouse.Named("n", benchRows))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		rows, err := conn.Query(ctx, "SELECT k, ts, v FROM t")
		if err != nil {
			b.Fatal(err)
		}
		var k int64
		var ts time.Time
		var v float64
		n := 0
		for rows.Next() {
			if err := rows.Scan(&k, &ts, &v); err != nil {
				b.Fatal(err)
			}
			n++
		}
		if rows.Err() != nil || n != benchRows {
			b.Fatalf("%d rows, %v", n, rows.Err())
		}
		rows.Close()
	}
	b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
