package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

func TestPublishAndTail(t *testing.T) {
	l := open(t, eventlog.Config{})
	before := feature.Time(time.Now().UnixMicro())
	if seq := publish(t, l, rows(0, 3)); seq != 1 {
		t.Errorf("first Publish = %d, want 1", seq)
	}
	if seq := publish(t, l); seq != 0 {
		t.Errorf("Publish without rows = %d, want 0", seq)
	}
	rec, err := l.PublishRecord(within(t), eventlog.Record{Kind: eventlog.RecordImport, Source: "clicks", Generation: 4})
	if err != nil || rec != 2 {
		t.Errorf("PublishRecord = %d, %v, want 2", rec, err)
	}
	users := &feature.Source{Name: "users", Columns: clicks.Columns}
	if seq := publish(t, l, rows(3, 2), rowsOf(users, 10, 1)); seq != 4 {
		t.Errorf("Publish of two sources = %d, want 4", seq)
	}
	got := read(t, l, 0, 4)
	if want := []int64{0, 1, 2, 3, 4, 10}; !slices.Equal(ids(got), want) {
		t.Errorf("ids %v, want %v", ids(got), want)
	}
	for i, e := range got {
		if e.Seq != uint64(i+1) || e.Taken < before || (e.Batch == nil) == (e.Record == nil) {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	if r := got[1].Record; r == nil || r.Kind != eventlog.RecordImport || r.Source != "clicks" || r.Generation != 4 {
		t.Errorf("record %+v", r)
	}
	if got[3].Batch.Source != "users" {
		t.Errorf("source %s, want users", got[3].Batch.Source)
	}
	if lag, err := l.Lag(within(t), 1); lag != 3 || err != nil {
		t.Errorf("Lag(1) = %d, %v, want 3", lag, err)
	}
	if err := l.Healthy(within(t)); err != nil {
		t.Errorf("Healthy: %v", err)
	}
}

func TestRecordOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, eventlog.Config{Dir: dir})
	r := eventlog.Record{Kind: eventlog.RecordImport, Source: "clicks", Generation: 1}
	for _, want := range []uint64{1, 1} {
		if seq, err := l.PublishRecord(within(t), r); seq != want || err != nil {
			t.Errorf("PublishRecord = %d, %v, want %d", seq, err, want)
		}
	}
	_ = l.Close()
	l = open(t, eventlog.Config{Dir: dir})
	if seq, err := l.PublishRecord(within(t), r); seq != 1 || err != nil {
		t.Errorf("PublishRecord after restart = %d, %v, want 1", seq, err)
	}
	r.Generation = 2
	if seq, err := l.PublishRecord(within(t), r); seq != 2 || err != nil {
		t.Errorf("PublishRecord of another = %d, %v, want 2", seq, err)
	}
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	l := open(t, eventlog.Config{Dir: dir})
	id := l.ID()
	publish(t, l, rows(0, 1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := l.Publish(within(t), rows(0, 1)); !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("Publish after Close: %v, want %s", err, feature.CodeUnavailable)
	}
	l = open(t, eventlog.Config{Dir: dir, MaxBytes: 1 << 30})
	if l.ID() != id || id == "" {
		t.Errorf("ID after restart = %q, want %q", l.ID(), id)
	}
	if got := ids(read(t, l, 1, 1)); !slices.Equal(got, []int64{0}) {
		t.Errorf("ids after restart %v, want [0]", got)
	}
	if other := open(t, eventlog.Config{}); other.ID() == id {
		t.Errorf("two logs with ID %s", id)
	}
}

func TestOneProcessADir(t *testing.T) {
	dir := t.TempDir()
	open(t, eventlog.Config{Dir: dir})
	_, err := eventlog.Open(within(t), eventlog.Config{Dir: dir})
	if !errors.Is(err, feature.ErrConflict) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open: %v, want %s that names the folder", err, feature.CodeConflict)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, cfg := range []eventlog.Config{
		{},
		{Dir: "x", Durability: "sometimes"},
		{Dir: "x", Listen: "0.0.0.0:4222"},
		{Dir: "x", Listen: "nonsense"},
		{URL: "nats://127.0.0.1:4222", Listen: "127.0.0.1:0"},
		{Dir: "x", Patience: time.Hour},
	} {
		if _, err := eventlog.Open(within(t), cfg); !errors.Is(err, feature.ErrInvalid) {
			t.Errorf("Open(%+v): %v, want %s", cfg, err, feature.CodeInvalid)
		}
	}
}

func TestPublishErrors(t *testing.T) {
	l := open(t, eventlog.Config{})
	bad := rows(0, 1)
	bad.Source = "a.b"
	if _, err := l.Publish(within(t), bad); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("Publish of source a.b: %v, want %s", err, feature.CodeInvalid)
	}
	short := rows(0, 2)
	short.Columns[1].Strs = short.Columns[1].Strs[:1]
	if _, err := l.Publish(within(t), short); feature.CodeOf(err) != feature.CodeInternal {
		t.Errorf("Publish of a short column: %v, want %s", err, feature.CodeInternal)
	}
	big := feature.NewBatch(clicks)
	big.Append([]feature.Value{feature.Int64Value(1), feature.StringValue(strings.Repeat("x", 9<<20)), {}})
	if _, err := l.Publish(within(t), rows(0, 10), big); !errors.Is(err, feature.ErrTooLarge) {
		t.Errorf("Publish of a row of 9 MB: %v, want %s", err, feature.CodeTooLarge)
	}
	wide := feature.NewBatch(clicks)
	for range 100 {
		wide.Append([]feature.Value{feature.Int64Value(1), feature.StringValue(strings.Repeat("x", 1<<20)), {}})
	}
	if _, err := l.Publish(within(t), wide); !errors.Is(err, feature.ErrTooLarge) || !strings.Contains(err.Error(), "67108864") {
		t.Errorf("Publish of 100 MB: %v, want %s that names the limit", err, feature.CodeTooLarge)
	}
	var many []*feature.Batch
	for i := range 1001 {
		many = append(many, rowsOf(&feature.Source{Name: fmt.Sprintf("s%d", i), Columns: clicks.Columns}, 0, 1))
	}
	if _, err := l.Publish(within(t), many...); !errors.Is(err, feature.ErrTooLarge) || !strings.Contains(err.Error(), "1000") {
		t.Errorf("Publish of 1001 sources: %v, want %s that names the limit", err, feature.CodeTooLarge)
	}
	if n := last(t, l); n != 0 {
		t.Errorf("the log has %d messages, want none", n)
	}
	if seq := publish(t, l, many[:1000]...); seq != 1000 {
		t.Errorf("Publish of 1000 sources = %d, want 1000", seq)
	}
}

// TestLargePublish publishes more than one message holds: an atomic batch.
func TestLargePublish(t *testing.T) {
	l := open(t, eventlog.Config{})
	const n = 100_000
	seq := publish(t, l, rows(0, n))
	entries := read(t, l, 1, seq)
	if len(entries) < 2 {
		t.Errorf("%d rows in %d messages, want several", n, len(entries))
	}
	got := ids(entries)
	for i := range got {
		if got[i] != int64(i) {
			t.Fatalf("row %d has id %d", i, got[i])
		}
	}
	if len(got) != n || seq != last(t, l) {
		t.Errorf("%d rows up to %d, want %d up to %d", len(got), seq, n, last(t, l))
	}
	one := feature.NewBatch(clicks) // a row far over the size of a group, between small ones
	one.AppendBatch(rows(0, 2))
	one.Append([]feature.Value{feature.Int64Value(2), feature.StringValue(strings.Repeat("x", 3<<20)), {}})
	one.AppendBatch(rows(3, 2))
	from := seq + 1
	if got := ids(read(t, l, from, publish(t, l, one))); !slices.Equal(got, []int64{0, 1, 2, 3, 4}) {
		t.Errorf("ids %v, want 0 to 4", got)
	}
}

func TestSchemasDoNotMix(t *testing.T) {
	l := open(t, eventlog.Config{})
	other := &feature.Source{Name: "clicks", Columns: clicks.Columns[:1]}
	b := feature.NewBatch(other)
	b.Append([]feature.Value{feature.Int64Value(7)})
	seq := publish(t, l, rows(0, 1), b, rows(1, 1))
	got := read(t, l, 1, seq)
	if len(got) != 3 || len(got[1].Batch.Fields) != 1 || !slices.Equal(ids(got), []int64{0, 7, 1}) {
		t.Errorf("%d entries with ids %v", len(got), ids(got))
	}
}

func TestBackPressure(t *testing.T) {
	l := open(t, eventlog.Config{MaxBytes: 256 << 10})
	var err error
	taken := 0
	for err == nil {
		if _, err = l.Publish(within(t), rows(taken, 100)); err == nil {
			taken += 100
		}
	}
	if !errors.Is(err, feature.ErrOverloaded) || taken == 0 {
		t.Fatalf("Publish into a full log after %d rows: %v, want %s", taken, err, feature.CodeOverloaded)
	}
	if _, err := l.Publish(within(t), rows(taken, 20_000)); !errors.Is(err, feature.ErrOverloaded) {
		t.Errorf("batch into a full log: %v, want %s", err, feature.CodeOverloaded)
	}
	if got := ids(read(t, l, 1, last(t, l))); len(got) != taken {
		t.Errorf("%d rows are there, %d were acknowledged", len(got), taken)
	}
	if err := l.Trim(within(t), last(t, l)); err != nil {
		t.Fatal(err)
	}
	publish(t, l, rows(taken, 100))
}

func TestQueueIsBounded(t *testing.T) {
	l := open(t, eventlog.Config{QueueBytes: 1})
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 20)
	for i := range cap(done) {
		go func() {
			_, err := l.Publish(ctx, rows(i, 1))
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	cancel()
	if _, err := l.Publish(ctx, rows(0, 1)); err == nil {
		t.Error("Publish with an ended context succeeded")
	}
}

// TestCancelledCallers cancels half of the callers at any moment: the others' rows are there once, a cancelled
// one's all or none.
func TestCancelledCallers(t *testing.T) {
	l := open(t, eventlog.Config{})
	const callers, each = 60, 5
	errs := make(chan error, callers)
	for c := range callers {
		ctx, cancel := context.WithCancel(within(t))
		t.Cleanup(cancel)
		if c%2 == 1 {
			time.AfterFunc(time.Duration(c)*20*time.Microsecond, cancel)
		}
		go func() {
			_, err := l.Publish(ctx, rows(c*each, each))
			if c%2 == 0 {
				errs <- err
			} else {
				errs <- nil
			}
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	publish(t, l, rows(callers*each, 1))
	count := map[int64]int{}
	for _, id := range ids(read(t, l, 1, last(t, l))) {
		count[id]++
	}
	for c := range callers {
		n := 0
		for i := range each {
			if count[int64(c*each+i)] > 1 {
				t.Errorf("row %d is there %d times", c*each+i, count[int64(c*each+i)])
			}
			n += count[int64(c*each+i)]
		}
		if n != each && (n != 0 || c%2 == 0) {
			t.Errorf("caller %d has %d rows of %d", c, n, each)
		}
	}
}

func TestConcurrentPublishers(t *testing.T) {
	l := open(t, eventlog.Config{})
	const callers, calls = 50, 20
	type ack struct {
		seq   uint64
		first int
		n     int
	}
	acks := make(chan ack, callers*calls)
	errs := make(chan error, callers)
	for c := range callers {
		go func() {
			for k := range calls {
				a := ack{first: (c*calls + k) * 1000, n: 1 + (c+k)%7}
				if k == 5 {
					a.n = 900
				}
				var err error
				if a.seq, err = l.Publish(context.Background(), rows(a.first, a.n)); err != nil {
					errs <- err
					return
				}
				acks <- a
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	close(acks)
	at := map[int64]uint64{}
	for _, e := range read(t, l, 1, last(t, l)) {
		for _, id := range e.Batch.Column("id").Ints {
			if at[id] != 0 {
				t.Fatalf("row %d is at %d and at %d", id, at[id], e.Seq)
			}
			at[id] = e.Seq
		}
	}
	rows := 0
	for a := range acks {
		for i := range a.n {
			rows++
			if s := at[int64(a.first+i)]; s == 0 || s > a.seq {
				t.Fatalf("row %d is at %d, acknowledged up to %d", a.first+i, s, a.seq)
			}
		}
		if s := at[int64(a.first+a.n-1)]; s != a.seq {
			t.Errorf("the last row of a call is at %d, Publish returned %d", s, a.seq)
		}
	}
	if rows != len(at) {
		t.Errorf("%d rows in the log, %d published", len(at), rows)
	}
	t.Logf("%d calls in %d messages", callers*calls, last(t, l))
}
