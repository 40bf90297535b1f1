package node

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/online"
	"github.com/lockstepfs/lockstep/registry"
)

// Estimates are of a sample of keys, and a plan does not wait for them for ever.
const (
	sampledKeys  = 1000
	estimateTime = 20 * time.Second
)

// estimate says in the plan what its new and changed views will take in every replica, as far as the history tells. Where
// ClickHouse cannot be asked there is no estimate.
func (n *Node) estimate(ctx context.Context, defs *registry.Definitions, plan *registry.Plan) error {
	catalog, err := registry.Resolve(defs)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, estimateTime)
	defer cancel()
	for i := range plan.Changes {
		c := &plan.Changes[i]
		if c.Kind != registry.KindView || c.Action != registry.Create && c.Action != registry.Change {
			continue
		}
		at := slices.IndexFunc(catalog.Views, func(v *feature.View) bool { return v.Name == c.Name })
		if at < 0 {
			continue
		}
		if c.State, err = n.estimateView(ctx, catalog.Views[at]); err != nil {
			n.logger.Warn("the state of a view was not estimated", slog.String("view", c.Name), slog.Any("error", err))
		}
	}
	return nil
}

// estimateView returns nil for a view that has no events.
func (n *Node) estimateView(ctx context.Context, v *feature.View) (*registry.StateEstimate, error) {
	src := n.registry.Catalog().Source(v.Source)
	if src == nil {
		return nil, nil
	}
	planned := *v
	planned.Edition = src.Edition
	cut, err := n.watermark(ctx)
	if err != nil {
		return nil, err
	}
	sample, err := n.offline.Sample(ctx, &planned, cut, sampledKeys)
	if err != nil || sample.Clock == asof.NoClock {
		return nil, err
	}
	f, err := online.Measure(&planned, src, sample.Clock, sample.Rows)
	if err != nil {
		return nil, err
	}
	return &registry.StateEstimate{Keys: sample.Keys, Bytes: f.Total(sample.Keys, sample.Events)}, nil
}

// checkBudget refuses a plan with a view whose state is estimated above the budget.
func (n *Node) checkBudget(plan *registry.Plan) error {
	refused := feature.Errorf(feature.CodeTooLarge, "views need more state in every replica than state_budget allows: apply with --yes to make them all the same")
	for _, c := range plan.Changes {
		if c.State != nil && c.State.Bytes > n.cfg.StateBudget {
			refused.Details = append(refused.Details, feature.Detail{Field: c.Name, Message: c.State.String()})
		}
	}
	if len(refused.Details) == 0 {
		return nil
	}
	return refused
}
