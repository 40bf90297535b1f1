package eventlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// take is a handler: rows {"id": n} become rows of the source, others are refused.
func take(_ context.Context, source string, rows [][]byte) (eventlog.InboxResult, error) {
	var r eventlog.InboxResult
	b := feature.NewBatch(&feature.Source{Name: source, Columns: clicks.Columns[:1]})
	for _, raw := range rows {
		var row struct{ ID *int64 }
		if json.Unmarshal(raw, &row) != nil || row.ID == nil {
			r.Letters = append(r.Letters, eventlog.Letter{Source: source, Reason: "no id", Raw: raw})
			continue
		}
		b.Append([]feature.Value{feature.Int64Value(*row.ID)})
	}
	r.Batches = []*feature.Batch{b}
	return r, nil
}

// send publishes to the inbox as any NATS client does, and waits for the acknowledgement.
func send(t *testing.T, l *eventlog.Log, source, data string) {
	t.Helper()
	if _, err := l.JetStream().Publish(within(t), "lockstep.in."+source, []byte(data)); err != nil {
		t.Fatalf("publish to the inbox: %v", err)
	}
}

// inbox runs Inbox until the returned function is called, which returns its error.
func inbox(t *testing.T, l *eventlog.Log, handle eventlog.InboxHandler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	ended := make(chan error, 1)
	go func() { ended <- l.Inbox(ctx, handle) }()
	t.Cleanup(cancel)
	return func() error {
		cancel()
		return <-ended
	}
}

func drained(t *testing.T, l *eventlog.Log) {
	t.Helper()
	eventually(t, "the inbox is empty", func() bool {
		s, err := l.Stats(within(t))
		return err == nil && s.Inbox == 0
	})
}

func TestInbox(t *testing.T) {
	l := open(t, eventlog.Config{})
	send(t, l, "clicks", `{"id": 1}`)
	send(t, l, "clicks", `[{"id": 2}, {"id": 3}, 7]`)
	send(t, l, "users", `{"id": 4}`)
	send(t, l, "clicks", "{\"id\": 5}\n{\"id\": 6}\n")
	send(t, l, "clicks", `{"id": `)
	send(t, l, "clicks", ``)
	stop := inbox(t, l, take)
	drained(t, l)
	send(t, l, "clicks", `{"id": 7}`)
	send(t, l, "clicks", `}`)
	drained(t, l)
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Inbox = %v, want %v", err, context.Canceled)
	}
	entries := read(t, l, 1, last(t, l))
	got := ids(entries)
	slices.Sort(got)
	if want := []int64{1, 2, 3, 4, 5, 6, 7}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	letters, err := l.Letters(within(t), eventlog.LetterQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var raws []string
	for _, x := range letters {
		raws = append(raws, string(x.Raw))
	}
	if want := []string{"7", `{"id": `, `}`}; !slices.Equal(raws, want) {
		t.Errorf("refused %q, want %q", raws, want)
	}
}

func TestInboxHandlerFails(t *testing.T) {
	l := open(t, eventlog.Config{})
	send(t, l, "clicks", `{"id": 1}`)
	mine := errors.New("mine")
	err := l.Inbox(within(t), func(context.Context, string, [][]byte) (eventlog.InboxResult, error) {
		return eventlog.InboxResult{}, mine
	})
	if !errors.Is(err, mine) {
		t.Errorf("Inbox = %v, want the handler's error", err)
	}
	stop := inbox(t, l, take)
	drained(t, l)
	_ = stop()
	if got := ids(read(t, l, 1, last(t, l))); !slices.Equal(got, []int64{1}) {
		t.Errorf("ids %v, want [1]", got)
	}
}

// TestInboxOnce stops and starts several readers of the inbox at any moment while producers publish, among other
// publishers: every row is in the log once, those of one source in order.
func TestInboxOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, eventlog.Config{Dir: dir})
	const n = 400
	var sent atomic.Int64
	produced := make(chan error, 1)
	go func() {
		for i := range n {
			if _, err := l.JetStream().Publish(context.Background(), fmt.Sprintf("lockstep.in.s%d", i%2), fmt.Appendf(nil, `[{"id": %d}, {"bad": %d}]`, i, i)); err != nil {
				produced <- err
				return
			}
			sent.Add(1)
		}
		produced <- nil
	}()
	for round := range 8 {
		stopA, stopB := inbox(t, l, take), inbox(t, l, take)
		eventually(t, "some are sent", func() bool { return sent.Load() >= int64(round*n/10) })
		publish(t, l, rowsOf(&feature.Source{Name: "s0", Columns: clicks.Columns}, 1_000_000+round, 1))
		_, _ = stopA(), stopB()
	}
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	l = open(t, eventlog.Config{Dir: dir})
	stop := inbox(t, l, take)
	drained(t, l)
	_ = stop()
	seen := map[int64]bool{}
	lastOf := map[string]int64{"s0": -1, "s1": -1}
	for _, e := range read(t, l, 1, last(t, l)) {
		for _, id := range e.Batch.Column("id").Ints {
			if id >= 1_000_000 {
				continue
			}
			if seen[id] {
				t.Fatalf("row %d is in the log twice", id)
			}
			if seen[id] = true; id < lastOf[e.Batch.Source] {
				t.Fatalf("row %d of %s is behind %d", id, e.Batch.Source, lastOf[e.Batch.Source])
			}
			lastOf[e.Batch.Source] = id
		}
	}
	if len(seen) != n {
		t.Errorf("%d rows are in the log, want %d", len(seen), n)
	}
	s, err := l.Stats(within(t))
	if err != nil || s.Dead["s0"]+s.Dead["s1"] != n {
		t.Errorf("%v refused rows, %v, want %d", s.Dead, err, n)
	}
}

// TestInboxCrashes lets the process that handles the inbox lose its place after the rows are in the log, and
// before: the log itself knows what it has.
func TestInboxCrashes(t *testing.T) {
	dir := t.TempDir()
	l := open(t, eventlog.Config{Dir: dir})
	for i := range 10 {
		send(t, l, "clicks", fmt.Sprintf(`{"id": %d}`, i))
	}
	ctx, cancel := context.WithCancel(within(t))
	err := l.Inbox(ctx, func(ctx context.Context, source string, rows [][]byte) (eventlog.InboxResult, error) {
		r, err := take(ctx, source, rows)
		cancel() // ends within the publish that follows, or before
		return r, err
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	_ = l.Close()
	l = open(t, eventlog.Config{Dir: dir})
	stop := inbox(t, l, take)
	drained(t, l)
	_ = stop()
	if got := ids(read(t, l, 1, last(t, l))); !slices.Equal(got, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("ids %v, want 0 to 9", got)
	}
}

// TestInboxWaitsForLog fills the log: rows wait in the inbox until there is room.
func TestInboxWaitsForLog(t *testing.T) {
	l := open(t, eventlog.Config{MaxBytes: 128 << 10})
	for _, n := range []int{100, 1} {
		var err error
		for err == nil {
			_, err = l.Publish(within(t), rows(0, n))
		}
	}
	stop := inbox(t, l, take)
	send(t, l, "clicks", `{"id": 77}`)
	for i := range 20 {
		send(t, l, "clicks", fmt.Sprintf(`{"no": %d}`, i))
	}
	eventually(t, "the rest is refused", func() bool {
		s, err := l.Stats(within(t))
		return err == nil && s.Inbox >= 1
	})
	end := last(t, l)
	if err := l.Trim(within(t), end+1); err != nil {
		t.Fatal(err)
	}
	drained(t, l)
	_ = stop()
	if got := ids(read(t, l, end+1, last(t, l))); !slices.Equal(got, []int64{77}) {
		t.Errorf("ids %v, want [77]", got)
	}
}
