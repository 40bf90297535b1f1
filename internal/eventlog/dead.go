package eventlog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// Letter is a row that the gate refused.
type Letter struct {
	Seq    uint64    `json:"seq"`  // its number among the letters; set by the log
	Time   time.Time `json:"time"` // when it was refused; set by the log
	Source string    `json:"source"`
	Reason string    `json:"reason"`
	Field  string    `json:"field,omitempty"` // the column that is to blame, if one is
	Raw    []byte    `json:"raw"`             // the row as it came
	id     string    // of its message, where a repetition must be told
}

// Headers of letters. Their values are JSON strings, so that a text of several lines is one.
const (
	headerSource = "Lockstep-Source"
	headerReason = "Lockstep-Reason"
	headerField  = "Lockstep-Field"
)

const (
	noSource    = "$other" // last token of the subject of letters whose source cannot be part of one
	lettersSent = 500      // letters in one atomic batch
	longText    = 4 << 10  // longest reason or name that is kept
)

// Refuse keeps the letters. It returns when they are as safe as the log's Durability says; if it fails, some may
// have been kept. A row that no message can hold is kept without its end. When the letters reach their limit the
// oldest are dropped.
func (l *Log) Refuse(ctx context.Context, letters ...Letter) error {
	for len(letters) > 0 {
		n := min(len(letters), lettersSent)
		msgs := make([]*nats.Msg, n)
		for i := range msgs {
			msgs[i] = l.letter(&letters[i])
		}
		if err := l.sendLetters(ctx, msgs); err != nil {
			return fmt.Errorf("keep %d refused rows: %w", len(letters), err)
		}
		letters = letters[n:]
	}
	return nil
}

func (l *Log) sendLetters(ctx context.Context, msgs []*nats.Msg) error {
	_, err := l.send(ctx, deadName, msgs)
	if feature.CodeOf(err) != feature.CodeConflict {
		return err
	}
	for _, m := range msgs { // some are there already: one at a time these are not stored again
		for _, h := range []string{batchID, batchSeq, batchCommit} {
			m.Header.Del(h)
		}
		if _, err := l.send(ctx, deadName, []*nats.Msg{m}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) letter(x *Letter) *nats.Msg {
	subject := deadPrefix + noSource
	if token(x.Source) {
		subject = deadPrefix + x.Source
	}
	raw := x.Raw
	if limit := int(l.conn.MaxPayload()) - 8*longText; len(raw) > limit {
		raw = raw[:limit]
	}
	m := l.message(subject, raw)
	if x.id != "" {
		m.Header.Set(nats.MsgIdHdr, x.id)
	}
	for name, text := range map[string]string{headerSource: x.Source, headerReason: x.Reason, headerField: x.Field} {
		if len(text) > longText {
			text = text[:longText]
		}
		if text != "" {
			quoted, _ := json.Marshal(text) // a string cannot fail to encode
			m.Header.Set(name, string(quoted))
		}
	}
	return m
}

// LetterQuery asks for letters, oldest first.
type LetterQuery struct {
	Source string // "" for all
	After  uint64 // only letters with a greater Seq; to turn pages
	Limit  int    // default 100, at most 1000
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
	consumer, err := l.js.CreateConsumer(ctx, deadName, cfg)
	if err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "read refused rows: %w", err)
	}
	defer func() { _ = l.js.DeleteConsumer(context.WithoutCancel(ctx), deadName, consumer.CachedInfo().Name) }()
	fetched, err := consumer.FetchNoWait(q.Limit)
	if err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "read refused rows: %w", err)
	}
	var letters []Letter
	for msg := range fetched.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, fmt.Errorf("read refused rows: %w", err)
		}
		letters = append(letters, Letter{
			Seq: meta.Sequence.Stream, Time: meta.Timestamp.UTC(), Raw: msg.Data(),
			Source: headerText(msg, headerSource), Reason: headerText(msg, headerReason), Field: headerText(msg, headerField),
		})
	}
	if err := fetched.Error(); err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "read refused rows: %w", err)
	}
	return letters, nil
}

func headerText(m jetstream.Msg, name string) string {
	var s string
	if json.Unmarshal([]byte(m.Headers().Get(name)), &s) != nil {
		return ""
	}
	return s
}

// Discard deletes letters by Seq: they were replayed, or are of no use. One that is not there is passed over.
func (l *Log) Discard(ctx context.Context, seqs ...uint64) error {
	s, err := l.js.Stream(ctx, deadName)
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "discard refused rows: %w", err)
	}
	for _, seq := range seqs {
		if err := s.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			return feature.Errorf(feature.CodeUnavailable, "discard refused row %d: %w", seq, err)
		}
	}
	return nil
}
