package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// lag watches how far the replica is behind the head of the log.
type lag struct {
	bounds   func(context.Context) (first, last uint64, err error)
	position func() feature.Cut
	now      func() time.Time

	head   atomic.Uint64 // last sequence of the log when it was last asked
	level  atomic.Int64  // when the replica was last seen level with the head, in microseconds
	failed atomic.Bool   // the log could not be asked
}

func (l *lag) run(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	l.level.Store(l.now().UnixMicro())
	for {
		_, last, err := l.bounds(ctx)
		l.failed.Store(err != nil)
		if err == nil {
			l.head.Store(last)
			if l.position().Seq >= last {
				l.level.Store(l.now().UnixMicro())
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// behind returns for how long the replica has been behind the head of the log; 0 when it is level.
func (l *lag) behind() time.Duration {
	if !l.failed.Load() && l.position().Seq >= l.head.Load() {
		return 0
	}
	return max(0, l.now().Sub(time.UnixMicro(l.level.Load())))
}
