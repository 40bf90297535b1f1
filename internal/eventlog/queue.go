package eventlog

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/lockstepfs/lockstep/feature"
)

const commitBytes = 32 * mib // most bytes of rows that go out in one commit, unless a single call has more

// room is what calls that wait, or are on their way, may take.
type room struct {
	*semaphore.Weighted // bytes; FIFO, so that a large call is not overtaken forever
	size                int64
}

func newRoom(size int64) *room { return &room{semaphore.NewWeighted(size), size} }

// weight is what c takes of it; a call larger than the room takes all of it.
func (r *room) weight(c *call) int64 { return min(c.bytes, r.size) }

// queue holds the calls that wait to be published, oldest first.
type queue struct {
	room  *room
	limit int           // bytes of a message
	wake  chan struct{} // capacity 1: there is something to look at

	mu     sync.Mutex
	calls  []*call
	closed bool
}

func newQueue(r *room, limit int) *queue {
	return &queue{room: r, limit: limit, wake: make(chan struct{}, 1)}
}

func errClosed() error { return feature.Errorf(feature.CodeUnavailable, "the log is closed") }

// submit waits for room and then for the outcome.
func (q *queue) submit(ctx context.Context, c *call) (uint64, error) {
	if err := q.room.Acquire(ctx, q.room.weight(c)); err != nil {
		return 0, feature.Errorf(feature.CodeOverloaded, "wait for room in the log's queue, nothing was published: %w", err)
	}
	if !q.push(c) {
		q.room.Release(q.room.weight(c))
		return 0, errClosed()
	}
	select {
	case o := <-c.done:
		return o.seq, o.err
	case <-ctx.Done():
	}
	if q.withdraw(c) {
		return 0, fmt.Errorf("publish, nothing was published: %w", ctx.Err())
	}
	select {
	case o := <-c.done: // both were ready
		return o.seq, o.err
	default:
		return 0, fmt.Errorf("wait for the log, it is unknown whether it takes the rows: %w", ctx.Err())
	}
}

func (q *queue) push(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.calls = append(q.calls, c)
	q.signal()
	return true
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// withdraw takes c out again; false if the committer has it already.
func (q *queue) withdraw(c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.taken {
		return false
	}
	for i := range q.calls {
		if q.calls[i] == c {
			q.calls = append(q.calls[:i], q.calls[i+1:]...)
			break
		}
	}
	q.room.Release(q.room.weight(c))
	return true
}

// take waits for calls and packs as many as go into one commit. It returns false once the queue is closed and
// empty.
func (q *queue) take() (*packer, bool) {
	for {
		p, closed := q.pack()
		if len(p.calls) > 0 {
			return p, true
		}
		if closed {
			return nil, false
		}
		<-q.wake
	}
}

func (q *queue) pack() (p *packer, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p = &packer{limit: q.limit}
	n := 0
	for n < len(q.calls) && p.add(q.calls[n]) {
		q.calls[n].taken = true
		n++
	}
	rest := copy(q.calls, q.calls[n:])
	clear(q.calls[rest:])
	q.calls = q.calls[:rest]
	return p, q.closed
}

// finish gives a call its outcome.
func (q *queue) finish(c *call, seq uint64, err error) {
	c.done <- outcome{seq, err}
	q.room.Release(q.room.weight(c))
}

// close refuses further calls; false if it was closed before.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.closed = true
	q.signal()
	return true
}
