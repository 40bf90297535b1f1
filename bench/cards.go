package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/offline"
)

const cardDefinitions = `
kind: entity
name: customer
key: [{name: customer_id, type: int64}]
---
kind: entity
name: terminal
key: [{name: terminal_id, type: int64}]
---
kind: source
name: cards
columns: {tx_id: int64, at: timestamp, customer_id: int64, terminal_id: int64, amount: float64, fraud: int64}
event_time: at
---
kind: view
name: spending
entity: customer
source: cards
features:
  - {name: count, count: "*", window: [1d, 7d, 30d]}
  - {name: avg, avg: amount, window: [1d, 7d, 30d]}
---
kind: view
name: risk
entity: terminal
source: cards
delay: 7d
features:
  - {name: count, count: "*", window: [1d, 7d, 30d]}
  - {name: avg, avg: fraud, window: [1d, 7d, 30d]}
---
kind: service
name: cards
features: [spending, risk]
`

// cards makes twelve window features for every card transaction and reads them; beside it plain SQL by hand, read by the same
// driver. The transactions are not ours to publish: without LOCKSTEP_EXPECTED, which names their folder, nothing is measured.
func (l *lab) cards(ctx context.Context) error {
	const what = "twelve windows of each card transaction"
	dir, ok := os.LookupEnv("LOCKSTEP_EXPECTED")
	if !ok {
		l.add(what, "not measured", "LOCKSTEP_EXPECTED does not name the folder that holds fdh/fdh_transactions.parquet")
		return nil
	}
	file, err := filepath.Abs(filepath.Join(dir, "fdh", "fdh_transactions.parquet"))
	if err != nil {
		return err
	}
	catalog, err := catalogOf(cardDefinitions)
	if err != nil {
		return err
	}
	plan, err := catalog.PlanService("cards")
	if err != nil {
		return err
	}
	store, conn, err := l.openEvents(ctx, "cards", catalog.Sources[0], fmt.Sprintf(`INSERT INTO events_cards (tx_id, _us_at, customer_id, terminal_id, amount, fraud, _us__available_at, _seq, _idx, _gen)
		SELECT tx_id, toUnixTimestamp64Micro(assumeNotNull(tx_datetime)) AS us, customer_id, terminal_id, tx_amount, tx_fraud, us, 1, tx_id, 0 FROM file('%s', Parquet)`, file))
	if err != nil {
		return err
	}
	defer store.Close()
	defer conn.Close()
	hand, err := queries.ReadFile("queries/windows.sql")
	if err != nil {
		return err
	}
	var ours, theirs []time.Duration
	rows := 0
	for range l.size.rounds {
		begun := time.Now()
		if rows, err = readCardsByHand(ctx, conn, string(hand)); err != nil {
			return err
		}
		theirs = append(theirs, time.Since(begun))
		begun = time.Now()
		if err := readSet(ctx, store, offline.Training{Plan: plan, SQL: "SELECT tx_id, at, customer_id, terminal_id FROM events_cards ORDER BY tx_id", TimeColumn: "at"}, rows); err != nil {
			return err
		}
		ours = append(ours, time.Since(begun))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	l.add(what, fmt.Sprintf("%s, ratio %.2f", perSecond(rows, ours[0]), float64(ours[0])/float64(theirs[0])),
		"%d rows: %s; by hand (bench/queries/windows.sql): %s; ratio of the fastest runs", rows, spread(ours), spread(theirs))
	return nil
}

// openEvents fills a database of its own, whose source cards an INSERT brings.
func (l *lab) openEvents(ctx context.Context, database string, src *feature.Source, insert string) (*offline.Store, driver.Conn, error) {
	store, err := offline.Open(ctx, offline.Config{Dial: l.engine.DialContext, Database: database, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP, Addr: []string{"engine"}, DialContext: l.engine.DialContext, Auth: clickhouse.Auth{Database: database}, ReadTimeout: time.Hour,
	})
	if err = errors.Join(err, store.Migrate(ctx), store.Ensure(ctx, src)); err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	for _, sql := range []string{
		insert,
		"INSERT INTO watermarks (log, seq) VALUES ('log', 1)",
		"OPTIMIZE TABLE events_cards FINAL",
	} {
		if err := conn.Exec(ctx, sql); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%.40s…: %w", sql, err), conn.Close(), store.Close())
		}
	}
	return store, conn, nil
}

func readCardsByHand(ctx context.Context, conn driver.Conn, sql string) (int, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var id *int64
	var counts [6]uint64
	var averages [6]*float64
	into := []any{&id}
	for i := range counts {
		into = append(into, &counts[i], &averages[i])
	}
	n := 0
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return n, err
		}
		n++
	}
	return n, rows.Err()
}
