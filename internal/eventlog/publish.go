package eventlog

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

const (
	groupBytes   = 1 << 20  // most bytes of a row group as wire.GroupBound counts them, two or three times what it takes
	callBytes    = 64 << 20 // most bytes of one call, counted so too
	groupsAtOnce = 1000     // messages that JetStream publishes as one atomic batch
	headerBytes  = 4 << 10  // room for the headers of a message
)

// Publish appends the rows of the batches, all or none of them, and returns the sequence of the message that
// holds the last of them: whoever has applied the log up to it has applied them all. Rows of one source keep
// their order. It returns when the log has them as its Durability says.
//
// Callers at the same time share messages and acknowledgements. Rows of one source that fit a message, some ten
// thousand, take about as long as the disk needs to write them; more, or several sources, are an atomic batch of
// JetStream, which takes some ten milliseconds. While too much waits, Publish waits too. It reads the batches
// until it returns.
//
// Without rows it returns 0. It fails with feature.CodeInvalid for a source whose name cannot be part of a
// subject, feature.CodeTooLarge for more than 64 MB at once or a row that no message can hold,
// feature.CodeOverloaded if the log is full or ctx ended while Publish waited its turn, and
// feature.CodeUnavailable if the servers did not answer; only then, or if ctx ended later, is it unknown
// whether the log took the rows, and the error says so.
func (l *Log) Publish(ctx context.Context, batches ...*feature.Batch) (last uint64, err error) {
	c, err := l.newCall(batches)
	if err != nil || len(c.pieces) == 0 {
		return 0, err
	}
	return l.submit(ctx, c)
}

// submit hands the call to the lane that suits it, and waits.
func (l *Log) submit(ctx context.Context, c *call) (uint64, error) {
	if len(c.pieces) == 1 && c.inbox == nil {
		return l.single.submit(ctx, c)
	}
	return l.several.submit(ctx, c)
}

// newCall cuts batches into pieces that fit a message each.
func (l *Log) newCall(batches []*feature.Batch) (*call, error) {
	c := &call{done: make(chan outcome, 1)}
	for _, b := range batches {
		if b.Rows == 0 {
			continue
		}
		if err := checkBatch(b); err != nil {
			return nil, err
		}
		if err := c.cut(b, l.rowLimit(), l.limit); err != nil {
			return nil, err
		}
	}
	if len(c.pieces) > 1 {
		c.join(l.limit)
	}
	if c.bytes > callBytes || len(c.pieces) > groupsAtOnce {
		return nil, feature.Errorf(feature.CodeTooLarge, "%d bytes of rows in %d row groups at once: the log takes at most %d in %d, publish fewer at a time",
			c.bytes, len(c.pieces), callBytes, groupsAtOnce)
	}
	return c, nil
}

// join makes one piece of those that go into one message.
func (c *call) join(limit int) {
	p := packer{limit: limit}
	for _, x := range c.pieces {
		p.place(x)
	}
	c.pieces = c.pieces[:0:0]
	for i := range p.groups {
		c.pieces = append(c.pieces, piece{p.groups[i].batch(), p.groups[i].bound})
	}
}

func checkBatch(b *feature.Batch) error {
	if !token(b.Source) {
		return feature.Errorf(feature.CodeInvalid, "source %q: expected a name of up to 128 letters, digits, - and _", b.Source)
	}
	if len(b.Columns) == 0 || len(b.Columns) != len(b.Fields) {
		return feature.Errorf(feature.CodeInternal, "a batch of %s has %d columns and %d fields", b.Source, len(b.Columns), len(b.Fields))
	}
	for i := range b.Columns {
		if c, f := &b.Columns[i], b.Fields[i]; c.Len() != b.Rows || c.Type != f.Type || c.Nulls != nil && len(c.Nulls) != b.Rows {
			return feature.Errorf(feature.CodeInternal, "column %s of a batch of %s is %s and %d long, expected %s and %d", f.Name, b.Source, c.Type, c.Len(), f.Type, b.Rows)
		}
	}
	return nil
}

// rowLimit returns the size of the largest row that a message holds.
func (l *Log) rowLimit() int { return int(l.conn.MaxPayload()) - headerBytes }

// cut adds b to the call, in pieces of at most group bytes, or of one row of at most row bytes.
func (c *call) cut(b *feature.Batch, row, group int) error {
	bound := wire.GroupBound(b)
	switch {
	case bound <= group, b.Rows == 1 && bound <= row:
		c.pieces = append(c.pieces, piece{b, bound})
		c.bytes += int64(bound)
		return nil
	case b.Rows == 1:
		return feature.Errorf(feature.CodeTooLarge, "a row of %s takes %d bytes: the log takes rows of up to %d", b.Source, bound, row)
	}
	// Rows are alike as a rule: cut into equal parts that fit; where they are not, those are cut again.
	parts := max(2, min(b.Rows, bound/group+1))
	for i := range parts {
		if err := c.cut(b.Slice(i*b.Rows/parts, (i+1)*b.Rows/parts), row, group); err != nil {
			return err
		}
	}
	return nil
}

// call is one Publish: rows that go to the log together.
type call struct {
	pieces []piece
	bytes  int64
	last   int          // index of the commit's message with the last rows, once packed
	done   chan outcome // capacity 1, so that the committer never waits for a caller that went away
	taken  bool         // by the committer; guarded by the queue's mutex
	inbox  *mark        // not nil: these rows came through the inbox and go out alone
}

type piece struct {
	batch *feature.Batch
	bound int // of its bytes in a row group
}

type outcome struct {
	seq uint64
	err error
}

// packer collects calls into messages: rows of one source and one shape together.
type packer struct {
	limit  int // bytes of a message
	calls  []*call
	groups []group
	open   map[string]int // by source, the group that takes more
	bytes  int64
	inbox  *mark
}

type group struct {
	pieces []piece
	bound  int
}

// add takes the call unless it must go out later: then it returns false.
func (p *packer) add(c *call) bool {
	if len(p.calls) > 0 && (c.inbox != nil || p.inbox != nil || len(p.groups)+len(c.pieces) > groupsAtOnce || p.bytes+c.bytes > commitBytes) {
		return false
	}
	p.calls = append(p.calls, c)
	p.bytes += c.bytes
	p.inbox = c.inbox
	c.last = 0
	for _, piece := range c.pieces {
		c.last = max(c.last, p.place(piece))
	}
	return true
}

func (p *packer) place(x piece) int {
	at, ok := p.open[x.batch.Source]
	if ok {
		if g := &p.groups[at]; g.bound+x.bound <= p.limit && sameFields(g.pieces[0].batch.Fields, x.batch.Fields) {
			g.pieces = append(g.pieces, x)
			g.bound += x.bound
			return at
		}
	}
	if p.open == nil {
		p.open = map[string]int{}
	}
	p.groups = append(p.groups, group{[]piece{x}, x.bound})
	p.open[x.batch.Source] = len(p.groups) - 1
	return len(p.groups) - 1
}

func sameFields(a, b []feature.Field) bool {
	if len(a) != len(b) {
		return false
	}
	if &a[0] == &b[0] {
		return true
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// batch returns the rows of the group as one batch.
func (g *group) batch() *feature.Batch {
	first := g.pieces[0].batch
	if len(g.pieces) == 1 {
		return first
	}
	all := &feature.Batch{Source: first.Source, Fields: first.Fields, Columns: make([]feature.Column, len(first.Columns))}
	for i := range first.Columns {
		all.Columns[i].Type = first.Columns[i].Type
	}
	for _, x := range g.pieces {
		all.AppendBatch(x.batch)
	}
	return all
}

// messages encodes the groups. The payloads lie in buf, which is returned for the next time.
func (p *packer) messages(l *Log, buf []byte) ([]*nats.Msg, []byte) {
	msgs := make([]*nats.Msg, len(p.groups))
	ends := make([]int, len(p.groups))
	for i := range p.groups {
		buf = wire.AppendGroup(buf, p.groups[i].batch())
		ends[i] = len(buf)
	}
	from := 0
	for i := range msgs {
		subject := rowSubject(p.groups[i].pieces[0].batch.Source)
		if p.inbox != nil {
			subject = inboxSubject
		}
		msgs[i] = l.message(subject, buf[from:ends[i]])
		from = ends[i]
		if p.inbox != nil {
			p.inbox.stamp(msgs[i], i == 0)
		}
	}
	return msgs, buf
}

// message makes a message with an id of its own.
func (l *Log) message(subject string, data []byte) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s-%d", l.name, l.next.Add(1)))
	return m
}
