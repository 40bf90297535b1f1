package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
	"github.com/lockstepfs/lockstep/internal/identity"
)

// nothing is a history without events.
type nothing struct{ log *eventlog.Log }

func (nothing) Arrivals(context.Context, *feature.Source, feature.Cut, uint64) iter.Seq2[*feature.Arrivals, error] {
	return func(func(*feature.Arrivals, error) bool) {}
}
func (nothing) Copies(context.Context, string, uint64) (int64, int64, error) { return 0, 0, nil }
func (nothing) Wait(context.Context, uint64) error                           { return nil }
func (n nothing) Watermark() feature.Cut                                     { return feature.Cut{Log: n.log.ID()} }

// onceGate is a gate with a log for flights by their id.
func onceGate(t *testing.T) (*gate.Gate, *eventlog.Log) {
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), Durability: eventlog.OS})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := identity.Open(identity.Config{})
	if err != nil {
		t.Fatal(err)
	}
	src := flights()
	src.ID, src.Dedup = []string{"flight_id"}, feature.DefaultDedup
	all := func() *feature.Catalog { return &feature.Catalog{Sources: []*feature.Source{src, {Name: "a"}}} }
	p := identity.NewPublisher(identity.PublisherConfig{
		Index: ids, Log: log, Past: nothing{log}, Catalog: all, Changed: func() <-chan struct{} { return nil }, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, ids.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	return gate.New(gate.Config{Catalog: all, Log: log, Identity: p, Dead: log, Inbox: log, Again: log, Now: now}), log
}

const differs = `{"flight_id": 1, "known_at": "2001-06-25T12:00:00Z", "delay": 5}`

// letters waits for n letters and returns their reasons.
func letters(t *testing.T, log *eventlog.Log, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		found, err := log.Letters(ctx, eventlog.LetterQuery{})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) >= n {
			var reasons []string
			for _, x := range found {
				reasons = append(reasons, x.Reason+" "+string(x.Raw))
			}
			return reasons
		}
		<-tick.C
	}
}

func TestPushOnce(t *testing.T) {
	g, log := onceGate(t)
	first, err := g.Push(t.Context(), "flights", raw(good, good), gate.Atomic)
	if want := (gate.Result{Seq: 1, Accepted: 1, Duplicates: 1}); err != nil || !cmp.Equal(first, want) {
		t.Fatalf("Push = %+v, %v, want %+v", first, err, want)
	}
	again, err := g.Push(t.Context(), "flights", raw(`{}`, strings.Replace(good, "1", "2", 1), differs), gate.Partial)
	reason := "conflict: the event of this id, at sequence 1, row 0, differs"
	two := 2
	if want := []feature.Detail{{Row: &two, Message: reason}}; err != nil || again.Accepted != 1 || again.Duplicates != 1 || again.Conflicts != 1 || again.Rejected != 1 || !cmp.Equal(again.Differing, want) {
		t.Errorf("Push = %+v, %v, want %+v", again, err, want)
	}
	found := letters(t, log, 2)
	if !strings.HasSuffix(found[0], "; flight_id: it is part of the id, which says which event a row is: expected a value {}") || found[1] != reason+" "+differs {
		t.Errorf("letters = %q", found)
	}
}

func TestPushLinesOnce(t *testing.T) {
	g, log := onceGate(t)
	var lines strings.Builder
	for i := range 25_000 {
		fmt.Fprintf(&lines, `{"flight_id": %d, "known_at": "2001-06-25T12:00:00Z", "distance": %d}`+"\n", i/2, i%4/3)
	}
	got, err := g.PushLines(t.Context(), "flights", strings.NewReader(lines.String()), gate.Atomic)
	if err != nil || got.Accepted != 12_500 || got.Duplicates != 12_500 || got.Conflicts != 6250 || len(got.Differing) != 100 || got.Differing[0].Line != 4 {
		t.Fatalf("PushLines: %d accepted, %d duplicates, %d conflicts, %d details, %v", got.Accepted, got.Duplicates, got.Conflicts, len(got.Differing), err)
	}
	if found := letters(t, log, 1); !strings.Contains(found[0], `at sequence 1, row 1, differs {"flight_id": 1,`) {
		t.Errorf("letter = %s", found[0])
	}
}

func TestInboxOnce(t *testing.T) {
	g, log := onceGate(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	for _, m := range []string{good, "[" + good + "," + strings.Replace(good, "1", "2", 1) + "]", differs, good} {
		if _, err := log.JetStream().Publish(ctx, "lockstep.in.flights", []byte(m), jetstream.WithRetryAttempts(3)); err != nil {
			t.Fatal(err)
		}
	}
	found := letters(t, log, 1)
	pushed, err := g.Push(ctx, "flights", raw(good, strings.Replace(good, "1", "2", 1), strings.Replace(good, "1", "3", 1)), gate.Atomic)
	if err != nil || pushed.Accepted != 1 || pushed.Duplicates != 2 {
		t.Errorf("Push = %+v, %v, want one row accepted", pushed, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	if len(found) != 1 || !strings.HasPrefix(found[0], "conflict: ") || !strings.HasSuffix(found[0], differs) {
		t.Errorf("letters = %q, want one conflict", found)
	}
	flights := map[int64]int{}
	end := errors.New("the end")
	err = log.Tail(t.Context(), 1, func(e eventlog.Entry) error {
		if e.Batch != nil {
			for _, id := range e.Batch.Column("flight_id").Ints {
				flights[id]++
			}
		}
		if flights[3] > 0 {
			return end
		}
		return nil
	})
	if diff := cmp.Diff(map[int64]int{1: 1, 2: 1, 3: 1}, flights); !errors.Is(err, end) || diff != "" {
		t.Errorf("the log has (-want +got), %v:\n%s", err, diff)
	}
}

func TestReplayOnce(t *testing.T) {
	g, log := onceGate(t)
	if _, err := g.Push(t.Context(), "flights", raw(good), gate.Atomic); err != nil {
		t.Fatal(err)
	}
	two := strings.Replace(good, "1", "2", 1)
	for _, r := range []string{good, two, differs, two} {
		if err := log.Refuse(t.Context(), eventlog.Letter{Source: "flights", Reason: "old", Raw: json.RawMessage(r)}); err != nil {
			t.Fatal(err)
		}
	}
	each := func() iter.Seq2[eventlog.Letter, error] {
		found, err := log.Letters(t.Context(), eventlog.LetterQuery{})
		return func(yield func(eventlog.Letter, error) bool) {
			for _, x := range found {
				if !yield(x, err) {
					return
				}
			}
		}
	}
	dry, err := g.Replay(t.Context(), each(), true, nil)
	if err != nil || dry.Taken != 2 || dry.Known != 1 || dry.Refused != 1 {
		t.Errorf("Replay, dry = %+v, %v", dry, err)
	}
	got, err := g.Replay(t.Context(), each(), false, nil)
	if err != nil || got.Taken != 1 || got.Known != 2 || got.Refused != 1 {
		t.Errorf("Replay = %+v, %v", got, err)
	}
	if found := letters(t, log, 1); len(found) != 1 || !strings.HasPrefix(found[0], "conflict: ") {
		t.Errorf("letters = %q, want the conflict", found)
	}
}
