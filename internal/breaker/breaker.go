// Package breaker keeps callers from waiting for what is away: after some failures to reach it, calls fail at once, and
// a probe finds out when it is back.
package breaker

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// Config configures a Breaker; Name, Probe and Logger are needed.
type Config struct {
	Name     string                      // of what may be away, as people call it
	Probe    func(context.Context) error // asks it something that costs little
	Failures int                         // in a row, after which calls fail at once; default 3
	Pause    time.Duration               // from one probe to the next; default 2 s
	Patience time.Duration               // how long a probe waits for its answer; default 2 s
	Logger   *slog.Logger
}

// Breaker stands between callers and what may be away. Calls ask Allow and tell Note how they ended.
type Breaker struct {
	cfg     Config
	circuit *gobreaker.CircuitBreaker[struct{}]
	last    atomic.Pointer[error] // the last failure
}

// New returns a breaker that lets calls pass.
func New(cfg Config) *Breaker {
	cfg.Failures = cmp.Or(cfg.Failures, 3)
	cfg.Pause = cmp.Or(cfg.Pause, 2*time.Second)
	cfg.Patience = cmp.Or(cfg.Patience, 2*time.Second)
	b := &Breaker{cfg: cfg}
	b.circuit = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name: cfg.Name, Timeout: cfg.Pause,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= cfg.Failures },
		OnStateChange: b.changed,
	})
	return b
}

// changed is called under the circuit's lock.
func (b *Breaker) changed(name string, from, to gobreaker.State) {
	switch {
	case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
		b.cfg.Logger.Error("calls fail at once until it answers again", slog.String("to", name), slog.Any("error", *b.last.Load()))
	case to == gobreaker.StateClosed:
		b.cfg.Logger.Info("it answers again", slog.String("who", name))
	}
}

// Allow returns nil if a call may be made, else a CodeUnavailable error. Now and then it makes one caller wait for a
// probe.
func (b *Breaker) Allow(ctx context.Context) error {
	if b.circuit.State() == gobreaker.StateClosed {
		return nil
	}
	_, err := b.circuit.Execute(func() (struct{}, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.cfg.Patience) // it is for all callers
		defer cancel()
		err := b.cfg.Probe(ctx)
		b.note(err)
		return struct{}{}, err
	})
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "%s cannot be reached now, it is tried again every few seconds", b.cfg.Name)
	}
	return nil
}

// Note tells that a call reached what was called (nil), or that it did not. How else it ended does not matter here.
func (b *Breaker) Note(err error) {
	b.note(err)
	if b.circuit.State() == gobreaker.StateClosed {
		_, _ = b.circuit.Execute(func() (struct{}, error) { return struct{}{}, err })
	}
}

func (b *Breaker) note(err error) {
	if err != nil {
		b.last.Store(&err)
	}
}

// Failure returns why calls fail at once, or nil while they pass.
func (b *Breaker) Failure() error {
	if b.circuit.State() == gobreaker.StateClosed {
		return nil
	}
	return *b.last.Load()
}
