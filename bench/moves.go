package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/online"
	"github.com/lockstepfs/lockstep/registry"
)

// definitions are flights as the demo has them: seven columns, three views, seven features.
const definitions = `
kind: entity
name: airport
key: [{name: airport, type: string}]
---
kind: entity
name: route
key: [{name: origin, type: string}, {name: destination, type: string}]
---
kind: source
name: SOURCE
columns: {flight_id: int64, origin: string, destination: string, scheduled: timestamp, known_at: timestamp, distance: int64, delay: int64}
event_time: known_at
tiebreak: flight_id
---
kind: view
name: SOURCE_departures
entity: airport
keys: {airport: origin}
source: SOURCE
features: [{name: last_delay, latest: delay, ttl: 7d}, {name: last_distance, latest: distance}]
---
kind: view
name: SOURCE_route
entity: route
source: SOURCE
features: [{name: last_delay, latest: delay, ttl: 7d}, {name: last_scheduled, latest: scheduled}]
`

func catalogFor(source string) (*feature.Catalog, error) {
	return catalogOf(strings.ReplaceAll(definitions, "SOURCE", source))
}

// catalogOf is what definitions in YAML define.
func catalogOf(yaml string) (*feature.Catalog, error) {
	defs, err := registry.Parse(map[string][]byte{"bench.yaml": []byte(yaml)})
	if err != nil {
		return nil, err
	}
	return registry.Resolve(defs)
}

// flights makes rows events of src from a fixed seed: 300 airports, six months, 1 % ties.
func flights(src *feature.Source, from, rows int) *feature.Batch {
	b := feature.NewBatch(src)
	r := rand.New(rand.NewPCG(1, uint64(from)))
	start := feature.Time(978307200e6)
	for i := range rows {
		t := start.Add(feature.Span(from+i) * 5 * feature.Second)
		if i%100 == 0 {
			t = t.Add(-5 * feature.Second)
		}
		b.Append([]feature.Value{
			feature.Int64Value(int64(from + i)), airport(r), airport(r), feature.TimestampValue(t.Add(-2 * feature.Hour)), feature.TimestampValue(t),
			feature.Int64Value(r.Int64N(3000)), feature.Int64Value(r.Int64N(200) - 20),
		})
	}
	return b
}

func airport(r *rand.Rand) feature.Value {
	n := r.IntN(300)
	return feature.StringValue(string([]byte{'A' + byte(n/26/26), 'A' + byte(n/26%26), 'A' + byte(n%26)}))
}

// importing measures a Parquet import through the gate into ClickHouse.
func (l *lab) importing(ctx context.Context) error {
	catalog, err := catalogFor("imported")
	if err != nil {
		return err
	}
	src := catalog.Sources[0]
	if err := l.store.Ensure(ctx, src); err != nil {
		return err
	}
	path := filepath.Join(l.dir, "flights.parquet")
	if err := writeFlights(path, src, l.size.rows); err != nil {
		return err
	}
	im := &materialize.Importer{Archive: l.store, Log: l.log, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	start := time.Now()
	r, err := im.Import(ctx, materialize.ImportRequest{Source: src, Path: path, Format: rowfile.Parquet, Name: "flights.parquet"}, nil)
	if err != nil {
		return err
	}
	took := time.Since(start)
	self, engine := l.peakMemory()
	l.add("import, Parquet", perSecond(int(r.Rows), took), "%d rows × 7 columns; peak memory %d MiB, of the engine %d MiB; in ClickHouse, its record in the log on disk", r.Rows, self, engine)
	return nil
}

func writeFlights(path string, src *feature.Source, rows int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := rowfile.NewWriter(f, rowfile.Parquet, src.Columns, nil)
	if err != nil {
		return err
	}
	for at := 0; at < rows; at += 10_000 {
		if err := w.Write(flights(src, at, min(10_000, rows-at))); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), f.Close())
}

// streaming measures the log into the replica and into ClickHouse: first it fills the log, then it reads it.
func (l *lab) streaming(ctx context.Context) error {
	catalog, err := catalogFor("streamed")
	if err != nil {
		return err
	}
	src := catalog.Sources[0]
	if err := l.store.Ensure(ctx, src); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	newSink := func() *materialize.Sink {
		return materialize.NewSink(materialize.SinkConfig{Log: l.log, History: node.History{Store: l.store}, Logger: logger})
	}
	sink := newSink()
	if err := l.until(ctx, sink.Run, sink.Wait); err != nil { // level with the import, so that the rest is the stream
		return err
	}
	start := time.Now()
	for at := 0; at < l.size.rows; at += 10_000 {
		if _, err := l.log.Publish(ctx, flights(src, at, min(10_000, l.size.rows-at))); err != nil {
			return err
		}
	}
	l.add("publish to the log, 10,000 rows a call", perSecond(l.size.rows, time.Since(start)), "fsync before every acknowledgement; making the rows included")

	store, err := online.Open(online.Config{Dir: filepath.Join(l.dir, "replica")})
	if err != nil {
		return err
	}
	defer store.Close()
	replica := materialize.NewReplica(materialize.ReplicaConfig{
		Log: l.log, Past: node.Past{Store: l.store, Covered: sink}, Present: store, Catalog: func() *feature.Catalog { return catalog },
		Changed: func() <-chan struct{} { return nil }, Logger: logger,
	})
	start = time.Now()
	if err := l.until(ctx, replica.Run, replica.Wait); err != nil {
		return err
	}
	l.add("log to online", perSecond(l.size.rows, time.Since(start)), "2 views, 4 features, 90,000 keys; Pebble with the position in the same batch, synced every 10 s")

	start = time.Now()
	sink = newSink()
	if err := l.until(ctx, sink.Run, sink.Wait); err != nil {
		return err
	}
	l.add("log to ClickHouse", perSecond(l.size.rows, time.Since(start)), "exactly once: batch recorded, inserted with a token, watermark; async_insert=0, fsync by ClickHouse's default (none)")
	return nil
}

// until runs a mover until it has reached the head of the log.
func (l *lab) until(ctx context.Context, run func(context.Context) error, wait func(context.Context, uint64) error) error {
	_, head, err := l.log.Bounds(ctx)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- run(running) }()
	limit, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	err = wait(limit, head)
	stop()
	return errors.Join(err, <-ended)
}
