package board

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// Hold calls do while this process alone holds the task, in all processes of the deployment; where another one holds it, it
// returns a CodeConflict error. The context of do ends when the task may no longer be held, because NATS could not be told
// in time that it is. A process that was stopped for long may go on for a moment with a task that another one has taken: what
// do does at its end must bear that.
func (b *Board) Hold(ctx context.Context, task string, do func(ctx context.Context) error) error {
	key := "task." + task
	revision, err := b.alive.Create(ctx, key, []byte(b.name))
	if errors.Is(err, jetstream.ErrKeyExists) {
		return feature.Errorf(feature.CodeConflict, "%s is under way already", task)
	}
	if err != nil {
		return unavailable("claim "+task, err)
	}
	held, lost := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(kept)
		b.keep(held, &revision, keeping{key: key, done: done, lost: lost})
	}()
	err = do(held)
	close(done)
	<-kept
	if cause := context.Cause(held); cause != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	lost(nil)
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = b.alive.Delete(leaving, key, jetstream.LastRevision(revision)) // else it is forgotten
	return err
}

type keeping struct {
	key  string
	done <-chan struct{}
	lost context.CancelCauseFunc
}

// keep says again and again that the task is held, until done.
func (b *Board) keep(ctx context.Context, revision *uint64, k keeping) {
	tick := time.NewTicker(b.forgotten / 5)
	defer tick.Stop()
	said := time.Now()
	for {
		select {
		case <-k.done:
			return
		case <-tick.C:
		}
		trying, cancel := context.WithTimeout(ctx, b.forgotten/5)
		next, err := b.alive.Update(trying, k.key, []byte(b.name), *revision)
		cancel()
		switch {
		case err == nil:
			*revision, said = next, time.Now()
		case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch), time.Since(said) > b.forgotten/2:
			b.logger.Warn("a task is held no longer", slog.String("task", k.key), slog.Any("error", err))
			k.lost(feature.Errorf(feature.CodeUnavailable, "%s is held no longer: %w", k.key, err))
			<-k.done
			return
		}
	}
}
