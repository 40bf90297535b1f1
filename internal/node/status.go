package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// operator tells how the process is.
type operator struct{ *Node }

func (n operator) Status(ctx context.Context) (*api.Status, error) {
	n.head.look(ctx)
	s := &api.Status{Version: n.cfg.Version, Started: n.started, Revision: n.registry.Catalog().Revision, Stale: n.degraded()}
	for _, r := range n.cfg.Roles {
		s.Roles = append(s.Roles, string(r))
	}
	s.Log = n.logStatus()
	ctx, cancel := context.WithTimeout(ctx, waitForLog)
	defer cancel()
	if stats, err := n.log.Stats(ctx); err == nil { // else what is stale says so
		s.DeadLetters = &api.DeadLettersStatus{}
		for _, count := range stats.Dead {
			s.DeadLetters.Count += count
		}
	}
	if n.ids != nil {
		s.Identity = n.identityStatus(n.head.last())
	}
	s.Sink = &api.SinkStatus{Watermark: n.covered.Watermark(), Behind: n.historyLag.entries(), LagMS: n.historyLag.behind().Milliseconds()}
	if n.online != nil {
		s.Replica = n.replicaStatus()
	}
	var err error
	if s.Copies, err = n.copies(ctx); err != nil {
		s.Stale = append(s.Stale, "how copies of tables went cannot be read: "+feature.Public(err))
	}
	for _, c := range s.Copies {
		if c.Error != "" {
			s.Stale = append(s.Stale, fmt.Sprintf("source %s: the last copy failed: %s", c.Source, c.Error))
		}
	}
	return s, nil
}

// logStatus describes the log as it last answered.
func (n operator) logStatus() *api.LogStatus {
	e := n.head.seen.Load()
	if e == nil {
		return nil
	}
	return &api.LogStatus{ID: n.log.ID(), First: e.First, Last: e.Last, Bytes: e.Bytes, MaxBytes: max(e.MaxBytes, 0), Durability: string(n.log.Durability())}
}

func (n operator) replicaStatus() *api.ReplicaStatus {
	st := n.online.Stats()
	r := &api.ReplicaStatus{Position: st.Position, Behind: n.lag.entries(), LagMS: n.lag.behind().Milliseconds(), Views: []api.ViewStatus{}}
	for _, v := range st.Views {
		out := api.ViewStatus{View: v.View.String(), Ready: v.Ready, Keys: v.Keys}
		if v.HasClock {
			clock, floor := v.Clock.Std(), v.Floor.Std()
			out.Clock, out.Floor = &clock, &floor
		}
		if bytes, err := n.online.StateBytes(v.View); err == nil { // else it goes at this moment
			out.StateBytes = bytes
		}
		r.Views = append(r.Views, out)
	}
	return r
}

func (n operator) identityStatus(head uint64) []api.IdentityStatus {
	var out []api.IdentityStatus
	at := n.ids.Position().Seq
	for source, c := range n.ids.Counts() {
		out = append(out, api.IdentityStatus{Source: source, Duplicates: c.Duplicates, Conflicts: c.Conflicts, Behind: head - min(head, at)})
	}
	slices.SortFunc(out, func(a, b api.IdentityStatus) int { return strings.Compare(a.Source, b.Source) })
	return out
}
