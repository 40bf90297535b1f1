package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Errors of Tail, for errors.Is.
var (
	// ErrTruncated says that the log no longer reaches back to the sequence asked for.
	ErrTruncated = errors.New("the log no longer reaches back to there")
	// ErrAhead says that the sequence asked for is past the end of the log: the reader knows another log, or
	// this one has lost its end.
	ErrAhead = errors.New("the log does not reach that far")
	// ErrCorrupt matches every CorruptError.
	ErrCorrupt = errors.New("the log is corrupt")
)

// CorruptError says that the log holds something at Seq that is not what was appended there, or nothing.
type CorruptError struct {
	Seq uint64
	Err error
}

// Error returns one line with the sequence and the reason.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("the log is corrupt at %d: %v", e.Seq, e.Err)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap returns the reason.
func (e *CorruptError) Unwrap() error { return e.Err }

const (
	readAhead     = 1024 // messages that are on their way to a reader
	readBytes     = 32 * mib
	pullExpiry    = 4 * time.Second
	pullHeartbeat = time.Second // a reader that hears nothing for two of these begins again
)

// message is one message of a stream as a reader sees it.
type message struct {
	jetstream.Msg
	meta *jetstream.MsgMetadata
}

func (m message) seq() uint64 { return m.meta.Sequence.Stream }

// follower reads a stream in order.
type follower struct {
	log    *Log
	stream string
	next   uint64 // sequence to be read next
	fn     func(message) error
}

// follow calls fn for every message of the stream from a sequence on, in order and none twice, until ctx ends or
// fn fails. A lost connection or consumer is mended. A message that is not there ends it with ErrTruncated if it
// was before the first, else with a CorruptError: nobody deletes single messages.
func (l *Log) follow(ctx context.Context, stream string, from uint64, fn func(message) error) error {
	f := &follower{log: l, stream: stream, next: max(from, 1), fn: fn}
	first, last, err := l.bounds(ctx, stream)
	if err != nil {
		return err
	}
	if f.next > last+1 {
		return fmt.Errorf("read from %d, the log ends at %d: %w", f.next, last, ErrAhead)
	}
	if err := f.reaches(first); err != nil {
		return err
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, longestRetryPause) {
		before := f.next
		err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case f.next > before:
			pause = 10 * time.Millisecond
		}
		if !wait(ctx, pause) {
			return ctx.Err()
		}
	}
}

func (f *follower) reaches(first uint64) error {
	if f.next < first {
		return fmt.Errorf("read from %d, the log begins at %d: %w", f.next, first, ErrTruncated)
	}
	return nil
}

// read reads with one consumer. It returns nil when that is of no use any more and another is to be made.
func (f *follower) read(ctx context.Context) error {
	consumer, err := f.log.js.CreateConsumer(ctx, f.stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.next,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 5 * time.Minute,
	})
	if err != nil {
		f.mend("make consumer", err)
		return nil
	}
	defer func() {
		// On a context of its own: ctx has ended as a rule. The server forgets the consumer by itself if this fails.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = f.log.js.DeleteConsumer(ctx, f.stream, consumer.CachedInfo().Name)
	}()
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(readAhead, readBytes),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		f.mend("read consumer", err)
		return nil
	}
	defer messages.Stop()
	for delivered := uint64(1); ; delivered++ {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			f.mend("read consumer", err)
			return nil
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read position of a message: %w", err)
		}
		m := message{msg, meta}
		if meta.Sequence.Consumer != delivered {
			return nil // some were lost on the way
		}
		switch err := f.take(ctx, m); {
		case errors.Is(err, errAgain):
			return nil
		case err != nil:
			return err
		}
	}
}

// errAgain says that the reader is to begin again where it is.
var errAgain = errors.New("read again")

func (f *follower) take(ctx context.Context, m message) error {
	if m.seq() < f.next {
		return nil
	}
	if m.seq() > f.next {
		first, _, err := f.log.bounds(ctx, f.stream)
		if err != nil {
			f.mend("look for the log's beginning", err)
			return errAgain
		}
		if err := f.reaches(first); err != nil {
			return err
		}
		return &CorruptError{Seq: f.next, Err: fmt.Errorf("nothing is there, the next message is at %d", m.seq())}
	}
	if err := f.fn(m); err != nil {
		return err
	}
	f.next++
	return nil
}

func (f *follower) mend(doing string, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrMsgIteratorClosed) {
		return
	}
	f.log.cfg.Logger.Warn("read the log again", slog.String("stream", f.stream), slog.Uint64("from", f.next), slog.String("doing", doing), slog.Any("error", err))
}
