package online

import (
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// asked is the events that a read brings for one view, by key as on disk (rule D4). No state ever has one.
type asked map[string][]asof.Event

// asked returns the events of the lookup that are part of the view; nil as a rule.
func (t *table) asked(l *feature.Lookup) (asked, error) {
	b := l.EventsOf(t.view.Source)
	if b == nil {
		return nil, nil
	}
	m := mapping{formulas: t.mapping.formulas.clone()}
	if err := m.set(t, b); err != nil {
		return nil, fmt.Errorf("events of the request: %w", err)
	}
	a, key, parts := asked{}, []byte(nil), feature.Key(nil)
	for i := range b.Rows {
		if m.outside(i) {
			continue
		}
		parts = parts[:0]
		for _, c := range m.keys {
			parts = append(parts, c.Value(i))
		}
		key = wire.AppendKey(t.prefix(key[:0]), parts)
		a[string(key)] = append(a[string(key)], m.event(asof.Asked, i, nil, false))
	}
	return a, nil
}
