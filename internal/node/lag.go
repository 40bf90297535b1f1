package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

const (
	lookAtLog  = 100 * time.Millisecond // how often the log is asked how far it is
	waitForLog = 2 * time.Second        // how long it may take to answer
)

// head watches how far the log is, and for how long those who follow it have been behind.
type head struct {
	extent    func(context.Context) (eventlog.Extent, error)
	followers []*lag

	seen   atomic.Pointer[eventlog.Extent] // what the log last said of itself; nil before it said anything
	failed atomic.Pointer[error]           // why it could not be asked
}

// follow returns the lag of what is at the position. All are made before run.
func (h *head) follow(position func() feature.Cut) *lag {
	l := &lag{head: h, position: position}
	h.followers = append(h.followers, l)
	return l
}

func (h *head) run(ctx context.Context) error {
	tick := time.NewTicker(lookAtLog)
	defer tick.Stop()
	for _, l := range h.followers {
		l.stamp()
	}
	for {
		h.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (h *head) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, waitForLog)
	defer cancel()
	extent, err := h.extent(ctx)
	if err != nil {
		h.failed.Store(&err)
		return
	}
	h.seen.Store(&extent)
	h.failed.Store(nil)
	for _, l := range h.followers {
		if l.entries() == 0 {
			l.stamp()
		}
	}
}

// last returns the last sequence of the log when it last answered.
func (h *head) last() uint64 {
	if e := h.seen.Load(); e != nil {
		return e.Last
	}
	return 0
}

// full returns the share of the log that is full, 0 when it has no limit.
func (h *head) full() float64 {
	e := h.seen.Load()
	if e == nil || e.MaxBytes <= 0 {
		return 0
	}
	return float64(e.Bytes) / float64(e.MaxBytes)
}

// lag is how far something is behind the head of the log.
type lag struct {
	head     *head
	position func() feature.Cut
	level    atomic.Pointer[time.Time] // when it was last seen level with the head; steps of the clock do not change it
}

func (l *lag) stamp() {
	now := time.Now()
	l.level.Store(&now)
}

// entries returns how many entries it is behind.
func (l *lag) entries() uint64 {
	last := l.head.last()
	return last - min(last, l.position().Seq)
}

// behind returns for how long it has been behind; 0 when it is level.
func (l *lag) behind() time.Duration {
	level := l.level.Load()
	if level == nil || l.head.failed.Load() == nil && l.entries() == 0 {
		return 0
	}
	return time.Since(*level)
}
