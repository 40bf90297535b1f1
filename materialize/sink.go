package materialize

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

// SinkLog is the log as the sink uses it.
type SinkLog interface {
	Log
	Recorder
	// Before returns the identity that the log had until it lost its end, or "".
	Before() string
	// Refuse keeps letters.
	Refuse(ctx context.Context, letters ...eventlog.Letter) error
}

// History is the offline store as the sink writes it.
type History interface {
	// Recover returns the watermark, and the last sequence of a batch that was begun and not finished (0: none).
	// The next Append must then carry exactly the entries from the watermark to that sequence.
	Recover(ctx context.Context) (watermark feature.Cut, open uint64, err error)
	// Follow makes the history go on with another log behind a sequence; what is in of an unfinished batch goes out again.
	Follow(ctx context.Context, log string, after uint64) error
	// ErasedIDs returns the events that an erasure at seq takes out of a source with an id: those that are there, with
	// the columns of the id and the event time.
	ErasedIDs(ctx context.Context, e feature.Erasure, seq uint64) iter.Seq2[*feature.Batch, error]
	// Append adds entries to the history exactly once and advances the watermark to the last of them.
	Append(ctx context.Context, log string, entries []eventlog.Entry) error
}

// SinkConfig configures a Sink. Log, History and Logger are needed.
type SinkConfig struct {
	Log     SinkLog
	History History
	Logger  *slog.Logger
	Rows    int           // rows after which a batch is written; default 200,000
	Wait    time.Duration // longest wait of a row for company; default 200 ms
	Tries   int           // how often an entry that cannot be read is tried before it is passed over; default 5
}

// Sink writes the log into the offline store, every entry exactly once (decision 4 of docs/architecture.md).
type Sink struct {
	Covered
	cfg SinkConfig
	id  string // of the log

	damaged map[uint64]*damage // entries behind the watermark that could not be read; of the reader
}

// NewSink returns a sink that Run drives.
func NewSink(cfg SinkConfig) *Sink {
	if cfg.Rows == 0 {
		cfg.Rows = 200_000
	}
	if cfg.Wait == 0 {
		cfg.Wait = 200 * time.Millisecond
	}
	if cfg.Tries == 0 {
		cfg.Tries = 5
	}
	return &Sink{cfg: cfg, id: cfg.Log.ID(), damaged: map[uint64]*damage{}}
}

// Run copies the log until ctx ends. A store that cannot be reached is tried again: meanwhile the log holds the rows and
// Failure says why. What the log has lost before the store had it is passed over, with a letter that says so. Run returns
// nil when ctx ended, else an error that only a new start can mend: eventlog.ErrReplaced, or a CodeConflict error because
// the history follows a log that this one does not continue.
func (s *Sink) Run(ctx context.Context) error {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = 100*time.Millisecond, 5*time.Second
	for {
		before, found := s.Watermark(), s.believed()
		err := s.copyLog(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errForeign), errors.Is(err, eventlog.ErrReplaced):
			return err
		}
		s.fail(err)
		if s.Watermark() != before || s.believed() > found {
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

// copyLog copies from the watermark on until ctx ends, a store fails, or the log cannot be read.
func (s *Sink) copyLog(ctx context.Context) error {
	cut, open, err := s.recover(ctx)
	if err != nil {
		return err
	}
	s.advance(cut)
	group, ctx := errgroup.WithContext(ctx)
	entries := make(chan eventlog.Entry, 64) // what the log sends ahead while a batch is written
	r := &reader{sink: s, open: open, out: entries}
	group.Go(func() error { return r.read(ctx, cut.Seq+1) })
	group.Go(func() error { return s.write(ctx, entries, open) })
	return group.Wait()
}

// errForeign marks the error of a history that another log belongs to.
var errForeign = errors.New("the history is another log's")

// recover returns where to go on, and makes the history follow this log if it may: when the log has no other entry in the
// place of one that the history has.
func (s *Sink) recover(ctx context.Context) (feature.Cut, uint64, error) {
	cut, open, err := s.cfg.History.Recover(ctx)
	if err != nil || cut.Log == s.id {
		return cut, open, err
	}
	first, _, err := s.cfg.Log.Bounds(ctx)
	if err != nil {
		return cut, 0, err
	}
	after := cut.Seq
	switch {
	case cut.Log == "", cut.Log == s.cfg.Log.Before():
	case first <= cut.Seq:
		return cut, 0, feature.Errorf(feature.CodeConflict,
			"%w: ClickHouse holds log %s up to %d, and log %s has entries of its own from %d on: give it a database of its own, or the log that belongs to this one",
			errForeign, cut.Log, cut.Seq, s.id, first)
	default:
		after = first - 1 // it was made for this history, and nothing was before its first entry
	}
	if err := s.cfg.History.Follow(ctx, s.id, after); err != nil {
		return cut, 0, err
	}
	if cut.Log != "" {
		s.cfg.Logger.Warn("the history goes on with another log", slog.String("was", cut.Log), slog.String("is", s.id), slog.Uint64("after", after))
	}
	return feature.Cut{Log: s.id, Seq: after}, 0, nil
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
			if erases(e) && len(batch) > 0 && open == 0 { // it goes alone: what it erases must be in
				if err := s.append(ctx, batch); err != nil {
					return err
				}
				batch, rows = nil, 0
			}
			if len(batch) == 0 && open == 0 {
				timer.Reset(s.cfg.Wait)
			}
			batch = append(batch, e)
			if e.Batch != nil {
				rows += e.Batch.Rows
			}
			full = rows >= s.cfg.Rows || e.Record != nil // nobody waits for an empty row group
			if open > 0 {
				full = e.Seq >= open
			}
		case <-timer.C:
			full = open == 0
		}
		if !full || len(batch) == 0 {
			continue
		}
		if err := s.append(ctx, batch); err != nil {
			return err
		}
		batch, rows, open = nil, 0, 0
	}
}

func (s *Sink) append(ctx context.Context, batch []eventlog.Entry) error {
	for _, e := range batch {
		if erases(e) {
			if err := s.forget(ctx, e); err != nil {
				return err
			}
		}
	}
	if err := s.cfg.History.Append(ctx, s.id, batch); err != nil {
		return err
	}
	s.advance(feature.Cut{Log: s.id, Seq: batch[len(batch)-1].Seq})
	return nil
}

// forgetRows is how many events one record tells of: it must fit a message.
const forgetRows = 1000

func erases(e eventlog.Entry) bool { return e.Record != nil && e.Record.Kind == eventlog.RecordErase }

// forget tells the gates which events of sources with an id are about to be erased (rule E3): what comes with their ids
// later is no copy of them. It is told once, before they are gone, however often the sink comes to the record.
func (s *Sink) forget(ctx context.Context, e eventlog.Entry) error {
	for i, x := range e.Record.Erase {
		part := 0
		for b, err := range s.cfg.History.ErasedIDs(ctx, x.Erasure, e.Seq) {
			if err != nil {
				return err
			}
			for from := 0; from < b.Rows; from += forgetRows {
				record := eventlog.Record{
					ID: fmt.Sprintf("forget-%d-%d-%d", e.Seq, i, part), Kind: eventlog.RecordForget, Source: x.Source,
					Forget: &eventlog.Forgotten{Before: e.Seq, Events: b.Slice(from, min(from+forgetRows, b.Rows))},
				}
				if _, err := s.cfg.Log.PublishRecord(ctx, record); err != nil {
					return err
				}
				part++
			}
		}
	}
	return nil
}
