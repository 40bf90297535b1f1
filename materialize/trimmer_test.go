package materialize_test

import (
	"context"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/materialize"
)

// trimmed is a log of entries of one size, one taken a minute.
type trimmed struct {
	extent eventlog.Extent
	start  time.Time
}

const entryBytes = 10

func (l *trimmed) ID() string { return "log" }

func (l *trimmed) Extent(context.Context) (eventlog.Extent, error) {
	l.extent.Bytes = entryBytes * (l.extent.Last + 1 - l.extent.First)
	return l.extent, nil
}

func (l *trimmed) Since(_ context.Context, at time.Time) (uint64, error) {
	minutes := max(0, int64((at.Sub(l.start)+time.Minute-1)/time.Minute))
	return min(max(l.extent.First, uint64(minutes)), l.extent.Last+1), nil
}

func (l *trimmed) Trim(_ context.Context, seq uint64) error {
	l.extent.First = seq
	return nil
}

func TestTrimmer(t *testing.T) {
	cases := []struct {
		name    string
		last    uint64 // the log holds 1 to last, and 1000 entries at the most
		covered uint64
		log     string
		age     time.Duration
		first   uint64 // afterwards
	}{
		{name: "there is room", last: 750, covered: 750, first: 1},
		{name: "three quarters are full", last: 760, covered: 760, first: 261},
		{name: "the history is behind", last: 760, covered: 300, first: 176}, // an eighth of 1000 is kept of it
		{name: "the history is far behind", last: 990, covered: 100, first: 1},
		{name: "the history has nothing", last: 990, covered: 0, first: 1},
		{name: "the history is of another log", last: 990, covered: 990, log: "another", first: 1},
		{name: "age", last: 700, covered: 700, age: 200 * time.Minute, first: 501},
		{name: "age, and the history is behind", last: 700, covered: 300, age: 200 * time.Minute, first: 301},
		{name: "all is old", last: 700, covered: 700, age: time.Nanosecond, first: 701},
		{name: "room is needed beyond age", last: 900, covered: 900, age: 800 * time.Minute, first: 401},
		{name: "empty", last: 0, covered: 0, age: time.Minute, first: 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			log := &trimmed{extent: eventlog.Extent{First: 1, Last: c.last, MaxBytes: 1000 * entryBytes}, start: time.Unix(0, 0)}
			id := "log"
			if c.log != "" {
				id = c.log
			}
			trimmer := materialize.NewTrimmer(materialize.TrimmerConfig{
				Log: log, Watermark: func() feature.Cut { return feature.Cut{Log: id, Seq: c.covered} }, Age: c.age,
				Every: time.Hour, Now: func() time.Time { return log.start.Add(time.Duration(c.last+1) * time.Minute) }, Logger: newSaid().logger(),
			})
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // it looks once, and ends
			if err := trimmer.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if log.extent.First != c.first {
				t.Errorf("the log begins at %d, want %d", log.extent.First, c.first)
			}
		})
	}
}

// TestTrimmerMakesRoom publishes several times what the log may hold: it never refuses, and no row is lost.
func TestTrimmerMakesRoom(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{MaxBytes: 2 << 20})
	sink := w.sink()
	trimmer := materialize.NewTrimmer(materialize.TrimmerConfig{Log: w.log, Watermark: sink.Watermark, Every: 10 * time.Millisecond, Logger: w.logger})
	stop := run(t, sink.Run, trimmer.Run)
	var last uint64
	const calls, perCall = 60, 10_000
	for i := range calls {
		events := make([]event, perCall)
		for k := range events {
			events[k] = event{"a user with a name that takes some room", i, int64(i*perCall + k)}
		}
		eventually(t, "there is room", func() bool { // the producer waits, as a client that is told to
			seq, err := w.log.Publish(within(t), rowsOf(clicks, events...))
			if err != nil && feature.CodeOf(err) != feature.CodeOverloaded {
				t.Fatal(err)
			}
			last = seq
			return err == nil
		})
	}
	w.covers(sink, last)
	first, _, err := w.log.Bounds(within(t))
	if err != nil || first == 1 {
		t.Errorf("the log begins at %d, %v; want it trimmed", first, err)
	}
	var rows, different uint64
	if err := w.conn.QueryRow(t.Context(), "SELECT count(), uniqExact(n) FROM events_clicks").Scan(&rows, &different); err != nil {
		t.Fatal(err)
	}
	if rows != calls*perCall || different != rows {
		t.Errorf("%d rows in the history, %d different, want %d", rows, different, calls*perCall)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
