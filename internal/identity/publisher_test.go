package identity_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func payments() *feature.Source {
	return &feature.Source{
		Name: "payments", Version: 1, EventTime: "at", ID: []string{"id"}, Dedup: feature.Minute,
		Columns: []feature.Field{{Name: "id", Type: feature.Int64}, {Name: "at", Type: feature.Timestamp}, {Name: "amount", Type: feature.Float64}},
	}
}

const noon feature.Time = 1704110400_000000

// batch returns a row for each id, all at noon, with the amount.
func batch(amount float64, ids ...int) *feature.Batch {
	b := feature.NewBatch(payments())
	for _, id := range ids {
		b.Append([]feature.Value{feature.Int64Value(int64(id)), feature.TimestampValue(noon), feature.Float64Value(amount)})
	}
	return b
}

// history is an offline store that is level with a log and holds what the test put into it.
type history struct {
	log *eventlog.Log

	mu       sync.Mutex
	covered  uint64
	imported map[uint64]*feature.Batch // by generation
}

func (h *history) Arrivals(_ context.Context, _ *feature.Source, cut feature.Cut, generation uint64) iter.Seq2[*feature.Arrivals, error] {
	return func(yield func(*feature.Arrivals, error) bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for g, b := range h.imported {
			if g != generation && generation != 0 {
				continue
			}
			out := &feature.Arrivals{IDs: b.Columns[:1], Sums: make([]uint64, b.Rows)}
			for i := range b.Rows {
				out.Times = append(out.Times, feature.Time(b.Columns[1].Ints[i]))
				out.Places = append(out.Places, feature.Place{Seq: cut.Seq, Row: uint64(i)})
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

func (h *history) Copies(context.Context, string, uint64) (int64, int64, error) { return 3, 1, nil }

func (h *history) Wait(ctx context.Context, seq uint64) error {
	_, last, err := h.log.Bounds(ctx)
	if err == nil && seq > last {
		err = errors.New("beyond the log")
	}
	h.mu.Lock()
	h.covered = max(h.covered, seq)
	h.mu.Unlock()
	return err
}

func (h *history) Watermark() feature.Cut {
	h.mu.Lock()
	defer h.mu.Unlock()
	return feature.Cut{Log: h.log.ID(), Seq: h.covered}
}

// world is a log with its history.
type world struct {
	t       testing.TB
	log     *eventlog.Log
	history *history
}

func newWorld(t testing.TB) *world {
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), Durability: eventlog.OS})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return &world{t, log, &history{log: log, imported: map[uint64]*feature.Batch{}}}
}

// publisher runs a publisher with an index in dir until the test ends or stop is called.
func (w *world) publisher(dir string) (p *identity.Publisher, x *identity.Index, stop func()) {
	x, err := identity.Open(identity.Config{Dir: dir})
	if err != nil {
		w.t.Fatal(err)
	}
	p = identity.NewPublisher(identity.PublisherConfig{
		Index: x, Log: w.log, Past: w.history, Logger: slog.New(slog.DiscardHandler),
		Catalog: func() *feature.Catalog { return &feature.Catalog{Sources: []*feature.Source{payments()}} },
		Changed: func() <-chan struct{} { return nil },
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-ended, x.Close()); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return p, x, stop
}

func (w *world) publish(p *identity.Publisher, b *feature.Batch) identity.Receipt {
	w.t.Helper()
	return w.publishAs(p, payments(), b)
}

func (w *world) publishAs(p *identity.Publisher, src *feature.Source, b *feature.Batch) identity.Receipt {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	r, err := p.Publish(ctx, src, b)
	if err != nil {
		w.t.Fatalf("Publish: %v", err)
	}
	return r
}

// ids returns how often the log has each id.
func (w *world) ids() map[int64]int {
	w.t.Helper()
	_, last, err := w.log.Bounds(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	ids := map[int64]int{}
	end := errors.New("the end")
	err = w.log.Tail(w.t.Context(), 1, func(e eventlog.Entry) error {
		if e.Batch != nil {
			for _, id := range e.Batch.Column("id").Ints {
				ids[id]++
			}
		}
		if e.Seq == last {
			return end
		}
		return nil
	})
	if !errors.Is(err, end) {
		w.t.Fatalf("Tail = %v", err)
	}
	return ids
}

func TestPublishOnce(t *testing.T) {
	w := newWorld(t)
	p, x, _ := w.publisher("")
	first := w.publish(p, batch(1, 1, 2, 1))
	if first.Taken != 2 || len(first.Copies) != 1 || first.Copies[0] != (feature.Copy{Row: 2, Of: feature.Place{Seq: first.Seq}}) {
		t.Errorf("Publish = %+v, want 2 taken and row 2 a copy of row 0", first)
	}
	again := w.publish(p, batch(1, 2))
	if again.Taken != 0 || again.Seq != first.Seq || len(again.Copies) != 1 || again.Copies[0].Conflict || again.Copies[0].Of.Row != 1 {
		t.Errorf("Publish = %+v, want a copy of row 1 at %d", again, first.Seq)
	}
	other := w.publish(p, batch(2, 2, 3))
	if other.Taken != 1 || len(other.Copies) != 1 || !other.Copies[0].Conflict {
		t.Errorf("Publish = %+v, want a conflict", other)
	}
	if got, want := x.Counts()["payments"], (identity.Counts{Duplicates: 3, Conflicts: 1}); got != want {
		t.Errorf("Counts = %+v, want %+v", got, want)
	}
}

// Several processes take the same ids at the same time: each id is in the log once, and somebody else's are copies.
func TestPublishersAgree(t *testing.T) {
	w := newWorld(t)
	const ids, publishers = 300, 3
	taken, copies := 0, 0
	var mu sync.Mutex
	var group errgroup.Group
	for range publishers {
		p, _, _ := w.publisher("")
		for callers := range 4 {
			group.Go(func() error {
				for i := callers; i < ids; i += 2 { // two callers of each have the same ids
					r, err := p.Publish(t.Context(), payments(), batch(1, i, i/2))
					if err != nil {
						return err
					}
					mu.Lock()
					taken, copies = taken+r.Taken, copies+len(r.Copies)
					mu.Unlock()
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	got := w.ids()
	for id, n := range got {
		if n != 1 {
			t.Errorf("id %d is in the log %d times", id, n)
		}
	}
	if len(got) != ids || taken != ids {
		t.Errorf("the log has %d ids, %d were taken, want %d", len(got), taken, ids)
	}
	if want := publishers * (ids - 1) * 4; taken+copies != want {
		t.Errorf("%d rows were taken or copies, want %d", taken+copies, want)
	}
}

func TestReopen(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	p, _, stop := w.publisher(dir)
	w.publish(p, batch(1, 1))
	stop()
	other, _, _ := w.publisher("") // publishes while the first is away
	w.publish(other, batch(1, 2))
	p, x, _ := w.publisher(dir)
	if r := w.publish(p, batch(1, 1, 2, 3)); r.Taken != 1 || r.Copies[1].Of.Seq == 0 {
		t.Errorf("Publish = %+v, want one taken", r)
	}
	if got := x.Counts()["payments"].Duplicates; got != 2 {
		t.Errorf("%d duplicates, want 2", got)
	}
}

// What was imported is known as soon as its record is in the log.
func TestImported(t *testing.T) {
	w := newWorld(t)
	p, x, _ := w.publisher("")
	w.publish(p, batch(1, 1))
	w.history.mu.Lock()
	w.history.imported[7] = batch(5, 10, 11)
	w.history.mu.Unlock()
	seq, err := w.log.PublishRecord(t.Context(), eventlog.Record{Kind: eventlog.RecordImport, Source: "payments", Generation: 7, Barrier: true})
	if err != nil {
		t.Fatal(err)
	}
	r := w.publish(p, batch(1, 11, 12))
	if want := (feature.Copy{Row: 0, Of: feature.Place{Seq: seq, Row: 1}, Conflict: true}); r.Taken != 1 || len(r.Copies) != 1 || r.Copies[0] != want {
		t.Errorf("Publish = %+v, want %+v", r, want)
	}
	if got, want := x.Counts()["payments"], (identity.Counts{Duplicates: 4, Conflicts: 2}); got != want {
		t.Errorf("Counts = %+v, want %+v", got, want)
	}
}

// An index that the log does not continue is made again from the history.
func TestTrimmed(t *testing.T) {
	w := newWorld(t)
	p, _, _ := w.publisher("")
	last := w.publish(p, batch(1, 1, 2)).Seq
	w.history.imported[0] = batch(1, 1, 2)
	if err := w.log.Trim(t.Context(), last+1); err != nil {
		t.Fatal(err)
	}
	fresh, _, _ := w.publisher("")
	if r := w.publish(fresh, batch(1, 1, 2, 3)); r.Taken != 1 {
		t.Errorf("Publish = %+v, want one taken", r)
	}
	if r := w.publish(p, batch(1, 3, 4)); r.Taken != 1 {
		t.Errorf("Publish = %+v, want one taken", r)
	}
}

func TestPublishWaitsNoLongerThanItsCaller(t *testing.T) {
	w := newWorld(t)
	x, err := identity.Open(identity.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	p := identity.NewPublisher(identity.PublisherConfig{Index: x, Log: w.log, Past: w.history}) // nobody runs it
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Publish(ctx, payments(), batch(1, 1)); feature.CodeOf(err) != feature.CodeUnavailable {
		t.Errorf("Publish = %v, want unavailable", err)
	}
}

// Reserve keeps others away until it is done.
func TestReserve(t *testing.T) {
	w := newWorld(t)
	p, _, _ := w.publisher("")
	r, err := p.Reserve(t.Context(), payments(), batch(1, 1, 2))
	if err != nil || r.Fresh.Rows != 2 {
		t.Fatalf("Reserve = %+v, %v", r, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Publish(ctx, payments(), batch(1, 2)); feature.CodeOf(err) != feature.CodeUnavailable {
		t.Fatalf("Publish = %v, want unavailable while the source is reserved", err)
	}
	parts, err := w.log.PublishNext(t.Context(), r.Fresh, r.After)
	if err := errors.Join(err, r.Done(parts, true)); err != nil {
		t.Fatal(err)
	}
	if got := w.publish(p, batch(1, 2)); got.Taken != 0 || fmt.Sprint(got.Copies[0].Of) != fmt.Sprintf("sequence %d, row 1", parts[0].Seq) {
		t.Errorf("Publish = %+v, want a copy of %v", got, parts)
	}
}
