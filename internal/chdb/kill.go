package chdb

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The pause between two rounds of kills doubles from the first to the last.
const firstKillPause, lastKillPause = 5 * time.Millisecond, 80 * time.Millisecond

// killer ends statements whose callers are gone. The engine knows them by a mark, a comment at their start: its interface
// takes no query id. All doomed statements die in one KILL QUERY a round, round after round until they have ended, since
// a statement may not have reached the engine's list yet.
type killer struct {
	control *conn
	wake    chan struct{} // capacity 1: a round is due
	over    chan struct{}
	gone    chan struct{}

	mu     sync.Mutex
	last   int64
	doomed map[string]bool
}

// newKiller starts a killer on control, which nobody else uses until close.
func newKiller(control *conn) *killer {
	k := &killer{
		control: control, doomed: map[string]bool{},
		wake: make(chan struct{}, 1), over: make(chan struct{}), gone: make(chan struct{}),
	}
	go k.run()
	return k
}

// watch returns a mark to put before a statement on c, which is doomed when ctx ends before done is called. No other request gets c
// then: a kill may be on its way still, to the statement's query id, which the next one on the connection can have too.
func (k *killer) watch(ctx context.Context, c *conn) (mark string, done func()) {
	k.mu.Lock()
	k.last++
	mark = "/*lockstep:" + strconv.FormatInt(k.last, 10) + "*/"
	k.mu.Unlock()
	ended := false // guarded by mu
	stop := context.AfterFunc(ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !ended {
			k.doomed[mark] = true
			k.poke()
		}
	})
	return mark, func() {
		stop()
		k.mu.Lock()
		defer k.mu.Unlock()
		ended = true
		if k.doomed[mark] {
			c.touched = true
			delete(k.doomed, mark)
		}
	}
}

// poke asks for a round.
func (k *killer) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *killer) run() {
	defer close(k.gone)
	for pause := firstKillPause; ; {
		select {
		case <-k.over:
			return
		case <-k.wake:
		}
		marks := k.marks()
		if len(marks) == 0 {
			pause = firstKillPause
			continue
		}
		var where strings.Builder
		for i, mark := range marks {
			if i > 0 {
				where.WriteString(" OR ")
			}
			where.WriteString("startsWith(query, '" + mark + "')")
		}
		// An error has no one to go to; the next round tries again.
		_, _ = k.control.text("KILL QUERY WHERE NOT is_cancelled AND (" + where.String() + ") ASYNC")
		time.AfterFunc(pause, k.poke)
		pause = min(2*pause, lastKillPause)
	}
}

func (k *killer) marks() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Keys(k.doomed))
}

// close ends the killer; the control connection is free then.
func (k *killer) close() {
	close(k.over)
	<-k.gone
}
