package eventlog

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// InboxResult is what became of rows of the inbox.
type InboxResult struct {
	Batches []*feature.Batch // accepted rows
	Letters []Letter         // refused ones
	Next    []Next           // accepted rows that must follow the last message of their source
}

// Next is rows of a source that are published behind its last message, as PublishNext does.
type Next struct {
	Batch *feature.Batch // it may be empty
	After uint64         // sequence of that message
	// Done is called once: with the messages that hold the rows when the log has them, or with published false.
	Done func(parts []Part, published bool) error
}

// end calls Done unless it was called.
func (n *Next) end(parts []Part, published bool) error {
	done := n.Done
	if done == nil {
		return nil
	}
	n.Done = nil
	return done(parts, published)
}

// mark is the place in the inbox that a call covers.
type mark struct {
	text  string // of headerInbox
	after uint64 // sequence of the log's last row group that came through the inbox, 0 if there is none
}

// stamp marks a message of the call.
func (k *mark) stamp(m *nats.Msg, first bool) {
	m.Header.Set(headerInbox, k.text)
	if first {
		m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(k.after, 10))
	}
}

// inboxCall is rows that came through the inbox on their way into the log.
type inboxCall struct {
	*call           // rows that have no place that they must follow
	next  []Next    // the others
	parts [][]piece // of each of next
}

// pack cuts the rows of a result into messages that the log can take at once.
func (in *inboxReader) pack(r InboxResult) (*inboxCall, error) {
	c, err := in.log.newCall(r.Batches)
	if err != nil {
		return nil, err
	}
	p := &inboxCall{call: c, next: r.Next}
	messages := len(c.pieces) + 1
	for i := range r.Next {
		n, err := in.log.newCall([]*feature.Batch{r.Next[i].Batch})
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, n.pieces)
		messages += len(n.pieces)
		c.bytes += n.bytes
	}
	if c.bytes > callBytes || messages > groupsAtOnce {
		return nil, feature.Errorf(feature.CodeTooLarge, "%d bytes of rows in %d messages at once: the log takes at most %d in %d", c.bytes, messages, callBytes, groupsAtOnce)
	}
	return p, nil
}

// publish brings rows into the log that cover the inbox up to a sequence. While the log is full it waits: then the inbox
// fills up, and refuses.
func (in *inboxReader) publish(ctx context.Context, p *inboxCall, covered uint64) error {
	k := &mark{text: fmt.Sprintf("%s %d", in.log.ids[inboxName], covered), after: in.last}
	if len(p.next) > 0 {
		return in.publishNext(ctx, p, k)
	}
	for len(p.pieces) > 0 {
		c := &call{pieces: p.pieces, bytes: p.bytes, done: make(chan outcome, 1), inbox: k}
		last, err := in.log.submit(ctx, c)
		switch {
		case err == nil:
			in.last = last
			return nil
		case feature.CodeOf(err) != feature.CodeOverloaded:
			return err
		}
		in.log.cfg.Logger.Warn("the inbox waits for the log", slog.Any("error", err))
		if !wait(ctx, longestRetryPause) {
			return ctx.Err()
		}
	}
	return nil
}

// publishNext publishes rows that must follow others, and those that need not, all or none: the former on the subjects of
// their sources, the latter on the inbox's, where an empty row group stands for them if there are none.
func (in *inboxReader) publishNext(ctx context.Context, p *inboxCall, k *mark) error {
	var msgs []*nats.Msg
	for i, n := range p.next {
		for at, x := range p.parts[i] {
			m := in.log.message(rowSubject(n.Batch.Source), wire.AppendGroup(nil, x.batch))
			if at == 0 {
				m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(n.After, 10))
			}
			msgs = append(msgs, m)
		}
	}
	pieces := p.pieces
	if len(pieces) == 0 && len(msgs) > 0 {
		pieces = []piece{{batch: &feature.Batch{Source: p.next[0].Batch.Source}}}
	}
	for at, x := range pieces {
		m := in.log.message(inboxSubject, wire.AppendGroup(nil, x.batch))
		k.stamp(m, at == 0)
		msgs = append(msgs, m)
	}
	var last uint64
	if len(msgs) > 0 {
		var err error
		if last, err = in.log.send(ctx, logName, msgs); err != nil {
			return err
		}
		in.last = last
	}
	seq := last - uint64(len(msgs))
	for i := range p.next {
		var parts []Part
		for _, x := range p.parts[i] {
			seq++
			parts = append(parts, Part{Seq: seq, Rows: x.batch.Rows})
		}
		if err := p.next[i].end(parts, true); err != nil {
			return err
		}
	}
	return nil
}
