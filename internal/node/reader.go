package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/derive"
)

// staleAfter is the lag from which an answer calls itself stale.
const staleAfter = 2 * time.Second

// Lookup answers from the replica or the history (rule C5): auto goes to the history only where the replica
// does not keep the instant, or is still loading the view.
func (n *Node) Lookup(ctx context.Context, l *feature.Lookup, path feature.Path) (*feature.Answer, error) {
	b, err := n.distinct(l)
	if err != nil {
		return nil, err
	}
	a, err := derive.Lookup(b.Lookup, func(base *feature.Lookup) (*feature.Answer, error) {
		under := b
		under.Lookup = base
		return n.lookup(ctx, under, path)
	})
	if err == nil {
		a.Stale = append(a.Stale, b.stale...)
	}
	return a, err
}

func (n *Node) lookup(ctx context.Context, l brought, path feature.Path) (*feature.Answer, error) {
	if path == feature.PathOffline || n.online == nil {
		if path == feature.PathOnline {
			return nil, feature.Errorf(feature.CodeInvalid, "this process keeps no replica (its roles lack serve): ask for path offline or another process")
		}
		return n.lookupOffline(ctx, l, "")
	}
	if err := checkKept(l.Lookup, feature.Time(time.Now().UnixMicro())); err != nil {
		return nil, err
	}
	err := n.applied(ctx, l.since)
	var a *feature.Answer
	if err == nil {
		a, err = n.online.Lookup(l.Lookup)
	}
	if err == nil {
		a.Stale = append(n.staleness(), l.Plan.Behind...)
		return a, nil
	}
	switch {
	case errors.Is(err, feature.ErrUnavailable) && l.Plan.Catalog != n.Serving():
		return nil, feature.Errorf(feature.CodeConflict, "the definitions changed while the read was planned: %w", err)
	case path == feature.PathOnline:
		return nil, err
	case errors.Is(err, feature.ErrBelowFloor):
		return n.lookupOffline(ctx, l, "")
	case errors.Is(err, feature.ErrUnavailable):
		return n.lookupOffline(ctx, l, feature.Public(err))
	default:
		return nil, err
	}
}

// checkKept refuses a read at an instant for which its sources do not keep their events (rule E4): a replica that was made
// since does not have them either.
func checkKept(l *feature.Lookup, now feature.Time) error {
	if l.At >= now.Add(-feature.RetentionSlack) { // no view reads further back than its source keeps events
		return nil
	}
	for i := range l.Plan.Items {
		v := l.Plan.Items[i].View
		src := l.Plan.Catalog.Source(v.Source)
		if src == nil {
			continue
		}
		if err := v.CheckKept(l.At, src.Kept(now)); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) lookupOffline(ctx context.Context, l brought, why string) (*feature.Answer, error) {
	if err := n.covers(ctx, l.since); err != nil {
		return nil, err
	}
	cut, err := n.watermark(ctx)
	if err != nil {
		return nil, err
	}
	a, err := n.offline.Lookup(ctx, l.Lookup, cut)
	if err != nil {
		return nil, err
	}
	a.Stale = append(a.Stale, l.Plan.Behind...)
	if why != "" {
		a.Stale = append(a.Stale, why)
	}
	if err := n.covered.Failure(); err != nil {
		a.Stale = append(a.Stale, fmt.Sprintf("the history ends at sequence %d: %s", cut.Seq, feature.Public(err)))
	}
	return a, nil
}

// watermark waits a moment at start until the watermark is known.
func (n *Node) watermark(ctx context.Context) (feature.Cut, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := n.covered.Wait(ctx, 0); err != nil {
		return feature.Cut{}, err
	}
	return n.covered.Watermark(), nil
}

// staleness says in words what an online answer may lack (rule C5).
func (n *Node) staleness() []string {
	var stale []string
	if behind := n.lag.behind(); behind > staleAfter {
		stale = append(stale, fmt.Sprintf("the replica has been behind the log for %s", behind.Round(100*time.Millisecond)))
	}
	if err := n.replica.Failure(); err != nil {
		stale = append(stale, "the replica does not follow the log now")
	}
	return stale
}

// fresh returns the watermark once it covers what the log holds now, or as it is after a few seconds; then stale says
// in words what it lacks (rule C5).
func (n *Node) fresh(ctx context.Context) (cut feature.Cut, stale string, err error) {
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, head, lost := n.log.Bounds(asking)
	if lost == nil {
		_ = n.covered.Wait(asking, head) // whether it does is seen below
	}
	if cut, err = n.watermark(ctx); err != nil {
		return cut, "", err
	}
	switch {
	case lost != nil:
		stale = fmt.Sprintf("NATS cannot be reached; the history ends at sequence %d", cut.Seq)
	case cut.Seq < head:
		stale = fmt.Sprintf("the history ends at sequence %d, the log at %d", cut.Seq, head)
	}
	return cut, stale, nil
}
