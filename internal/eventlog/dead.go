package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

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

	id     string // of its message, where a repetition must be told
	origin string // the same for all letters of one row, and of no other; set by the log
}

// Headers of letters. Their values are JSON strings, so that a text of several lines is one.
const (
	headerSource = "Lockstep-Source"
	headerReason = "Lockstep-Reason"
	headerField  = "Lockstep-Field"
	headerOrigin = "Lockstep-Origin" // of a letter that may be there twice, or replaces another
	headerTime   = "Lockstep-Time"   // of a letter that replaces another: when the row was first refused
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
	headers := map[string]string{headerSource: x.Source, headerReason: x.Reason, headerField: x.Field, headerOrigin: x.origin}
	if !x.Time.IsZero() {
		headers[headerTime] = x.Time.Format(time.RFC3339Nano)
	}
	for name, text := range headers {
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
