package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/offline"
)

const hotDefinitions = `
kind: entity
name: site
key: [{name: site, type: int64}]
---
kind: source
name: cards
columns: {site: int64, at: timestamp, visitor: int64, paid: float64}
event_time: at
---
kind: view
name: hot
entity: site
source: cards
features:
  - {name: count, count: "*", window: [1h, 1d, 7d]}
  - {name: avg, avg: paid, window: [1h, 1d, 7d]}
  - {name: least, min: paid, window: [1h, 1d, 7d]}
  - {name: distinct, count_distinct: visitor, window: [1h, 1d, 7d]}
  - {name: about, approx_count_distinct: visitor, window: [1h, 1d, 7d]}
  - {name: top, top_k: visitor, k: 3, window: 10m}
  - {name: median, approx_quantile: paid, q: 0.5, window: 10m}
`

// hot makes windows of a key that has all events, and says how much memory ClickHouse takes for them. The events are spread
// over 30 days; the rows lie at and between them. What looks at the events of each row's windows one by one gets a tenth of the rows.
func (l *lab) hot(ctx context.Context) error {
	hotEvents, hotRows := l.size.events/10, l.size.spine*3
	catalog, err := catalogOf(hotDefinitions)
	if err != nil {
		return err
	}
	store, conn, err := l.openEvents(ctx, "hot", catalog.Sources[0], fmt.Sprintf(`INSERT INTO events_cards (site, _us_at, visitor, paid, _us__available_at, _seq, _idx, _gen)
		SELECT 1, 1546300800000000 + number * %d AS us, cityHash64(number, 1) %% 20000, (cityHash64(number, 2) %% 100000) / 100, us, 1, number, 0 FROM numbers(%d)`,
		30*int64(feature.Day)/int64(hotEvents), hotEvents))
	if err != nil {
		return err
	}
	defer store.Close()
	defer conn.Close()
	for _, of := range []struct {
		what     string
		rows     int
		features []string
	}{
		{"count and avg", hotRows, []string{"hot.count_1h", "hot.count_1d", "hot.count_7d", "hot.avg_1h", "hot.avg_1d", "hot.avg_7d"}},
		{"min", hotRows, []string{"hot.least_1h", "hot.least_1d", "hot.least_7d"}},
		{"count_distinct", hotRows, []string{"hot.distinct_1h", "hot.distinct_1d", "hot.distinct_7d"}},
		{"approx_count_distinct", hotRows, []string{"hot.about_1h", "hot.about_1d", "hot.about_7d"}},
		{"top_k", hotRows / 10, []string{"hot.top"}},
		{"approx_quantile", hotRows / 10, []string{"hot.median"}},
	} {
		plan, err := catalog.PlanFeatures(of.features)
		if err != nil {
			return err
		}
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", l.engine.Pid()), []byte("5"), 0o600); err != nil { // forget the peak so far
			return fmt.Errorf("reset the peak of memory: %w", err)
		}
		_, before := l.peakMemory()
		begun := time.Now()
		err = readSet(ctx, store, offline.Training{
			Plan: plan, TimeColumn: "at",
			SQL: fmt.Sprintf("SELECT 1 AS site, fromUnixTimestamp64Micro(1546300800000000 + number * %d, 'UTC') AS at FROM numbers(%d)", 30*int64(feature.Day)/int64(of.rows), of.rows),
		}, of.rows)
		took := time.Since(begun)
		_, peak := l.peakMemory()
		result := fmt.Sprintf("%s, %d MiB", perSecond(of.rows, took), peak-before)
		if err != nil {
			result = err.Error()
		}
		l.add("hot key: "+of.what, result, "%d windows of a key with %d events at %d rows in %s; memory of ClickHouse above the %d MiB before", len(of.features), hotEvents, of.rows,
			took.Round(time.Millisecond), before)
	}
	return nil
}

// readSet makes a training set and reads it to its end.
func readSet(ctx context.Context, store *offline.Store, ask offline.Training, want int) (err error) {
	set, err := store.Train(ctx, ask)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	rows := 0
	for batch, err := range set.Batches(ctx) {
		if err != nil {
			return err
		}
		rows += batch.Rows
	}
	if rows != want || rows == 0 {
		return fmt.Errorf("%d rows: expected %d", rows, want)
	}
	return nil
}
