package node

import (
	"context"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/verify"
)

// Explain says what both paths make of the one key of the lookup, and of what. Of on-demand features it explains what they read.
func (n verifier) Explain(ctx context.Context, l *feature.Lookup) (*api.Explanation, error) {
	base := *l
	base.Plan = l.Plan.Base()
	b, err := n.distinct(&base)
	if err != nil {
		return nil, err
	}
	if err := n.offline.Ping(ctx); err != nil { // else it waits for ClickHouse to come back
		return nil, err
	}
	if err := n.applied(ctx, b.since); err != nil {
		return nil, err
	}
	x, err := verify.Explain(ctx, n.online, both(n), b.Lookup)
	if err != nil {
		return nil, err
	}
	out := &api.Explanation{Keys: map[string]feature.Value{}, At: l.At.Std(), Seq: x.Cut.Seq, Features: []api.Explained{}}
	for i, k := range l.Plan.Keys {
		out.Keys[k.Name] = l.Keys[i][0]
	}
	if x.Refused != nil {
		out.Refused = feature.Public(x.Refused)
	}
	for i := range x.Features {
		out.Features = append(out.Features, explained(&x.Features[i]))
	}
	return out, nil
}

func explained(x *verify.Explained) api.Explained {
	out := api.Explained{
		Feature: x.Feature, After: edge(x.Lo), Until: edge(x.Hi), Offline: api.CellOf(x.Offline), Differs: x.Differs,
		Sums: []api.ExplainedSum{}, Events: []api.ExplainedEvent{}, More: x.More, Older: x.Older,
	}
	if x.Online != nil {
		c := api.CellOf(*x.Online)
		out.Online = &c
	}
	for _, s := range x.Sums {
		sum := api.ExplainedSum{Level: s.Level, After: edge(s.After), Until: edge(s.Until), Events: s.Events, Online: s.Value, Differs: s.Differs}
		if s.Known {
			sum.Offline = &s.Offline
		}
		out.Sums = append(out.Sums, sum)
	}
	for _, e := range x.Events {
		event := api.ExplainedEvent{
			EventTime: e.EventTime.Std(), Seq: e.Seq, Idx: e.Idx, Value: e.Value, Deleted: e.Deleted, Request: e.Request, Online: e.Online, Offline: e.Offline, Notes: e.Notes,
		}
		if e.Request {
			event.Seq = 0
		} else if e.Offline {
			event.AvailableAt = edge(e.AvailableAt)
		}
		out.Events = append(out.Events, event)
	}
	return out
}

// edge is an instant of a body; nil where there is none, or none that can be written.
func edge(t feature.Time) *time.Time {
	if t == asof.Ever || !t.Valid() {
		return nil
	}
	at := t.Std()
	return &at
}
