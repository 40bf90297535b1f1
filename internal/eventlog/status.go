package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// Bounds returns the first and last sequence of the log. An empty log has last = 0, or first = last + 1 when all
// was trimmed.
func (l *Log) Bounds(ctx context.Context) (first, last uint64, err error) {
	return l.bounds(ctx, logName)
}

func (l *Log) bounds(ctx context.Context, stream string) (first, last uint64, err error) {
	info, err := l.info(ctx, stream)
	if err != nil {
		return 0, 0, err
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

func (l *Log) info(ctx context.Context, stream string, opts ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "ask NATS for stream %s: %w", stream, away(err))
	}
	if len(opts) == 0 {
		return s.CachedInfo(), nil
	}
	info, err := s.Info(ctx, opts...)
	if err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "ask NATS for stream %s: %w", stream, away(err))
	}
	return info, nil
}

// lastOf returns the last message of the log on a subject, nil if there is none.
func (l *Log) lastOf(ctx context.Context, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	s, err := l.js.Stream(ctx, logName)
	if err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "ask NATS for stream %s: %w", logName, away(err))
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, feature.Errorf(feature.CodeUnavailable, "read last message on %s: %w", subject, away(err))
	default:
		return m, nil
	}
}

// away hides what the client of NATS says from callers: it may name addresses and folders.
func away(err error) error { return feature.Hide(err, "NATS does not answer") }

// Lag returns how many entries the log has behind seq: what a reader that has applied seq has yet to read.
func (l *Log) Lag(ctx context.Context, seq uint64) (uint64, error) {
	_, last, err := l.Bounds(ctx)
	return last - min(seq, last), err
}

// Healthy returns nil if the log can be reached and has room.
func (l *Log) Healthy(ctx context.Context) error {
	if err := l.breaker.Allow(ctx); err != nil {
		return err
	}
	s, err := l.Stats(ctx)
	if err != nil {
		return err
	}
	if s.MaxBytes > 0 && s.Bytes+groupBytes > uint64(s.MaxBytes) {
		return feature.Errorf(feature.CodeOverloaded, "the log is full: %d of %d bytes", s.Bytes, s.MaxBytes)
	}
	return nil
}

// Extent says how much the log holds.
type Extent struct {
	First, Last uint64 // sequences of the log
	Bytes       uint64 // that the log takes
	MaxBytes    int64  // that it may take; not above 0: no limit
}

// Extent returns how much the log holds.
func (l *Log) Extent(ctx context.Context) (Extent, error) {
	info, err := l.info(ctx, logName)
	if err != nil {
		return Extent{}, err
	}
	return Extent{First: info.State.FirstSeq, Last: info.State.LastSeq, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes}, nil
}

// Stats describes the streams for people and metrics.
type Stats struct {
	Extent
	Dead  map[string]uint64 // refused rows by source; "" counts those of names that no source can have
	Inbox uint64            // messages that wait in the inbox
}

// Stats returns the state of the streams.
func (l *Log) Stats(ctx context.Context) (Stats, error) {
	log, err := l.Extent(ctx)
	if err != nil {
		return Stats{}, err
	}
	dead, err := l.info(ctx, deadName, jetstream.WithSubjectFilter(deadPrefix+">"))
	if err != nil {
		return Stats{}, err
	}
	inbox, err := l.info(ctx, inboxName)
	if err != nil {
		return Stats{}, err
	}
	s := Stats{Extent: log, Dead: map[string]uint64{}, Inbox: inbox.State.Msgs}
	for subject, n := range dead.State.Subjects {
		source := strings.TrimPrefix(subject, deadPrefix)
		if source == noSource {
			source = ""
		}
		s.Dead[source] = n
	}
	return s, nil
}

// Since returns the sequence of the first entry that the log took at an instant or later; that of the next entry if there is
// none.
func (l *Log) Since(ctx context.Context, at time.Time) (uint64, error) {
	doing := "look for the entries since " + at.UTC().Format(time.RFC3339)
	_, last, err := l.Bounds(ctx)
	if err != nil {
		return 0, err
	}
	consumer, err := l.consumer(ctx, logName, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at, HeadersOnly: true,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return 0, feature.Errorf(feature.CodeUnavailable, "%s: %w", doing, away(err))
	}
	defer l.forget(ctx, logName, consumer)
	found, err := consumer.FetchNoWait(1)
	if err != nil {
		return 0, feature.Errorf(feature.CodeUnavailable, "%s: %w", doing, away(err))
	}
	if m, ok := <-found.Messages(); ok {
		meta, err := m.Metadata()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", doing, err)
		}
		return meta.Sequence.Stream, nil
	}
	if err := found.Error(); err != nil {
		return 0, feature.Errorf(feature.CodeUnavailable, "%s: %w", doing, away(err))
	}
	return last + 1, nil // what came since then is younger
}

// Trim lets the log forget the entries before seq, which makes room. Readers that are not there yet get
// ErrTruncated.
func (l *Log) Trim(ctx context.Context, seq uint64) error {
	if err := l.settleLetters(ctx, seq); err != nil {
		return err
	}
	return l.purge(ctx, logName, seq)
}

// purge deletes the messages of a stream before seq.
func (l *Log) purge(ctx context.Context, stream string, seq uint64) error {
	if seq <= 1 {
		return nil
	}
	s, err := l.js.Stream(ctx, stream)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSequence(seq))
	}
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "trim stream %s: %w", stream, away(err))
	}
	return nil
}
