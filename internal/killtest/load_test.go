package killtest_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

// batch is what a producer sends at once, or a file to import: all of it is taken or nothing.
type batch struct {
	id     int64
	source string
	rows   int
	file   bool
	acked  bool   // the producer knows that it is taken; else it may be or not
	seq    uint64 // of the log, as the producer was told; 0 if it was not
}

// book is what the producers know: the expectation that everything is compared with.
type book struct {
	mu      sync.Mutex
	batches map[int64]*batch
	next    int64
	acked   atomic.Int64 // batches
	unfit   error        // the first answer that no kill explains
}

func newBook() *book { return &book{batches: map[int64]*batch{}} }

// begin notes that rows are about to be sent.
func (b *book) begin(source string, rows int) *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	x := &batch{id: b.next, source: source, rows: rows}
	if isLarge(x.id) {
		x.rows += 2000
	}
	b.batches[x.id] = x
	return x
}

// ack notes that a batch is taken.
func (b *book) ack(x *batch, seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !x.acked {
		b.acked.Add(1)
	}
	x.acked, x.seq = true, cmp.Or(seq, x.seq)
}

// refused notes an answer to a batch that was not taken. A server or log that is gone explains it, or nothing does.
func (b *book) refused(err error) {
	if errors.Is(err, feature.ErrUnavailable) || errors.Is(err, feature.ErrOverloaded) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unfit == nil {
		b.unfit = err
	}
}

// rows returns how many rows are acknowledged and of how many that is unknown.
func (b *book) rows() (acked, unknown int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, x := range b.batches {
		if x.acked {
			acked += x.rows
		} else {
			unknown += x.rows
		}
	}
	return acked, unknown
}

// load is producers that send without pause.
type load struct {
	stack *stack
	book  *book
	rest  atomic.Int64 // rows that may still be sent: the check afterwards has to end too
	group sync.WaitGroup
	stop  context.CancelFunc
}

// startLoad starts producers of both sources over HTTP, and one of NATS messages.
func startLoad(ctx context.Context, s *stack, b *book, rng *rand.Rand) *load {
	ctx, stop := context.WithCancel(ctx)
	l := &load{stack: s, book: b, stop: stop}
	l.more()
	for _, source := range []string{"payments", "payments", "refunds"} {
		own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
		l.group.Go(func() { l.push(ctx, source, own) })
	}
	own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
	l.group.Go(func() { l.publish(ctx, "refunds", own) })
	return l
}

// more lets the producers send some thousand rows more.
func (l *load) more() { l.rest.Add(8000) }

// end stops the producers and returns when they know what became of their last batches.
func (l *load) end() {
	l.stop()
	l.group.Wait()
}

// draw begins a batch that spans all months. It waits while enough was sent, and returns nil when ctx ends.
func (l *load) draw(ctx context.Context, source string, rng *rand.Rand) (x *batch, lines []json.RawMessage) {
	if !until(ctx, 10*time.Millisecond, func() bool { return l.rest.Load() > 0 }) || ctx.Err() != nil {
		return nil, nil
	}
	x = l.book.begin(source, months+rng.IntN(4*months))
	l.rest.Add(-int64(x.rows))
	for i := range x.rows {
		r := rowOf(number(x.id, i))
		lines = append(lines, r.json())
	}
	return x, lines
}

// push sends batches over HTTP. Those of a source with an id it repeats until they are acknowledged, to whatever process, and
// some even then (rule E1); of another source a repetition would be another batch.
func (l *load) push(ctx context.Context, source string, rng *rand.Rand) {
	for {
		x, lines := l.draw(ctx, source, rng)
		if x == nil {
			return
		}
		err := l.pushOnce(ctx, x, lines)
		if source == "refunds" {
			giveUp, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			until(giveUp, 200*time.Millisecond, func() bool {
				if err != nil {
					err = l.pushOnce(ctx, x, lines)
				}
				return err == nil
			})
			cancel()
			if err == nil && rng.IntN(10) == 0 {
				err = l.pushOnce(ctx, x, lines)
			}
		}
		if err != nil {
			l.rest.Add(int64(x.rows))
			pause(ctx, 200*time.Millisecond)
		}
		pause(ctx, time.Duration(20+rng.IntN(80))*time.Millisecond)
	}
}

// pushOnce notes what the answer says.
func (l *load) pushOnce(ctx context.Context, x *batch, lines []json.RawMessage) error {
	r, err := l.stack.api().PushRows(context.WithoutCancel(ctx), sdk.PushRequest{Source: x.source, Rows: lines})
	switch {
	case err != nil:
		l.book.refused(fmt.Errorf("push: %w", err))
	case r.Accepted == x.rows && r.Duplicates == 0 && !x.acked:
		l.book.ack(x, r.Seq)
	case r.Duplicates == x.rows && r.Accepted == 0 && r.Conflicts == 0 && x.source == "refunds":
		l.book.ack(x, 0) // it was taken before
	default:
		l.book.refused(fmt.Errorf("push: of %d rows of %s %d are accepted, %d duplicates and %d conflicts", x.rows, x.source, r.Accepted, r.Duplicates, r.Conflicts))
	}
	return err
}

// publish sends batches as NATS messages and repeats each under its message id until it is acknowledged, and some under another.
func (l *load) publish(ctx context.Context, source string, rng *rand.Rand) {
	conn, err := nats.Connect(l.stack.natsURL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.RetryOnFailedConnect(true))
	if err != nil {
		l.book.refused(fmt.Errorf("connect to NATS: %w", err))
		return
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		l.book.refused(fmt.Errorf("connect to NATS: %w", err))
		return
	}
	for {
		x, lines := l.draw(ctx, source, rng)
		if x == nil {
			return
		}
		m := nats.NewMsg("lockstep.in." + source)
		m.Data = bytes.Join(rawLines(lines), []byte("\n"))
		for copies := rng.IntN(8) / 7; copies >= 0; copies-- {
			m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("kill-%d-%d", x.id, copies))
			l.send(ctx, js, m, x)
		}
		pause(ctx, time.Duration(50+rng.IntN(100))*time.Millisecond)
	}
}

// send repeats a message until it is acknowledged.
func (l *load) send(ctx context.Context, js jetstream.JetStream, m *nats.Msg, x *batch) {
	until(ctx, 50*time.Millisecond, func() bool {
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if _, err := js.PublishMsg(once, m); err != nil {
			return false
		}
		l.book.ack(x, 0)
		return true
	})
}

func rawLines(lines []json.RawMessage) [][]byte {
	out := make([][]byte, len(lines))
	for i, line := range lines {
		out[i] = line
	}
	return out
}
