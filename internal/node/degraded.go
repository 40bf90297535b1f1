package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

const (
	behindAfter = 10 * time.Second // from which ClickHouse is said to be behind the log
	fullAfter   = 0.9              // share of the log from which it is said to fill up
)

// degraded says in words what does not work as it should, though the process serves: for people, readyz and status.
func (n *Node) degraded() []string {
	out := []string{}
	if n.log.Failure() != nil || n.head.failed.Load() != nil {
		out = append(out, "NATS cannot be reached: pushes and changes of definitions fail; reads are answered from what is here")
	}
	if full := n.head.full(); full > fullAfter {
		out = append(out, fmt.Sprintf("the log is %.0f%% full: when it is full, pushes are refused", 100*full))
	}
	out = append(out, n.historyDegraded()...)
	if n.ids != nil {
		if err := n.known.Failure(); err != nil && !errors.Is(err, context.Canceled) {
			out = append(out, "the index of ids does not follow the log: "+feature.Public(err))
		}
	}
	if n.online == nil {
		return out
	}
	out = append(append(out, n.staleness()...), n.Serving().Behind()...)
	if n.online.Health() != nil {
		out = append(out, "the replica's copy on disk does not follow its memory: values are right, the next start takes longer")
	}
	return out
}

// historyDegraded says what ClickHouse does not do as it should.
func (n *Node) historyDegraded() []string {
	var out []string
	err := n.covered.Failure()
	switch {
	case n.offline.Failure() != nil:
		out = append(out, "ClickHouse cannot be reached: reads below the floor, training sets and imports fail; the log keeps what is pushed")
	case err != nil && !errors.Is(err, context.Canceled):
		out = append(out, "ClickHouse does not follow the log: "+feature.Public(err))
	}
	if d := n.historyLag.behind(); d > behindAfter && n.historyLag.entries() > 0 {
		out = append(out, fmt.Sprintf("ClickHouse is %d entries behind the log, for %s", n.historyLag.entries(), d.Round(time.Second)))
	}
	return out
}

// readiness says why the process does not do its work at all, or nil. Views that come later do not take it back: they are
// filled beside what is served.
func (n *Node) readiness(context.Context) error {
	if n.online == nil {
		if n.cfg.has(Ingest) && n.head.failed.Load() != nil {
			return feature.Errorf(feature.CodeUnavailable, "NATS cannot be reached, and this process has nothing to do without")
		}
		return nil
	}
	if n.ready.Load() {
		return nil
	}
	if n.replica.Adopted() == nil {
		return feature.Errorf(feature.CodeUnavailable, "the replica has not reached the log yet")
	}
	if joining := n.replica.Joining(); len(joining) > 0 {
		return feature.Errorf(feature.CodeUnavailable, "loading the history of %s and %d more", joining[0].View, len(joining)-1)
	}
	n.ready.Store(true)
	return nil
}
