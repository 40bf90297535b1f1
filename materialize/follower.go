package materialize

import (
	"context"
	"log/slog"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Watermarks reads the watermark that a sink in another process keeps in ClickHouse.
type Watermarks interface {
	Watermark(ctx context.Context) (feature.Cut, error)
}

// Follower knows the watermark in a process that runs no sink.
type Follower struct {
	Covered
	from   Watermarks
	logger *slog.Logger
}

// NewFollower returns a follower that Run drives.
func NewFollower(from Watermarks, logger *slog.Logger) *Follower {
	return &Follower{from: from, logger: logger}
}

// Run reads the watermark five times a second until ctx ends; then it returns nil.
func (f *Follower) Run(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		cut, err := f.from.Watermark(ctx)
		switch {
		case err != nil:
			if f.Failure() == nil && ctx.Err() == nil {
				f.logger.Warn("the watermark of the offline store cannot be read", slog.Any("error", err))
			}
			f.fail(err)
		case cut != f.Watermark():
			f.advance(cut)
		default:
			f.fail(nil)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
