package eventlog

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Part is where some rows of a publish came to stand: those of one message.
type Part struct {
	Seq  uint64
	Rows int
}

// rowSubject is where the row groups of a source are published.
func rowSubject(source string) string { return logPrefix + source + ".0" }

// PublishNext appends the rows, all or none of them, if the last message of their source is the one at the sequence
// after; 0 means that the log has none. Otherwise it fails with feature.CodeConflict, and LastOf says where
// the source stands. What came through the inbox for a source that is published with PublishNext must be
// published so too: Inbox does it for batches with a Next.
//
// It returns the messages that hold the rows, in order. Errors are otherwise as Publish's; messages are not shared
// with other callers.
func (l *Log) PublishNext(ctx context.Context, b *feature.Batch, after uint64) ([]Part, error) {
	c, err := l.newCall([]*feature.Batch{b})
	if err != nil || len(c.pieces) == 0 {
		return nil, err
	}
	msgs := make([]*nats.Msg, len(c.pieces))
	parts := make([]Part, len(c.pieces))
	for i, x := range c.pieces {
		msgs[i] = l.message(rowSubject(b.Source), wire.AppendGroup(nil, x.batch))
		parts[i].Rows = x.batch.Rows
	}
	msgs[0].Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(after, 10))
	last, err := l.send(ctx, logName, msgs)
	if err != nil {
		return nil, err
	}
	for i := range parts {
		parts[i].Seq = last - uint64(len(parts)-1-i)
	}
	return parts, nil
}

// LastOf returns the sequence of the last message of a source, 0 if the log has none: behind it PublishNext appends.
func (l *Log) LastOf(ctx context.Context, source string) (uint64, error) {
	m, err := l.lastOf(ctx, rowSubject(source))
	if err != nil || m == nil {
		return 0, err
	}
	return m.Sequence, nil
}
