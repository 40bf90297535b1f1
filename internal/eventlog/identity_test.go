package eventlog_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// TestGoesOn makes logs for a history that has entries of another log: sequences go on behind those.
func TestGoesOn(t *testing.T) {
	l := open(t, eventlog.Config{Covered: eventlog.Covered{Log: "another", Seq: 40, Begun: 50}})
	if first, last, err := l.Bounds(within(t)); first != 51 || last != 50 || err != nil {
		t.Errorf("Bounds of a new log = %d, %d, %v; want 51, 50", first, last, err)
	}
	if seq := publish(t, l, rows(0, 1)); seq != 51 {
		t.Errorf("first sequence = %d, want 51", seq)
	}
	if err := l.Tail(within(t), 1, nil); !errors.Is(err, eventlog.ErrTruncated) {
		t.Errorf("Tail from 1: %v, want %v", err, eventlog.ErrTruncated)
	}
	if got := ids(read(t, l, 51, 51)); !slices.Equal(got, []int64{0}) {
		t.Errorf("ids = %v, want [0]", got)
	}
}

// TestLostEnd opens logs that do not reach as far as they once did.
func TestLostEnd(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	cases := []struct {
		name          string
		seq, begun    uint64 // of the history; the log ends at 3
		at            time.Time
		first, last   uint64 // of the log afterwards
		renewed       bool
		refused       bool
		anotherNumber bool // the history is another log's
	}{
		{name: "nothing is lost", seq: 3, at: later, first: 1, last: 3},
		{name: "it is behind", seq: 2, at: earlier, first: 1, last: 3},
		{name: "all that is there is in the history", seq: 7, at: later, first: 8, last: 7, renewed: true},
		{name: "and a batch was begun", seq: 7, begun: 9, at: later, first: 10, last: 9, renewed: true},
		{name: "only a batch was begun", seq: 2, begun: 9, at: later, first: 1, last: 3, renewed: true},
		{name: "it was written to since", seq: 7, at: earlier, first: 1, last: 3, refused: true},
		{name: "the history is of another log", seq: 7, at: later, first: 1, last: 3, anotherNumber: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, eventlog.Config{Dir: dir, Logger: quiet})
			for i := range 3 {
				publish(t, l, rows(i, 1))
			}
			id := l.ID()
			_ = l.Close()
			covered := eventlog.Covered{Log: id, Seq: c.seq, Begun: c.begun, At: c.at}
			if c.anotherNumber {
				covered.Log = "another"
			}
			l, err := eventlog.Open(within(t), eventlog.Config{Dir: dir, Logger: quiet, Covered: covered})
			if c.refused {
				if !errors.Is(err, feature.ErrConflict) || !strings.Contains(err.Error(), "--seq 8") {
					t.Fatalf("Open: %v, want %s that says what to do", err, feature.CodeConflict)
				}
				l, err = eventlog.Open(within(t), eventlog.Config{Dir: dir, Logger: quiet})
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if first, last, err := l.Bounds(within(t)); first != c.first || last != c.last || err != nil {
				t.Errorf("Bounds = %d, %d, %v; want %d, %d", first, last, err, c.first, c.last)
			}
			if renewed := l.ID() != id; renewed != c.renewed {
				t.Errorf("a new identity: %v, want %v", renewed, c.renewed)
			}
			if c.renewed && l.Before() != id {
				t.Errorf("Before = %q, want %q", l.Before(), id)
			}
			if seq := publish(t, l, rows(9, 1)); seq != c.last+1 {
				t.Errorf("next sequence = %d, want %d", seq, c.last+1)
			}
		})
	}
}

// TestReplaced replaces a log under a reader that loses its connection.
func TestReplaced(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	cases := map[string]struct {
		change func(t *testing.T, host *eventlog.Log)
		want   error
	}{
		"by another": {func(t *testing.T, host *eventlog.Log) {
			if err := host.JetStream().DeleteStream(within(t), "LOCKSTEP_LOG"); err != nil {
				t.Fatal(err)
			}
			other, err := eventlog.Open(within(t), eventlog.Config{URL: host.ClientURL(), Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			publish(t, other, rows(0, 1))
		}, eventlog.ErrReplaced},
		"by an older copy that was written to": {func(t *testing.T, host *eventlog.Log) { restore(t, host, 2, 5) }, eventlog.ErrReplaced},
		"by an older copy":                     {func(t *testing.T, host *eventlog.Log) { restore(t, host, 2, 2) }, eventlog.ErrReplaced},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			host := open(t, eventlog.Config{Listen: "127.0.0.1:0", Logger: quiet})
			p := startProxy(t, host.ClientURL())
			defer p.stop()
			l, err := eventlog.Open(within(t), eventlog.Config{URL: p.url(), Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for i := range 4 {
				publish(t, host, rows(i, 1))
			}
			err = l.Tail(within(t), 1, func(e eventlog.Entry) error {
				if e.Seq == 4 {
					c.change(t, host)
					p.mute.Store(true)
				}
				return nil
			})
			if !errors.Is(err, c.want) {
				t.Errorf("Tail = %v, want %v", err, c.want)
			}
		})
	}
}

// restore makes the log what it was when it had some entries, and adds others up to a sequence.
func restore(t *testing.T, host *eventlog.Log, kept, upto int) {
	t.Helper()
	s, err := host.JetStream().Stream(within(t), "LOCKSTEP_LOG")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if err := host.JetStream().DeleteStream(within(t), "LOCKSTEP_LOG"); err != nil {
		t.Fatal(err)
	}
	if _, err := host.JetStream().CreateStream(within(t), cfg); err != nil {
		t.Fatal(err)
	}
	for i := range upto {
		if i < kept {
			publish(t, host, rows(i, 1))
		} else {
			publish(t, host, rows(100+i, 1))
		}
	}
}

func TestSince(t *testing.T) {
	l := open(t, eventlog.Config{Durability: eventlog.OS})
	start := time.Now()
	for i := range 5 {
		publish(t, l, rows(i, 1))
	}
	entries := read(t, l, 1, 5)
	since := func(at time.Time, want uint64) {
		t.Helper()
		if got, err := l.Since(within(t), at); got != want || err != nil {
			t.Errorf("Since(%s) = %d, %v; want %d", at, got, err, want)
		}
	}
	since(start.Add(-time.Hour), 1)
	since(entries[2].Taken.Std(), 3)
	since(time.Now().Add(time.Hour), 6)
	if err := l.Trim(within(t), 4); err != nil {
		t.Fatal(err)
	}
	since(start.Add(-time.Hour), 4)
	if err := l.Trim(within(t), 6); err != nil {
		t.Fatal(err)
	}
	since(start.Add(-time.Hour), 6)
}
