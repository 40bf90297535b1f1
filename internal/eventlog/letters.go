package eventlog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// LetterQuery asks for letters, oldest first. What is zero does not narrow.
type LetterQuery struct {
	Source string
	Reason string    // a part of the reason, as written
	Since  time.Time // refused then or later
	Until  time.Time // refused before
	After  uint64    // only letters with a greater Seq; to turn pages
	Limit  int       // default 100, at most 1000
}

func (q *LetterQuery) matches(x *Letter) bool {
	return strings.Contains(x.Reason, q.Reason) && !x.Time.Before(q.Since) && (q.Until.IsZero() || x.Time.Before(q.Until))
}

// Letters returns letters, oldest first. There are more if it returns as many as the limit.
func (l *Log) Letters(ctx context.Context, q LetterQuery) ([]Letter, error) {
	q.Limit = min(cmp.Or(max(q.Limit, 0), 100), 1000)
	cfg := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: q.After + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 10 * time.Second,
	}
	if q.Source != "" {
		if !token(q.Source) {
			return nil, feature.Errorf(feature.CodeInvalid, "source %q: expected letters, digits, - and _", q.Source)
		}
		cfg.FilterSubject = deadPrefix + q.Source
	}
	consumer, err := l.consumer(ctx, deadName, cfg)
	if err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "read refused rows: %w", away(err))
	}
	defer l.forget(ctx, deadName, consumer)
	var letters []Letter
	for pending := consumer.CachedInfo().NumPending; pending > 0 && len(letters) < q.Limit; {
		page, left, err := l.fetchLetters(ctx, consumer)
		if err != nil {
			return nil, err
		}
		for i := range page {
			if q.matches(&page[i]) && len(letters) < q.Limit {
				letters = append(letters, page[i])
			}
		}
		pending = left
	}
	return letters, nil
}

// EachLetter yields all letters that there are now and that q selects, oldest first, whatever becomes of them
// meanwhile. An error is the last it yields. The Limit of q is not heeded.
func (l *Log) EachLetter(ctx context.Context, q LetterQuery) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		_, last, err := l.bounds(ctx, deadName)
		if err != nil {
			yield(Letter{}, err)
			return
		}
		for q.Limit = 1000; ; {
			page, err := l.Letters(ctx, q)
			if err != nil {
				yield(Letter{}, err)
				return
			}
			for _, x := range page {
				if x.Seq > last || !yield(x, nil) {
					return
				}
				q.After = x.Seq
			}
			if len(page) < q.Limit {
				return
			}
		}
	}
}

// fetchLetters returns the next letters of a consumer and how many are left behind them.
func (l *Log) fetchLetters(ctx context.Context, consumer jetstream.Consumer) (letters []Letter, left uint64, err error) {
	fetched, err := consumer.FetchNoWait(lettersSent)
	if err != nil {
		return nil, 0, feature.Errorf(feature.CodeUnavailable, "read refused rows: %w", away(err))
	}
	for msg := range fetched.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, 0, fmt.Errorf("read refused rows: %w", err)
		}
		left = meta.NumPending
		letters = append(letters, l.readLetter(meta.Sequence.Stream, meta.Timestamp, msg.Headers(), msg.Data()))
	}
	if err := cmp.Or(fetched.Error(), ctx.Err()); err != nil {
		return nil, 0, feature.Errorf(feature.CodeUnavailable, "read refused rows: %w", away(err))
	}
	return letters, left, nil
}

// Letter returns the letter with a Seq, or CodeNotFound.
func (l *Log) Letter(ctx context.Context, seq uint64) (Letter, error) {
	if seq == 0 { // JetStream has no answer to that
		return Letter{}, feature.Errorf(feature.CodeNotFound, "there is no dead letter 0: they count from 1")
	}
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	s, err := l.js.Stream(ctx, deadName)
	if err != nil {
		return Letter{}, feature.Errorf(feature.CodeUnavailable, "read refused row %d: %w", seq, away(err))
	}
	m, err := s.GetMsg(ctx, seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Letter{}, feature.Errorf(feature.CodeNotFound, "there is no dead letter %d: it was never there, or was taken or dropped", seq)
	case err != nil:
		return Letter{}, feature.Errorf(feature.CodeUnavailable, "read refused row %d: %w", seq, away(err))
	}
	return l.readLetter(m.Sequence, m.Time, m.Header, m.Data), nil
}

func (l *Log) readLetter(seq uint64, at time.Time, h nats.Header, raw []byte) Letter {
	x := Letter{
		Seq: seq, Time: at.UTC(), Raw: raw,
		Source: headerText(h, headerSource), Reason: headerText(h, headerReason), Field: headerText(h, headerField),
		origin: cmp.Or(headerText(h, headerOrigin), fmt.Sprintf("%s-%d", l.ids[deadName], seq)),
	}
	if first, err := time.Parse(time.RFC3339Nano, headerText(h, headerTime)); err == nil {
		x.Time = first
	}
	return x
}

func headerText(h nats.Header, name string) string {
	var s string
	if json.Unmarshal([]byte(h.Get(name)), &s) != nil {
		return ""
	}
	return s
}

// Discard deletes letters by Seq: they were replayed, or are of no use. One that is not there is passed over.
func (l *Log) Discard(ctx context.Context, seqs ...uint64) error {
	s, err := l.js.Stream(ctx, deadName)
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "discard refused rows: %w", away(err))
	}
	for _, seq := range seqs {
		if err := s.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			return feature.Errorf(feature.CodeUnavailable, "discard refused row %d: %w", seq, away(err))
		}
	}
	return nil
}
