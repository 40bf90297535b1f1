package board_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/board"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openLog opens a log, whose JetStream the boards of a test use.
func openLog(t *testing.T) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), Durability: eventlog.OS, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func openBoard(t *testing.T, log *eventlog.Log, forgotten time.Duration) *board.Board {
	t.Helper()
	b, err := board.OpenFor(t.Context(), log.JetStream(), slog.New(slog.DiscardHandler), forgotten)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replica is a replica that a test moves.
type replica struct {
	mu sync.Mutex
	at board.Replica
}

func (r *replica) now() board.Replica {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *replica) move(at board.Replica) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = at
}

func report(t *testing.T, b *board.Board, r *replica) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- b.Report(ctx, r.now) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Report = %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func at(seq, revision uint64, loading int) board.Replica {
	return board.Replica{Position: feature.Cut{Log: "l", Seq: seq}, Revision: revision, Loading: loading}
}

func TestWaitForReplicas(t *testing.T) {
	log := openLog(t)
	one, two := openBoard(t, log, time.Minute), openBoard(t, log, time.Minute)
	a, b := &replica{at: at(7, 3, 0)}, &replica{at: at(5, 3, 0)}
	report(t, one, a)
	stop := report(t, two, b)
	wait := func(want board.Replica, patience time.Duration) (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		there, err := one.Wait(ctx, want, func([]board.Replica) {})
		return len(there), err
	}
	eventually(t, "both are on the board", func() bool { all, err := one.Replicas(t.Context()); return err == nil && len(all) == 2 })
	if n, err := wait(at(5, 3, 0), time.Minute); err != nil || n != 2 {
		t.Fatalf("Wait(5) = %d, %v, want both", n, err)
	}
	for _, late := range []board.Replica{at(6, 3, 0), at(7, 2, 0), at(7, 3, 1), {Position: feature.Cut{Log: "other", Seq: 9}, Revision: 9}} {
		b.move(late)
		eventually(t, "the board says so", func() bool {
			all, err := one.Replicas(t.Context())
			for _, r := range all {
				r.Name = ""
				if err == nil && r == late {
					return true
				}
			}
			return false
		})
		if n, err := wait(at(7, 3, 0), 300*time.Millisecond); !errors.Is(err, feature.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait(7) with one at %+v = %d, %v, want a CodeUnavailable error at the deadline", late, n, err)
		}
	}
	b.move(at(8, 4, 0))
	if n, err := wait(at(7, 3, 0), time.Minute); err != nil || n != 2 {
		t.Errorf("Wait(7) = %d, %v, want both replicas", n, err)
	}
	stop() // it leaves the board at once
	a.move(at(9, 4, 0))
	if n, err := wait(at(9, 4, 0), time.Minute); err != nil || n != 1 {
		t.Errorf("Wait(9) = %d, %v, want the one that is left", n, err)
	}
}

// TestReplicasThatMove: a replica that tells where it is while others look is always there.
func TestReplicasThatMove(t *testing.T) {
	log := openLog(t)
	b := openBoard(t, log, time.Minute)
	stop := report(t, openBoard(t, log, time.Minute), &replica{at: at(1, 1, 0)})
	eventually(t, "it is on the board", func() bool { all, err := b.Replicas(t.Context()); return err == nil && len(all) == 1 })
	stop() // the bucket keeps that it is gone
	kv, err := log.JetStream().KeyValue(t.Context(), "LOCKSTEP_ALIVE")
	if err != nil {
		t.Fatal(err)
	}
	var moving sync.WaitGroup
	defer moving.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const replicas = 3
	for i := range replicas {
		move := func(n int) {
			if _, err := kv.Put(ctx, fmt.Sprintf("replica.%d", i), fmt.Appendf(nil, `{"name": "%d", "revision": %d}`, i, n)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
		move(1)
		moving.Go(func() {
			for n := 2; ctx.Err() == nil; n++ {
				move(n)
			}
		})
	}
	revisions := map[string]uint64{}
	for range 500 {
		all, err := b.Replicas(ctx)
		if err != nil || len(all) != replicas {
			t.Fatalf("Replicas = %+v, %v, want %d", all, err, replicas)
		}
		for _, r := range all {
			if r.Revision < revisions[r.Name] {
				t.Fatalf("replica %s at %d after %d", r.Name, r.Revision, revisions[r.Name])
			}
			revisions[r.Name] = r.Revision
		}
	}
}

func TestReplicaIsForgotten(t *testing.T) {
	log := openLog(t)
	b := openBoard(t, log, time.Second)
	gone := &replica{at: at(1, 1, 0)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Report(ctx, gone.now) }()
	there := func(n int) func() bool {
		return func() bool { all, err := b.Replicas(t.Context()); return err == nil && len(all) == n }
	}
	eventually(t, "it is there", there(1))
	for range 3 { // longer than it is remembered
		tick := time.NewTimer(500 * time.Millisecond)
		<-tick.C
		if !there(1)() {
			t.Fatal("a replica that goes on telling is forgotten")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Report = %v", err)
	}
	eventually(t, "it is gone", there(0))
}

func TestHold(t *testing.T) {
	log := openLog(t)
	one, two := openBoard(t, log, time.Second), openBoard(t, log, time.Second)
	err := one.Hold(t.Context(), "copy.a", func(ctx context.Context) error {
		err := two.Hold(ctx, "copy.a", func(context.Context) error { t.Error("both hold the task"); return nil })
		if !errors.Is(err, feature.ErrConflict) {
			t.Errorf("Hold of what is held = %v, want a CodeConflict error", err)
		}
		return two.Hold(ctx, "copy.b", func(ctx context.Context) error {
			timer := time.NewTimer(1500 * time.Millisecond) // it is held for longer than it would be remembered
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				t.Errorf("the task was lost: %v", context.Cause(ctx))
			}
			return two.Hold(ctx, "copy.a", func(context.Context) error { t.Error("both hold the task, later"); return nil })
		})
	})
	if !errors.Is(err, feature.ErrConflict) {
		t.Errorf("Hold = %v, want what the function returned", err)
	}
	held := false
	if err := two.Hold(t.Context(), "copy.a", func(context.Context) error { held = true; return nil }); err != nil || !held {
		t.Errorf("Hold of what was let go = %v, %t", err, held)
	}
}

// TestHoldIsLost: while NATS does not keep the claim, the work ends.
func TestHoldIsLost(t *testing.T) {
	log := openLog(t)
	b := openBoard(t, log, time.Second)
	err := b.Hold(t.Context(), "copy.a", func(ctx context.Context) error {
		kv, err := log.JetStream().KeyValue(ctx, "LOCKSTEP_ALIVE")
		if err != nil {
			return err
		}
		if _, err := kv.Put(ctx, "task.copy.a", []byte("somebody else")); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("Hold of what is lost = %v, want a CodeUnavailable error", err)
	}
}

func TestOutcomes(t *testing.T) {
	b := openBoard(t, openLog(t), time.Minute)
	good, bad := time.Unix(100, 0).UTC(), time.Unix(200, 0).UTC()
	tell := func(o board.Outcome) board.Outcome {
		t.Helper()
		if err := b.Tell(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		all, err := b.Outcomes(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("Outcomes = %+v, %v, want one", all, err)
		}
		return all[0]
	}
	if o := tell(board.Outcome{Source: "s", At: good, Copied: feature.Copied{Rows: 3, Examples: []feature.RefusedRow{{Raw: "{}"}}}}); !o.Good.Equal(good) || o.Copied.Rows != 3 || o.Copied.Examples != nil {
		t.Errorf("outcome = %+v, want a good one of 3 rows", o)
	}
	if o := tell(board.Outcome{Source: "s", At: bad, Error: "no"}); !o.Good.Equal(good) || !o.At.Equal(bad) || o.Error != "no" {
		t.Errorf("outcome = %+v, want a bad one after a good one", o)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: it did not come to that", what)
		}
	}
}
