package materialize_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/offline"
	"github.com/lockstepfs/lockstep/online"
)

// patience bounds every wait of a test.
const patience = 60 * time.Second

var clicks = &feature.Source{
	Name: "clicks", EventTime: "at", MaxFuture: feature.Hour,
	Columns: []feature.Field{{Name: "user", Type: feature.String}, {Name: "at", Type: feature.Timestamp}, {Name: "n", Type: feature.Int64}},
}

var orders = &feature.Source{Name: "orders", EventTime: "at", MaxFuture: feature.Hour, Columns: clicks.Columns}

func newCatalog() *feature.Catalog {
	user := feature.Entity{Name: "user", Key: []feature.Field{{Name: "user", Type: feature.String}}}
	view := func(name, source string) *feature.View {
		return &feature.View{
			Name: name, Version: 1, Entity: user, Keys: []string{"user"}, Source: source, History: feature.Hour,
			Features: []feature.Feature{{Name: "n", Latest: "n", Type: feature.Int64}},
		}
	}
	return &feature.Catalog{
		Entities: []*feature.Entity{&user}, Sources: []*feature.Source{clicks, orders},
		Views: []*feature.View{view("last_click", "clicks"), view("last_order", "orders")},
	}
}

// world is a log, a history and a replica. Its parts are opened one by one, and again, as a test needs them.
type world struct {
	t       *testing.T
	dir     string
	db      string
	conn    driver.Conn // of the test itself
	catalog *feature.Catalog
	log     *eventlog.Log
	store   *offline.Store
	online  *online.Store
	logger  *slog.Logger
	said    *said
}

func newWorld(t *testing.T) *world {
	t.Helper()
	engine := chtest.Engine(t)
	w := &world{t: t, dir: t.TempDir(), db: chtest.Database(t, engine), catalog: newCatalog(), said: newSaid()}
	w.logger = w.said.logger()
	w.conn = chtest.Open(t, engine, w.db)
	w.openStore(nil)
	return w
}

// openStore opens the history; dial, if there is one, stands between it and the engine.
func (w *world) openStore(dial func(context.Context, string) (net.Conn, error)) {
	w.t.Helper()
	if dial == nil {
		dial = chtest.Engine(w.t).DialContext
	}
	store, err := offline.Open(w.t.Context(), offline.Config{Dial: dial, Database: w.db})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { store.Close() })
	w.store = store
	if err := store.Migrate(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	for _, src := range w.catalog.Sources {
		if err := store.Ensure(w.t.Context(), src); err != nil {
			w.t.Fatal(err)
		}
	}
}

// openLog opens the log as a process does: behind what the history has.
func (w *world) openLog(cfg eventlog.Config) {
	w.t.Helper()
	reach, err := w.store.Reach(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if cfg.Dir == "" && cfg.URL == "" {
		cfg.Dir = filepath.Join(w.dir, "log")
	}
	cfg.Durability, cfg.Logger = eventlog.OS, slog.New(slog.DiscardHandler)
	cfg.Covered = eventlog.Covered{Log: reach.Watermark.Log, Seq: reach.Watermark.Seq, Begun: reach.Begun, At: reach.At}
	log, err := eventlog.Open(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { log.Close() })
	w.log = log
}

func (w *world) openReplica() {
	w.t.Helper()
	store, err := online.Open(online.Config{Dir: filepath.Join(w.dir, "replica"), CacheBytes: 1 << 20, Logger: w.logger})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { store.Close() })
	w.online = store
}

func (w *world) sink() *materialize.Sink {
	return materialize.NewSink(materialize.SinkConfig{Log: w.log, History: node.History{Store: w.store}, Logger: w.logger, Wait: time.Millisecond})
}

func (w *world) replica(covered node.Covered) *materialize.Replica {
	return materialize.NewReplica(materialize.ReplicaConfig{
		Log: w.log, Past: node.Past{Store: w.store, Covered: covered}, Present: w.online, Logger: w.logger,
		Catalog: func() *feature.Catalog { return w.catalog }, Changed: func() <-chan struct{} { return nil },
	})
}

// run runs the parts until the function that it returns is called, which returns what they did.
func run(t *testing.T, parts ...func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var group sync.WaitGroup
	errs := make([]error, len(parts))
	for i, part := range parts {
		group.Go(func() { errs[i] = part(ctx) })
	}
	stop = sync.OnceValue(func() error {
		cancel()
		group.Wait()
		return errors.Join(errs...)
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

// within returns a context that ends when the test has waited long enough.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(t); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: it did not come to that", what)
		}
	}
}

// start is when the first event of the tests happens.
var start = feature.Time(1_700_000_000_000_000)

// event is one row of a source: value n of a user, some minutes after the start.
type event struct {
	user   string
	minute int
	n      int64
}

func rowsOf(src *feature.Source, events ...event) *feature.Batch {
	b := feature.NewBatch(src)
	for _, e := range events {
		at := start + feature.Time(e.minute)*feature.Time(feature.Minute)
		b.Append([]feature.Value{feature.StringValue(e.user), feature.TimestampValue(at), feature.Int64Value(e.n)})
	}
	return b
}

// publish publishes events of clicks.
func (w *world) publish(events ...event) uint64 {
	w.t.Helper()
	seq, err := w.log.Publish(within(w.t), rowsOf(clicks, events...))
	if err != nil {
		w.t.Fatal(err)
	}
	return seq
}

// covers waits until the history covers seq.
func (w *world) covers(c node.Covered, seq uint64) {
	w.t.Helper()
	if err := c.Wait(within(w.t), seq); err != nil {
		w.t.Fatal(err)
	}
}

// wantHistory compares the values of a source in the history, in order of their places, with n in want.
func (w *world) wantHistory(source string, want ...int64) {
	w.t.Helper()
	var got []int64
	sql := "SELECT groupArray(n) FROM (SELECT n FROM events_" + source + " ORDER BY _seq, _idx, n)"
	if err := w.conn.QueryRow(w.t.Context(), sql).Scan(&got); err != nil {
		w.t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("the history of %s has %v, want %v", source, got, want)
	}
}

// lookups returns the newest click of a user by both paths, at the present of the replica.
func (w *world) lookups(user string) (onlineValue, offlineValue string) {
	w.t.Helper()
	plan, err := w.catalog.PlanFeatures([]string{"last_click.n"})
	if err != nil {
		w.t.Fatal(err)
	}
	l := &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.StringValue(user)}}, At: start + feature.Time(365*feature.Day)}
	a, err := w.online.Lookup(l)
	if err != nil {
		w.t.Fatal(err)
	}
	eventually(w.t, "the history has it too", func() bool {
		mark, err := w.store.Watermark(w.t.Context())
		return err == nil && mark.Seq >= a.Cut.Seq
	})
	b, err := w.store.Lookup(w.t.Context(), l, a.Cut)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(a.Cells[0]), fmt.Sprint(b.Cells[0])
}

// wantBoth makes sure that both paths say that a user's newest click is n.
func (w *world) wantBoth(user string, n int64) {
	w.t.Helper()
	on, off := w.lookups(user)
	if want := fmt.Sprint(n); on != off || !strings.Contains(on, want) {
		w.t.Errorf("%s: %s online, %s offline, want %s", user, on, off, want)
	}
}

// said is what was logged.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func newSaid() *said { return &said{} }

func (s *said) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s, nil)) }

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}
