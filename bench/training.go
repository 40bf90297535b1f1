package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/offline"
)

// queries are point-in-time joins as one writes them by hand for the source and spine of this benchmark.
//
//go:embed queries/*.sql
var queries embed.FS

const trainingDefinitions = `
kind: entity
name: user
key: [{name: k, type: int64}]
---
kind: source
name: bench
columns: {k: int64, event_time: timestamp, f: float64, n: int64}
event_time: event_time
---
kind: view
name: v
entity: user
source: bench
features: [{name: f, latest: f, ttl: 30d}, {name: n, latest: n}]
---
kind: service
name: s
features: [v]
`

// training makes a training set whose spine lies in ClickHouse and reads it; beside it the hand-written queries, read by the
// same driver. Events are as the sink writes them, then as an import does.
func (l *lab) training(ctx context.Context) error {
	catalog, err := catalogOf(trainingDefinitions)
	if err != nil {
		return err
	}
	for _, origin := range []string{"streamed", "imported"} {
		if err := l.trainingOver(ctx, catalog, origin); err != nil {
			return fmt.Errorf("training set over %s events: %w", origin, err)
		}
	}
	return nil
}

// trainingOver measures in a database of its own, over streamed or imported events.
func (l *lab) trainingOver(ctx context.Context, catalog *feature.Catalog, origin string) error {
	database := "training_" + origin
	store, err := offline.Open(ctx, offline.Config{Dial: l.engine.DialContext, Database: database, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer store.Close()
	if err := errors.Join(store.Migrate(ctx), store.Ensure(ctx, catalog.Sources[0])); err != nil {
		return err
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{"engine"}, DialContext: l.engine.DialContext, Auth: clickhouse.Auth{Database: database}, ReadTimeout: time.Hour,
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := l.fillTraining(ctx, conn, origin); err != nil {
		return err
	}
	plan, err := catalog.PlanService("s")
	if err != nil {
		return err
	}
	took := map[string][]time.Duration{}
	for range l.size.rounds {
		if err := timeQueries(ctx, conn, l.size.spine, took); err != nil {
			return err
		}
		begun := time.Now()
		if err := readTraining(ctx, store, plan, l.size.spine); err != nil {
			return err
		}
		took["lockstep"] = append(took["lockstep"], time.Since(begun))
	}
	l.addTraining(origin, took)
	return nil
}

func (l *lab) addTraining(origin string, took map[string][]time.Duration) {
	ours := took["lockstep"]
	delete(took, "lockstep")
	best, hand := "", []string{}
	for name, d := range took {
		slices.Sort(d)
		if best == "" || d[0] < took[best][0] {
			best = name
		}
		hand = append(hand, fmt.Sprintf("%s %s", name, spread(d)))
	}
	slices.Sort(ours)
	slices.Sort(hand)
	l.add("training set, "+origin+" events", fmt.Sprintf("%s, ratio %.2f", perSecond(l.size.spine, ours[0]), float64(ours[0])/float64(took[best][0])),
		"%d spine rows over %d events: %s; by hand: %s; ratio of the fastest runs, to %s (bench/queries)", l.size.spine, l.size.events, spread(ours), strings.Join(hand, ", "), best)
}

func spread(sorted []time.Duration) string {
	return fmt.Sprintf("%.1f–%.1f s", sorted[0].Seconds(), sorted[len(sorted)-1].Seconds())
}

func timeQueries(ctx context.Context, conn driver.Conn, rows int, took map[string][]time.Duration) error {
	for _, name := range []string{"asof", "asof_newest", "sweep"} {
		sql, err := queries.ReadFile("queries/" + name + ".sql")
		if err != nil {
			return err
		}
		begun := time.Now()
		if err := readByHand(ctx, conn, string(sql), rows); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		took[name] = append(took[name], time.Since(begun))
	}
	return nil
}

// fillTraining makes events of one key for a hundred of them and a spine inside ClickHouse. No two events have the same time, so that all of
// the queries are right.
func (l *lab) fillTraining(ctx context.Context, conn driver.Conn, origin string) error {
	keys := strconv.Itoa(max(1, l.size.events/100))
	system := "number + 1, 0, 0"
	if origin == "imported" {
		system = "0, 0, 7"
	}
	for _, sql := range []string{
		`INSERT INTO events_bench (k, _us_event_time, f, n, _us__available_at, _seq, _idx, _gen)
			SELECT intHash64(number) % ` + keys + `, toInt64(1700000000000000 + number * 1000000 + intHash32(number) % 1000000) AS us,
			if(number % 50 = 0, NULL, number / 7), number % 1000, us, ` + system + fmt.Sprintf(` FROM numbers(%d)`, l.size.events),
		`INSERT INTO generations (source, generation, seq) VALUES ('bench', 7, 1)`,
		`INSERT INTO watermarks (log, seq) VALUES ('log', 100000000)`,
		`CREATE TABLE spine (rid UInt64, k Nullable(Int64), t DateTime64(6, 'UTC'), label Nullable(Int64)) ENGINE = MergeTree ORDER BY rid`,
		fmt.Sprintf(`INSERT INTO spine SELECT number, intHash64(number + 77) %% %s,
			fromUnixTimestamp64Micro(toInt64(1700000000000000 + (intHash64(number) %% %d) * 1000000 + 500000), 'UTC'), number %% 2 FROM numbers(%d)`, keys, l.size.events, l.size.spine),
		`OPTIMIZE TABLE events_bench FINAL`,
	} {
		if err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%.40s…: %w", sql, err)
		}
	}
	return nil
}

func readByHand(ctx context.Context, conn driver.Conn, sql string, want int) error {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return err
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
			return err
		}
		count++
	}
	if rows.Err() == nil && count != want {
		return fmt.Errorf("%d rows: expected %d", count, want)
	}
	return rows.Err()
}

func readTraining(ctx context.Context, store *offline.Store, plan *feature.Plan, want int) error {
	set, err := store.Train(ctx, offline.Training{Plan: plan, SQL: "SELECT k, t, label FROM spine ORDER BY rid", TimeColumn: "t"})
	if err != nil {
		return err
	}
	defer set.Close()
	rows, present := 0, 0
	for batch, err := range set.Batches(ctx) {
		if err != nil {
			return err
		}
		rows += batch.Rows
		present += batch.Rows
		for _, null := range batch.Column("v.n").Nulls {
			if null {
				present--
			}
		}
	}
	if rows != want || present < rows*9/10 {
		return fmt.Errorf("%d rows, %d of them with a value: expected %d, most of them with a value", rows, present, want)
	}
	return nil
}
