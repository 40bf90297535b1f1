package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// Errors of Tail, for errors.Is.
var (
	// ErrTruncated says that the log no longer reaches back to the sequence asked for.
	ErrTruncated = errors.New("the log no longer reaches back to there")
	// ErrAhead says that the sequence asked for is past the end of the log: the reader knows another log, or
	// this one has lost its end.
	ErrAhead = errors.New("the log does not reach that far")
	// ErrReplaced says that the log is another one than the one that was opened: its identity, or what was read last, is
	// not there any more. Who opened it has to open it again.
	ErrReplaced = errors.New("the log was replaced by another")
	// ErrCorrupt matches every CorruptError.
	ErrCorrupt = errors.New("the log is corrupt")
)

// CorruptError says that the log holds something at Seq that is not what was appended there, or nothing.
type CorruptError struct {
	Seq     uint64
	Upto    uint64 // the last sequence where nothing is, or Seq
	Err     error
	Subject string // of what is there, "" if nothing is
	Raw     []byte // what is there
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
	last   time.Time // when the stream took the message before next; zero if that was not read here
}

// follow calls fn for every message of the stream from a sequence on, in order and none twice, until ctx ends or
// fn fails. A lost connection or consumer is mended. A message that is not there ends it with ErrTruncated if it
// was before the first, with ErrAhead if the stream does not reach that far, else with a CorruptError: nobody deletes
// single messages.
func (l *Log) follow(ctx context.Context, stream string, from uint64, fn func(message) error) error {
	f := &follower{log: l, stream: stream, next: max(from, 1), fn: fn}
	if err := f.check(ctx); err != nil {
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

// check makes sure that the stream is the one that was opened and has what is to be read next, or will.
func (f *follower) check(ctx context.Context) error {
	seen := f.log.seen.Load() // before the log is asked: it grows
	info, err := f.log.info(ctx, f.stream)
	if err != nil {
		return err
	}
	if id := info.Config.Metadata[idKey]; id != f.log.ids[f.stream] {
		return fmt.Errorf("read stream %s: its identity is %q, it was %q: %w", f.stream, id, f.log.ids[f.stream], ErrReplaced)
	}
	last := info.State.LastSeq
	if f.stream == logName && last < seen {
		return fmt.Errorf("read from %d: the log ends at %d, and was at %d: %w", f.next, last, seen, ErrReplaced)
	}
	if f.next > last+1 {
		return fmt.Errorf("read from %d, the log ends at %d: %w", f.next, last, ErrAhead)
	}
	return f.reaches(info.State.FirstSeq)
}

func (f *follower) reaches(first uint64) error {
	if f.next < first {
		return fmt.Errorf("read from %d, the log begins at %d: %w", f.next, first, ErrTruncated)
	}
	return nil
}

// read reads with one consumer. It returns nil when that is of no use any more and another is to be made. It begins with
// the message that was read last, which must be the same: a log that has lost its end, as when an old copy is restored, has
// another one there, or none.
func (f *follower) read(ctx context.Context) error {
	from, lost := f.next, f.log.conn.Stats().Reconnects
	if !f.last.IsZero() {
		from--
		if err := f.check(ctx); feature.CodeOf(err) == feature.CodeUnavailable {
			f.mend("look at the log", err)
			return nil
		} else if err != nil {
			return err
		}
	}
	consumer, err := f.log.consumer(ctx, f.stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 5 * time.Minute,
	})
	if err != nil {
		f.mend("make consumer", err)
		return nil
	}
	defer f.log.forget(ctx, f.stream, consumer)
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(readAhead, readBytes),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		f.mend("read consumer", err)
		return nil
	}
	defer messages.Stop()
	for delivered := uint64(1); ; delivered++ {
		msg, err := f.wait(ctx, messages, lost)
		if errors.Is(err, errAgain) {
			return nil
		}
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

// wait returns the next message, or errAgain if none comes and the connection was lost since lost: what was on its way
// then does not come again to this consumer, and if it was the last of the log no gap would ever show it.
func (f *follower) wait(ctx context.Context, messages jetstream.MessagesContext, lost uint64) (jetstream.Msg, error) {
	for {
		waiting, cancel := context.WithTimeout(ctx, pullHeartbeat)
		msg, err := messages.Next(jetstream.NextContext(waiting))
		cancel()
		switch {
		case err == nil || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
			return msg, err
		case f.log.conn.Stats().Reconnects != lost:
			return nil, errAgain
		}
	}
}

// consumer makes a consumer.
func (l *Log) consumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	return l.js.CreateConsumer(ctx, stream, cfg)
}

// forget deletes a consumer. The server forgets it by itself if this fails.
func (l *Log) forget(ctx context.Context, stream string, consumer jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // ctx has ended as a rule
	defer cancel()
	_ = l.js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name)
}

// errAgain says that the reader is to begin again where it is.
var errAgain = errors.New("read again")

func (f *follower) take(ctx context.Context, m message) error {
	if m.seq() < f.next {
		if m.seq() == f.next-1 && !m.meta.Timestamp.Equal(f.last) {
			return fmt.Errorf("read on from %d: the entry before it is another one than was read: %w", f.next, ErrReplaced)
		}
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
		return &CorruptError{Seq: f.next, Upto: m.seq() - 1, Err: fmt.Errorf("nothing is there, the next message is at %d", m.seq())}
	}
	if err := f.fn(m); err != nil {
		return err
	}
	f.log.reached(f.stream, f.next)
	f.next++
	f.last = m.meta.Timestamp
	return nil
}

func (f *follower) mend(doing string, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrMsgIteratorClosed) {
		return
	}
	f.log.cfg.Logger.Warn("read the log again", slog.String("stream", f.stream), slog.Uint64("from", f.next), slog.String("doing", doing), slog.Any("error", err))
}
