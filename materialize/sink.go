package materialize

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// Log is the part of the event log that the movers read.
type Log interface {
	ID() string
	Tail(ctx context.Context, from uint64, fn func(eventlog.Entry) error) error
	Bounds(ctx context.Context) (first, last uint64, err error)
}

// History is the offline store as the sink writes it.
type History interface {
	// Recover returns the watermark, and the last sequence of a batch that was begun and not finished (0: none).
	// The next Append must then carry exactly the entries from the watermark to that sequence.
	Recover(ctx context.Context) (watermark feature.Cut, open uint64, err error)
	// Append adds entries to the history exactly once and advances the watermark to the last of them.
	Append(ctx context.Context, log string, entries []eventlog.Entry) error
}

// SinkConfig configures a Sink. Log and History are needed.
type SinkConfig struct {
	Log     Log
	History History
	Logger  *slog.Logger
	Rows    int           // rows after which a batch is written; default 200,000
	Wait    time.Duration // longest wait of a row for company; default 200 ms
}

// Sink writes the log into the offline store, every entry exactly once (decision 4 of docs/architecture.md).
type Sink struct {
	Covered
	cfg SinkConfig
}

// NewSink returns a sink that Run drives.
func NewSink(cfg SinkConfig) *Sink {
	if cfg.Rows == 0 {
		cfg.Rows = 200_000
	}
	if cfg.Wait == 0 {
		cfg.Wait = 200 * time.Millisecond
	}
	return &Sink{cfg: cfg}
}

// Run copies the log until ctx ends. A store that cannot be reached is tried again: meanwhile the log holds
// the rows and Failure says why. It returns nil when ctx ended, else an error that trying again cannot mend.
func (s *Sink) Run(ctx context.Context) error {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = 100*time.Millisecond, 5*time.Second
	for {
		before := s.Watermark()
		err := s.copyLog(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if code := feature.CodeOf(err); code == feature.CodeConflict || errors.Is(err, eventlog.ErrTruncated) {
			return err
		}
		s.fail(err)
		if s.Watermark() != before {
			retry.Reset()
		}
		wait := retry.NextBackOff()
		s.cfg.Logger.Warn("the sink stopped and will try again", slog.Any("error", err), slog.Duration("wait", wait))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// copyLog copies from the watermark on until ctx ends or a store fails.
func (s *Sink) copyLog(ctx context.Context) error {
	cut, open, err := s.cfg.History.Recover(ctx)
	if err != nil {
		return err
	}
	if cut.Log != "" && cut.Seq > 0 && cut.Log != s.cfg.Log.ID() {
		return feature.Errorf(feature.CodeConflict, "ClickHouse holds the history of log %s, but this log is %s: give the new log a database of its own", cut.Log, s.cfg.Log.ID())
	}
	s.advance(feature.Cut{Log: s.cfg.Log.ID(), Seq: cut.Seq})
	group, ctx := errgroup.WithContext(ctx)
	entries := make(chan eventlog.Entry, 64) // what the log sends ahead while a batch is written
	group.Go(func() error {
		return s.cfg.Log.Tail(ctx, cut.Seq+1, func(e eventlog.Entry) error {
			select {
			case entries <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	group.Go(func() error { return s.write(ctx, entries, open) })
	return group.Wait()
}

// write gathers entries into batches. A batch that was open when the last run ended is gathered again with the
// same bounds, whatever its size.
func (s *Sink) write(ctx context.Context, entries <-chan eventlog.Entry, open uint64) error {
	var batch []eventlog.Entry
	rows := 0
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		full := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-entries:
			if len(batch) == 0 && open == 0 {
				timer.Reset(s.cfg.Wait)
			}
			batch = append(batch, e)
			if e.Batch != nil {
				rows += e.Batch.Rows
			}
			full = rows >= s.cfg.Rows || e.Batch == nil
			if open > 0 {
				full = e.Seq >= open
			}
		case <-timer.C:
			full = open == 0
		}
		if !full || len(batch) == 0 {
			continue
		}
		if err := s.cfg.History.Append(ctx, s.cfg.Log.ID(), batch); err != nil {
			return err
		}
		s.advance(feature.Cut{Log: s.cfg.Log.ID(), Seq: batch[len(batch)-1].Seq})
		batch, rows, open = nil, 0, 0
	}
}
