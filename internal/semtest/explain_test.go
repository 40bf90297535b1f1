package semtest_test

import (
	"context"
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/verify"
)

// explainer is an execution with both paths.
type explainer interface {
	Explain(ctx context.Context, l *feature.Lookup) (*verify.Explanation, error)
}

// Explain says of on-demand features what they read.
func (e *streamEngine) Explain(ctx context.Context, l *feature.Lookup) (*verify.Explanation, error) {
	below := *l
	below.Plan, l = l.Plan.Base(), &below
	if err := e.knows(ctx, l); err != nil {
		return nil, err
	}
	l, err := judged(e.ids, e.catalog, l)
	if err != nil {
		return nil, err
	}
	if err := e.covered(ctx); err != nil {
		return nil, err
	}
	return verify.Explain(ctx, e.present, past{e.store, e.sink}, l)
}

// explain holds the explanation of a read's first key against what must be so where both paths are right: they have the same
// events, and sums say what the events say.
func explain(ctx context.Context, e explainer, l *feature.Lookup) error {
	first := *l
	first.Keys = nil
	for _, column := range l.Keys {
		first.Keys = append(first.Keys, column[:1])
	}
	x, err := e.Explain(ctx, &first)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	for i, f := range x.Features {
		slot := l.Plan.Base().Slots[i]
		exact := l.Plan.Items[slot.Item].View.Features[slot.Feature].Type.Kind != feature.KindFloat64 // V3
		if f.Differs && exact {
			return fmt.Errorf("explain %s: online %v, offline %v", f.Feature, *f.Online, f.Offline)
		}
		for _, s := range f.Sums {
			if s.Differs && exact {
				return fmt.Errorf("explain %s: the sum of (%s, %s] is %s, of the events of ClickHouse %s", f.Feature, s.After, s.Until, s.Value, s.Offline)
			}
		}
		for _, event := range f.Events {
			for _, note := range event.Notes {
				if note != verify.Late {
					return fmt.Errorf("explain %s: the event at %s, sequence %d, is %s", f.Feature, event.EventTime, event.Seq, note)
				}
			}
		}
	}
	return nil
}
