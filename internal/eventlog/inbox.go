package eventlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// headerInbox marks the row groups that came through the inbox with the place up to which they cover it: the
// inbox's identity, a blank, a sequence.
const headerInbox = "Lockstep-Inbox"

const (
	inboxMessages = 512     // messages of the inbox that are handled together
	inboxBytes    = 4 * mib // and about how many bytes of them
)

// InboxHandler makes batches of rows of one source. rows holds JSON objects, one a row; what is not JSON, or
// not an object, is in it as it came and is to be refused. It may be called again with the same rows, and its
// error ends Inbox.
type InboxHandler func(ctx context.Context, source string, rows [][]byte) (InboxResult, error)

// Inbox takes what other producers publish on lockstep.in.<source>, in order, and puts what handle makes of it
// into the log, until ctx ends or handle fails. A message is a JSON object, an array of objects, or objects one
// a line. The producer's JetStream acknowledgement says that the inbox has the message, as safely as the log's
// Durability says; a full inbox refuses.
//
// Every accepted row gets into the log once, through crashes at any point and with any number of processes that
// run Inbox: the row groups carry the place in the inbox that they cover, and the log takes them only behind
// those of the place before. (A producer that repeats a message repeats its rows, unless it names it with
// Nats-Msg-Id.) A refused row is kept at least once, and once if whoever handles it again does so within two
// minutes.
// Rows of one source keep their order; of different sources, nothing is promised.
func (l *Log) Inbox(ctx context.Context, handle InboxHandler) error {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, longestRetryPause) {
		in := &inboxReader{log: l, handle: handle}
		err := in.run(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errHandler) && feature.CodeOf(err) != feature.CodeUnavailable, errors.Is(err, ErrReplaced):
			return err
		case feature.CodeOf(err) == feature.CodeConflict, errors.Is(err, ErrTruncated):
			l.cfg.Logger.Info("another process reads the inbox too")
		default:
			l.cfg.Logger.Warn("read the inbox again", slog.Any("error", err))
		}
		if in.progress {
			pause = 10 * time.Millisecond
		}
		if !wait(ctx, pause) {
			return ctx.Err()
		}
	}
}

// errHandler marks errors of the handler.
var errHandler = errors.New("handle events of the inbox")

type inboxReader struct {
	log      *Log
	handle   InboxHandler
	covered  uint64 // sequence of the inbox up to which all is in the log
	last     uint64 // sequence of the log's last row group that came through the inbox
	progress bool
}

func (in *inboxReader) run(ctx context.Context) error {
	if err := in.resume(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	messages := make(chan message, inboxMessages) // so that a chunk collects while another is published
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		stop(in.log.follow(ctx, inboxName, in.covered+1, func(m message) error {
			select {
			case messages <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}))
	}()
	err := in.consume(ctx, messages)
	stop(err)
	<-ended
	return err
}

// resume finds the place up to which the log covers the inbox.
func (in *inboxReader) resume(ctx context.Context) error {
	m, err := in.log.lastOf(ctx, inboxSubject)
	if err != nil {
		return err
	}
	if m != nil {
		in.last = m.Sequence
		id, seq, _ := strings.Cut(m.Header.Get(headerInbox), " ")
		n, err := strconv.ParseUint(seq, 10, 64)
		if err != nil {
			return &CorruptError{Seq: m.Sequence, Upto: m.Sequence, Err: fmt.Errorf("header %s: %w", headerInbox, err)}
		}
		if id == in.log.ids[inboxName] {
			in.covered = n
		}
	}
	first, _, err := in.log.bounds(ctx, inboxName)
	if err != nil {
		return err
	}
	in.covered = max(in.covered, max(first, 1)-1) // what was dealt with was purged
	return in.log.purge(ctx, inboxName, in.covered+1)
}

func (in *inboxReader) consume(ctx context.Context, messages <-chan message) error {
	for {
		chunk, err := collect(ctx, messages)
		if err != nil {
			return err
		}
		for len(chunk) > 0 {
			n, err := in.put(ctx, chunk)
			if err != nil {
				return err
			}
			chunk = chunk[n:]
		}
	}
}

// collect waits for a message and takes what else is there.
func collect(ctx context.Context, messages <-chan message) ([]message, error) {
	var chunk []message
	select {
	case m := <-messages:
		chunk = append(chunk, m)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	size := len(chunk[0].Data())
	for len(chunk) < inboxMessages && size < inboxBytes {
		select {
		case m := <-messages:
			chunk = append(chunk, m)
			size += len(m.Data())
		default:
			return chunk, nil
		}
	}
	return chunk, nil
}

// put handles messages and brings the result into the log. It returns how many it dealt with: fewer than all if
// their rows are too many for the log to take at once.
func (in *inboxReader) put(ctx context.Context, chunk []message) (int, error) {
	for {
		n, err := in.putAll(ctx, chunk)
		if feature.CodeOf(err) != feature.CodeTooLarge || errors.Is(err, errHandler) {
			return n, err
		}
		if len(chunk) == 1 {
			return 1, in.refuse(ctx, chunk[0], err)
		}
		chunk = chunk[:len(chunk)/2]
	}
}

// putAll is put of all or none of the messages.
func (in *inboxReader) putAll(ctx context.Context, chunk []message) (int, error) {
	result, err := in.handleAll(ctx, chunk)
	defer func() {
		for i := range result.Next { // those that are not published
			_ = result.Next[i].end(nil, false) // fails only where there is something to note
		}
	}()
	if err != nil {
		return 0, err
	}
	p, err := in.pack(result)
	if err != nil {
		return 0, err
	}
	// Letters first: should we end in between, they are kept twice rather than not at all.
	in.name(chunk, result.Letters)
	if err := in.log.Refuse(ctx, result.Letters...); err != nil {
		return 0, err
	}
	covered := chunk[len(chunk)-1].seq()
	if err := in.publish(ctx, p, covered); err != nil {
		return 0, err
	}
	return len(chunk), in.cover(ctx, covered)
}

// refuse makes a letter of a message that the log cannot take.
func (in *inboxReader) refuse(ctx context.Context, m message, why error) error {
	letters := []Letter{{Source: source(m), Reason: why.Error(), Raw: m.Data()}}
	in.name([]message{m}, letters)
	if err := in.log.Refuse(ctx, letters...); err != nil {
		return err
	}
	return in.cover(ctx, m.seq())
}

// cover notes that everything up to a sequence of the inbox was dealt with.
func (in *inboxReader) cover(ctx context.Context, seq uint64) error {
	in.covered, in.progress = seq, true
	return in.log.purge(ctx, inboxName, seq+1)
}

// handleAll lets the handler have the rows of each source.
func (in *inboxReader) handleAll(ctx context.Context, chunk []message) (InboxResult, error) {
	var sources []string
	rows := map[string][][]byte{}
	for _, m := range chunk {
		s := source(m)
		if rows[s] == nil {
			sources = append(sources, s)
		}
		rows[s] = append(rows[s], splitRows(m.Data())...)
	}
	var all InboxResult
	for _, s := range sources {
		if len(rows[s]) == 0 {
			continue
		}
		r, err := in.handle(ctx, s, rows[s])
		all.Next = append(all.Next, r.Next...)
		if err != nil {
			return all, fmt.Errorf("%w %s: %w", errHandler, s, err)
		}
		all.Batches = append(all.Batches, r.Batches...)
		all.Letters = append(all.Letters, r.Letters...)
	}
	return all, nil
}

// name gives letters ids that are the same whenever, and by whomever, the same messages are handled: the place of
// the row in the inbox, which is told by its bytes.
func (in *inboxReader) name(chunk []message, letters []Letter) {
	if len(letters) == 0 {
		return
	}
	type row struct {
		source string
		sum    uint64
	}
	places := map[row][]string{} // in order, where rows are equal
	for _, m := range chunk {
		for i, raw := range splitRows(m.Data()) {
			r := row{source(m), xxhash.Sum64(raw)}
			places[r] = append(places[r], fmt.Sprintf("%d-%d", m.seq(), i))
		}
	}
	for i := range letters {
		r := row{letters[i].Source, xxhash.Sum64(letters[i].Raw)}
		place := fmt.Sprintf("%d_%d", in.covered, i) // not a row as it came: by its place in the chunk
		if p := places[r]; len(p) > 0 {
			place, places[r] = p[0], p[1:]
		}
		letters[i].id = in.log.ids[inboxName] + "-" + place
		letters[i].origin = letters[i].id
	}
}

func source(m message) string { return strings.TrimPrefix(m.Subject(), inboxPrefix) }

// splitRows returns the rows of a message: the elements of a JSON array, the values one after the other, or, if
// it is not JSON throughout, the message as it is. An empty message has none.
func splitRows(data []byte) [][]byte {
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '[' {
		var elems []json.RawMessage
		if json.Unmarshal(trimmed, &elems) != nil {
			return [][]byte{data}
		}
		rows := make([][]byte, len(elems))
		for i, e := range elems {
			rows[i] = e
		}
		return rows
	}
	var rows [][]byte
	for dec := json.NewDecoder(bytes.NewReader(data)); ; {
		var row json.RawMessage
		switch err := dec.Decode(&row); {
		case err == io.EOF:
			return rows
		case err != nil:
			return [][]byte{data}
		}
		rows = append(rows, row)
	}
}
