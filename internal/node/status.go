package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/api"
)

// operator tells how the process is.
type operator struct{ *Node }

func (n operator) Status(ctx context.Context) (*api.Status, error) {
	s := &api.Status{Version: n.cfg.Version, Started: n.started, Revision: n.registry.Catalog().Revision, Stale: []string{}}
	for _, r := range n.cfg.Roles {
		s.Roles = append(s.Roles, string(r))
	}
	stats, err := n.log.Stats(ctx)
	if err != nil {
		s.Stale = append(s.Stale, "the log cannot be reached: "+err.Error())
	} else {
		s.Log = &api.LogStatus{ID: n.log.ID(), First: stats.First, Last: stats.Last, Durability: string(n.log.Durability())}
		s.DeadLetters = &api.DeadLettersStatus{}
		for _, count := range stats.Dead {
			s.DeadLetters.Count += count
		}
	}
	if n.ids != nil {
		s.Identity = n.identityStatus(stats.Last)
		if err := n.known.Failure(); err != nil && !errors.Is(err, context.Canceled) {
			s.Stale = append(s.Stale, "the index of ids does not follow the log: "+err.Error())
		}
	}
	mark := n.covered.Watermark()
	s.Sink = &api.SinkStatus{Watermark: mark, Behind: stats.Last - min(stats.Last, mark.Seq)}
	if err := n.covered.Failure(); err != nil {
		s.Stale = append(s.Stale, "ClickHouse does not follow the log: "+err.Error())
	}
	if n.online != nil {
		s.Replica = n.replicaStatus(stats.Last)
		s.Stale = append(append(s.Stale, n.staleness()...), n.Serving().Behind()...)
		if err := n.replica.Failure(); err != nil && !errors.Is(err, context.Canceled) {
			s.Stale = append(s.Stale, "the replica stopped: "+err.Error())
		}
	}
	if s.Copies, err = n.copies(ctx); err != nil {
		s.Stale = append(s.Stale, "how copies of tables went cannot be read: "+err.Error())
	}
	for _, c := range s.Copies {
		if c.Error != "" {
			s.Stale = append(s.Stale, fmt.Sprintf("source %s: the last copy failed: %s", c.Source, c.Error))
		}
	}
	return s, nil
}

func (n operator) replicaStatus(head uint64) *api.ReplicaStatus {
	st := n.online.Stats()
	r := &api.ReplicaStatus{Position: st.Position, Behind: head - min(head, st.Position.Seq), LagMS: n.lag.behind().Milliseconds(), Views: []api.ViewStatus{}}
	for _, v := range st.Views {
		out := api.ViewStatus{View: v.View.String(), Ready: v.Ready, Keys: v.Keys}
		if v.HasClock {
			clock, floor := v.Clock.Std(), v.Floor.Std()
			out.Clock, out.Floor = &clock, &floor
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
