package eventlog_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// childDir names a folder to a process that this test binary starts of itself: it publishes there until it is
// killed.
const childDir = "LOCKSTEP_EVENTLOG_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		publishForever(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

var clicks = &feature.Source{Name: "clicks", Columns: []feature.Field{
	{Name: "id", Type: feature.Int64}, {Name: "user", Type: feature.String}, {Name: "at", Type: feature.Timestamp},
}}

// rows returns n rows of clicks with ids from first on.
func rows(first, n int) *feature.Batch { return rowsOf(clicks, first, n) }

func rowsOf(src *feature.Source, first, n int) *feature.Batch {
	b := feature.NewBatch(src)
	for i := first; i < first+n; i++ {
		b.Append([]feature.Value{feature.Int64Value(int64(i)), feature.StringValue(fmt.Sprintf("user-%d", i%100)), feature.TimestampValue(feature.Time(1e15 + int64(i)))})
	}
	return b
}

// within returns a context that ends with the test, and after a while that no test needs.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open opens a log that the test closes.
func open(t testing.TB, cfg eventlog.Config) *eventlog.Log {
	t.Helper()
	if cfg.Dir == "" && cfg.URL == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 1<<30) // a server lends out what the disk has
	l, err := eventlog.Open(within(t), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// read returns the entries from a sequence up to and including last.
func read(t testing.TB, l *eventlog.Log, from, last uint64) []eventlog.Entry {
	t.Helper()
	if last < max(from, 1) {
		return nil
	}
	var all []eventlog.Entry
	enough := fmt.Errorf("enough")
	err := l.Tail(within(t), from, func(e eventlog.Entry) error {
		all = append(all, e)
		if e.Seq >= last {
			return enough
		}
		return nil
	})
	if err != enough {
		t.Fatalf("Tail: %v", err)
	}
	return all
}

// ids returns the ids of all rows of entries, in order.
func ids(entries []eventlog.Entry) []int64 {
	var out []int64
	for _, e := range entries {
		if e.Batch != nil {
			out = append(out, e.Batch.Column("id").Ints...)
		}
	}
	return out
}

func last(t testing.TB, l *eventlog.Log) uint64 {
	t.Helper()
	_, last, err := l.Bounds(within(t))
	if err != nil {
		t.Fatalf("Bounds: %v", err)
	}
	return last
}

func publish(t testing.TB, l *eventlog.Log, batches ...*feature.Batch) uint64 {
	t.Helper()
	seq, err := l.Publish(within(t), batches...)
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	return seq
}

// eventually polls until ok says true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(t); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it did not happen: %s", what)
		}
	}
}
