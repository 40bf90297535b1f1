package server

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

const (
	replayFor  = 10 * time.Minute
	maxReplays = 10_000
	maxReplay  = 255 // bytes of a key
)

// replays remembers the answers to pushes by their idempotency key: the last 10,000, for 10 minutes, in this
// process. Behind a load balancer, or after a restart, a repetition is a new push; there the identity of the
// source's rows (rule E1) keeps them apart.
type replays struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[replayKey]*replayEntry
	order   []*replayEntry // oldest first; may hold entries that were removed
}

type replayKey struct{ source, key string }

// replayEntry is one push. done is closed when answer is set, or when the push failed (answer nil) and the
// entry was removed.
type replayEntry struct {
	key    replayKey
	hash   [sha256.Size]byte
	at     time.Time
	done   chan struct{}
	answer *api.PushResponse
}

func newReplays(now func() time.Time) *replays {
	return &replays{now: now, entries: map[replayKey]*replayEntry{}}
}

// claim returns the entry of a key, and whether it is new: then the caller pushes and calls settle. It fails
// with CodeConflict when the key belongs to other rows.
func (r *replays) claim(key replayKey, hash [sha256.Size]byte) (e *replayEntry, isNew bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	if e := r.entries[key]; e != nil {
		if e.hash != hash {
			return nil, false, feature.Errorf(feature.CodeConflict, "the idempotency key %q was used for other rows", key.key)
		}
		return e, false, nil
	}
	e = &replayEntry{key: key, hash: hash, at: r.now(), done: make(chan struct{})}
	r.entries[key] = e
	r.order = append(r.order, e)
	return e, true, nil
}

// settle sets the answer of a claimed entry; nil, after a failure, frees the key.
func (r *replays) settle(e *replayEntry, answer *api.PushResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.answer = answer
	if answer == nil && r.entries[e.key] == e {
		delete(r.entries, e.key)
	}
	close(e.done)
}

// forget drops entries that are too old or too many, settled or not. r.mu is held.
func (r *replays) forget() {
	limit := r.now().Add(-replayFor)
	n := 0
	for n < len(r.order) && (len(r.order)-n >= maxReplays || r.order[n].at.Before(limit)) {
		if e := r.order[n]; r.entries[e.key] == e {
			delete(r.entries, e.key)
		}
		r.order[n] = nil
		n++
	}
	r.order = r.order[n:]
}
