package offline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/offline"
)

const (
	benchEvents  = 10_000_000
	benchSpine   = 1_000_000
	benchKeys    = 100_000
	benchAppends = 200_000 // rows of one batch of the sink
)

var benchSource = &feature.Source{Name: "bench", EventTime: "event_time", Columns: []feature.Field{
	{Name: "k", Type: feature.Int64}, {Name: "event_time", Type: feature.Timestamp}, {Name: "f", Type: feature.Float64}, {Name: "n", Type: feature.Int64},
}}

func benchView() *feature.View {
	user := feature.Entity{Name: "user", Key: []feature.Field{{Name: "k", Type: feature.Int64}}}
	return &feature.View{Name: "v", Version: 1, Entity: user, Keys: []string{"k"}, Source: "bench", History: feature.DefaultHistory, Features: []feature.Feature{
		{Name: "f", Latest: "f", Type: feature.Float64, TTL: 30 * feature.Day}, {Name: "n", Latest: "n", Type: feature.Int64},
	}}
}

func benchPlan(b *testing.B) *feature.Plan {
	b.Helper()
	view := benchView()
	c := &feature.Catalog{
		Entities: []*feature.Entity{&view.Entity}, Sources: []*feature.Source{benchSource}, Views: []*feature.View{view},
		Services: []*feature.Service{{Name: "s", Version: 1, Items: []feature.Item{{View: view, Role: "v", Keys: []string{"k"}, Features: []int{0, 1}}}}},
	}
	p, err := c.PlanService("s")
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// fill makes events and a spine inside ClickHouse. Imported events have generation 7 and sequence 0.
func fill(b *testing.B, conn driver.Conn, imported bool) {
	b.Helper()
	system := "number + 1, 0, 0"
	if imported {
		system = "0, 0, 7"
	}
	for _, sql := range []string{
		`INSERT INTO events_bench (k, _us_event_time, f, n, _us__available_at, _seq, _idx, _gen)
			SELECT intHash64(number) % 100000, toInt64(1700000000000000 + number * 1000000 + intHash32(number) % 1000000) AS us,
			if(number % 50 = 0, NULL, number / 7), number % 1000, us, ` + system + ` FROM numbers(10000000)`,
		`INSERT INTO generations SELECT 'bench', 7, 1`,
		`INSERT INTO watermarks (log, seq) VALUES ('log', 100000000)`,
		`CREATE TABLE spine (rid UInt64, k Nullable(Int64), t DateTime64(6, 'UTC'), label Nullable(Int64)) ENGINE = MergeTree ORDER BY rid`,
		`INSERT INTO spine SELECT number, intHash64(number + 77) % 100000,
			fromUnixTimestamp64Micro(toInt64(1700000000000000 + (intHash64(number) % 10000000) * 1000000 + 500000), 'UTC'), number % 2 FROM numbers(1000000)`,
		`OPTIMIZE TABLE events_bench FINAL`,
	} {
		if err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
	}
}

// BenchmarkTraining makes a training set of 1,000,000 spine rows, which lie in ClickHouse, over 10,000,000 events of 100,000
// keys, and reads it; beside it the queries of testdata that one would write by hand, read by the same client.
func BenchmarkTraining(b *testing.B) {
	for _, origin := range []string{"stream", "import"} {
		b.Run("origin="+origin, func(b *testing.B) {
			engine := chtest.Engine(b)
			db := chtest.Database(b, engine)
			conn := chtest.Open(b, engine, db)
			store, err := offline.Open(b.Context(), offline.Config{Dial: engine.DialContext, Database: db})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { store.Close() })
			if err := store.Migrate(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := store.Ensure(b.Context(), benchSource); err != nil {
				b.Fatal(err)
			}
			fill(b, conn, origin == "import")
			files, err := filepath.Glob("testdata/*.sql")
			if err != nil || len(files) == 0 {
				b.Fatalf("no queries in testdata: %v", err)
			}
			best := time.Duration(1<<62 - 1)
			for _, file := range files {
				name := strings.TrimSuffix(filepath.Base(file), ".sql")
				b.Run("query="+name, func(b *testing.B) {
					for b.Loop() {
						begun := time.Now()
						readByHand(b, conn, file)
						best = min(best, time.Since(begun))
					}
				})
			}
			plan := benchPlan(b)
			b.Run("query=lockstep", func(b *testing.B) {
				b.ReportAllocs()
				fastest := time.Duration(1<<62 - 1)
				for b.Loop() {
					begun := time.Now()
					readTraining(b, store, plan)
					fastest = min(fastest, time.Since(begun))
				}
				b.ReportMetric(float64(fastest)/float64(best), "ratio-to-best")
				b.ReportMetric(benchSpine/fastest.Seconds(), "rows/s")
			})
		})
	}
}

func readByHand(b *testing.B, conn driver.Conn, file string) {
	sql, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	rows, err := conn.Query(b.Context(), string(sql))
	if err != nil {
		b.Fatalf("%s: %v", file, err)
	}
	defer rows.Close()
	var rid uint64
	var at time.Time
	var label, n *int64
	var matched uint8
	var f *float64
	count := 0
	for rows.Next() {
		if err := rows.Scan(&rid, &at, &label, &matched, &f, &n); err != nil {
			b.Fatalf("%s: %v", file, err)
		}
		count++
	}
	if rows.Err() != nil || count != benchSpine {
		b.Fatalf("%s: %d rows, %v", file, count, rows.Err())
	}
}

func readTraining(b *testing.B, store *offline.Store, plan *feature.Plan) {
	set, err := store.Train(b.Context(), offline.Training{Plan: plan, SQL: "SELECT k, t, label FROM spine ORDER BY rid", TimeColumn: "t"})
	if err != nil {
		b.Fatal(err)
	}
	defer set.Close()
	rows, present := 0, 0
	for batch, err := range set.Batches(b.Context()) {
		if err != nil {
			b.Fatal(err)
		}
		rows += batch.Rows
		present += batch.Rows
		for _, null := range batch.Column("v.n").Nulls {
			if null {
				present--
			}
		}
	}
	if rows != benchSpine || present < rows*9/10 {
		b.Fatalf("%d rows, %d of them with a value", rows, present)
	}
}
