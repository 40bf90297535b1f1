package eventlog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// Headers of JetStream's atomic publish.
const (
	batchID     = "Nats-Batch-Id"
	batchSeq    = "Nats-Batch-Sequence"
	batchCommit = "Nats-Batch-Commit"
)

// Error codes of JetStream.
const (
	codeNoResources   = 10023 // the server's or account's limits
	codeAccountFull   = 10002
	codeTooLarge      = 10054 // max_msg_size
	codeWrongLast     = 10071 // Nats-Expected-Last-Subject-Sequence does not hold
	codeStoreFailed   = 10077 // full, or the disk failed
	codeWrongLastOf   = 10164
	codeIncomplete    = 10176 // an atomic batch of which a part did not arrive
	codeDuplicate     = 10201 // an atomic batch with the id of a message that is there
	codeManyInFlight  = 10210 // too many atomic batches at the same time
	descriptionFull   = "maximum bytes exceeded"
	longestRetryPause = time.Second
)

// Two lanes publish what is queued, each all that waits at once, and at once when nothing of it is in flight. They
// are two because an atomic batch is slow, however few messages it has: JetStream makes files for it and syncs
// them, ten to fifty milliseconds on the machine where this was measured, where a message takes one.

// commitSingle publishes calls that need one message each, which share messages, until the queue is closed and
// empty.
func (l *Log) commitSingle(ctx context.Context) {
	var buf []byte
	for {
		p, ok := l.single.take()
		if !ok {
			return
		}
		var msgs []*nats.Msg
		msgs, buf = p.messages(l, buf[:0])
		seqs := make([]uint64, len(msgs))
		errs := make([]error, len(msgs))
		var sent sync.WaitGroup
		for i := range msgs[1:] { // of other sources, or shapes, or of too many rows for one message
			sent.Go(func() { seqs[i+1], errs[i+1] = l.send(ctx, logName, msgs[i+1:i+2]) })
		}
		seqs[0], errs[0] = l.send(ctx, logName, msgs[:1])
		sent.Wait()
		for _, c := range p.calls {
			l.single.finish(c, seqs[c.last], errs[c.last])
		}
		buf = spare(buf)
	}
}

// commitSeveral publishes calls that need several messages, together as one atomic batch, until the queue is
// closed and empty.
func (l *Log) commitSeveral(ctx context.Context) {
	var buf []byte
	for {
		p, ok := l.several.take()
		if !ok {
			return
		}
		var msgs []*nats.Msg
		msgs, buf = p.messages(l, buf[:0])
		last, err := l.send(ctx, logName, msgs)
		first := last - uint64(len(msgs)) + 1
		for _, c := range p.calls {
			l.several.finish(c, first+uint64(c.last), err)
		}
		buf = spare(buf)
	}
}

// spare returns buf for the next commit unless it is too large to be kept.
func spare(buf []byte) []byte {
	if cap(buf) > 2*commitBytes {
		return nil
	}
	return buf
}

// send publishes messages with ids to one stream, all or none, and returns the sequence of the last. It tries
// again for the log's patience while the servers do not answer: the ids keep a repetition from being stored
// twice.
func (l *Log) send(ctx context.Context, stream string, msgs []*nats.Msg) (uint64, error) {
	if err := l.breaker.Allow(ctx); err != nil {
		return 0, feature.Errorf(feature.CodeUnavailable, "publish, nothing was published: %w", err)
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Patience)
	defer cancel()
	from := l.seen.Load() // a repetition lies behind it
	sure := true          // that no try so far can have been stored
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, longestRetryPause) {
		seq, err := l.try(ctx, stream, msgs)
		if err == nil {
			l.reached(stream, seq)
			l.breaker.Note(nil)
			return seq, nil
		}
		v := judge(err)
		if v.broken && l.server != nil {
			l.server.cannotWrite()
		}
		if stream == logName && !errors.Is(err, ErrReplaced) && (v.stored || v.final && !sure) {
			if seq, found := l.locate(from+1, msgs[len(msgs)-1].Header.Get(nats.MsgIdHdr)); found {
				return seq, nil
			}
		} else if v.stored { // which of the ids, only the caller can find out
			return 0, feature.Errorf(feature.CodeConflict, "publish: %w", err)
		}
		sure = sure && v.sure
		if !v.final && wait(ctx, pause) {
			continue
		}
		if !v.final && caller.Err() == nil {
			l.breaker.Note(err) // no answer for as long as we wait for one
		}
		if sure {
			return 0, v.error("publish, nothing was published", err)
		}
		return 0, v.error("publish, it is unknown whether the log took the rows", err)
	}
}

func (l *Log) reached(stream string, seq uint64) {
	if stream != logName {
		return
	}
	for {
		old := l.seen.Load()
		if seq <= old || l.seen.CompareAndSwap(old, seq) {
			return
		}
	}
}

// same returns ErrReplaced if the log is not the one that was opened, or has lost what it was seen to have: a sequence that
// it gives now was used before. It looks once after each time that the connection was lost.
func (l *Log) same(ctx context.Context) error {
	n := l.conn.Stats().Reconnects
	if n == l.looked.Load() {
		return nil
	}
	seen := l.seen.Load()
	info, err := l.info(ctx, logName)
	if err != nil {
		return err
	}
	if id := info.Config.Metadata[idKey]; id != l.id || info.State.LastSeq < seen {
		return fmt.Errorf("the log %q ends at %d, that of before is %q and was at %d: %w", id, info.State.LastSeq, l.id, seen, ErrReplaced)
	}
	l.looked.Store(n)
	return nil
}

// wait waits for d; false if ctx ends before that.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// errNotSent says that the message that would have committed was not handed to the connection.
var errNotSent = errors.New("not sent")

// try publishes once: one message plainly, several as an atomic batch.
func (l *Log) try(ctx context.Context, stream string, msgs []*nats.Msg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	defer l.tries.add(cancel)()
	if err := l.same(ctx); err != nil {
		return 0, fmt.Errorf("%w: %w", errNotSent, err)
	}
	if n := len(msgs); n > 1 {
		id := fmt.Sprintf("%s-b%d", l.name, l.next.Add(1)) // a batch that was begun is not continued
		for i, m := range msgs {
			m.Header.Set(batchID, id)
			m.Header.Set(batchSeq, strconv.Itoa(i+1))
		}
		msgs[n-1].Header.Set(batchCommit, "1")
		for _, m := range msgs[:n-1] {
			if err := l.conn.PublishMsg(m); err != nil {
				return 0, fmt.Errorf("%w: %w", errNotSent, err)
			}
		}
	}
	reply, err := l.conn.RequestMsgWithContext(ctx, msgs[len(msgs)-1])
	if err != nil {
		return 0, err
	}
	seq, err := readAck(reply.Data, stream)
	return seq, cmp.Or(err, l.same(ctx)) // the connection may have been lost since
}

// tries are the requests that wait for an answer. They end when the connection does, after which none comes.
type tries struct {
	mu     sync.Mutex
	cancel map[int]context.CancelFunc
	next   int
}

// add notes a request and returns what forgets it.
func (t *tries) add(cancel context.CancelFunc) (remove func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel == nil {
		t.cancel = map[int]context.CancelFunc{}
	}
	id := t.next
	t.next++
	t.cancel[id] = cancel
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.cancel, id)
	}
}

func (t *tries) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, cancel := range t.cancel {
		cancel()
	}
}

func readAck(data []byte, stream string) (uint64, error) {
	var ack struct {
		Stream string              `json:"stream"`
		Seq    uint64              `json:"seq"`
		Error  *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return 0, fmt.Errorf("read acknowledgement %q: %w", data, err)
	}
	switch {
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Stream != stream || ack.Seq == 0:
		return 0, feature.Errorf(feature.CodeInternal, "acknowledged by stream %q at %d, expected %s", ack.Stream, ack.Seq, stream)
	default:
		return ack.Seq, nil
	}
}

// verdict is what an error of one try means.
type verdict struct {
	code   feature.Code
	text   string // what callers are told; "" when the servers did not answer
	sure   bool   // nothing was stored by this try
	final  bool   // trying again is of no use
	stored bool   // an earlier try was stored
	broken bool   // the server cannot write
}

func (v verdict) error(doing string, err error) error {
	return feature.Errorf(v.code, "%s: %w", doing, feature.Hide(err, cmp.Or(v.text, "NATS does not answer")))
}

func judge(err error) verdict {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return judgeAPI(api)
	}
	v := verdict{code: feature.CodeUnavailable}
	switch {
	case errors.Is(err, ErrReplaced):
		v.final, v.sure, v.text = true, errors.Is(err, errNotSent), "the log was replaced by another; this process has to be started again"
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, errNotSent), errors.Is(err, nats.ErrReconnectBufExceeded):
		v.sure = true
	case errors.Is(err, nats.ErrConnectionClosed):
		v.final = true
	case errors.Is(err, nats.ErrMaxPayload):
		v = verdict{code: feature.CodeTooLarge, text: "the message is too large for NATS", sure: true, final: true}
	}
	return v
}

func judgeAPI(err *jetstream.APIError) verdict {
	v := verdict{code: feature.CodeUnavailable, text: "NATS refuses it now", sure: true, final: true}
	switch err.ErrorCode {
	case codeStoreFailed:
		v.text, v.broken, v.sure = "NATS cannot store it, as when a disk is full", true, false // the write failed, or its sync
		if err.Description == descriptionFull {
			v.broken, v.sure = false, true
			v.code, v.text = feature.CodeOverloaded, "the log is full; raise its limit, or wait until what is read is trimmed"
		}
	case codeNoResources, codeAccountFull:
		v.code, v.text = feature.CodeOverloaded, "NATS has no room for more"
	case codeTooLarge:
		v.code, v.text = feature.CodeTooLarge, "the message is too large for NATS"
	case codeWrongLast, codeWrongLastOf:
		v.code = feature.CodeConflict
	case codeDuplicate:
		v.stored, v.final, v.sure = true, false, false
	case codeIncomplete, codeManyInFlight:
		v.final = false
	default:
		v.final = err.Code != 503 // a leader is being elected, say
	}
	return v
}

// locate looks in the log, from a sequence on, for the message with an id: what an earlier try may have stored.
func (l *Log) locate(from uint64, id string) (uint64, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	s, err := l.js.Stream(ctx, logName)
	if err != nil {
		return 0, false
	}
	state := s.CachedInfo().State
	for seq := max(from, state.FirstSeq); seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, false
		}
		if err == nil && m.Header.Get(nats.MsgIdHdr) == id {
			return seq, true
		}
	}
	return 0, false
}
