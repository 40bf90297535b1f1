package offline

import (
	"context"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// SampleKeys returns up to n keys that have events at or before at's hi: a column for each of the plan's keys, all of one
// length. The sample is pseudo-random and the same for the same history and arguments. A plan of several views or roles
// gets keys that exist in each; where views share only some of their keys, the views with more parts come first.
func (s *Store) SampleKeys(ctx context.Context, p *feature.Plan, at feature.Time, n int, cut feature.Cut) ([][]feature.Value, error) {
	out := make([][]feature.Value, len(p.Keys))
	items := make([]*feature.Item, len(p.Items))
	for i := range p.Items {
		items[i] = &p.Items[i]
	}
	slices.SortStableFunc(items, func(a, b *feature.Item) int { return len(b.Keys) - len(a.Keys) })
	longest := 0
	for salt, it := range items {
		var open []int // the item's key parts that no item before has
		for part, name := range it.Keys {
			if out[feature.FieldIndex(p.Keys, name)] == nil {
				open = append(open, part)
			}
		}
		if len(open) == 0 {
			continue
		}
		keys, err := s.sampleItem(ctx, sampleOf{item: it, at: at, n: n, cut: cut, salt: salt})
		if err != nil {
			return nil, err
		}
		for _, part := range open {
			column := make([]feature.Value, len(keys))
			for i, k := range keys {
				column[i] = k[part]
			}
			out[feature.FieldIndex(p.Keys, it.Keys[part])] = column
		}
		longest = max(longest, len(keys))
	}
	for i, column := range out {
		out[i] = stretch(column, longest)
	}
	return out, nil
}

// stretch repeats values until there are n; none become NULL.
func stretch(values []feature.Value, n int) []feature.Value {
	if len(values) == 0 {
		return make([]feature.Value, n)
	}
	for i := 0; len(values) < n; i++ {
		values = append(values, values[i])
	}
	return values
}

// sampleOf asks for keys of one view or role.
type sampleOf struct {
	item *feature.Item
	at   feature.Time
	n    int
	cut  feature.Cut
	salt int // of the role: two roles of one view get different keys
}

func (s *Store) sampleItem(ctx context.Context, r sampleOf) ([]feature.Key, error) {
	v := r.item.View
	src, err := s.known(ctx, v.Source)
	hi := min(asof.Hi(r.at, v.Delay), feature.MaxTime)
	if src == nil || err != nil || hi < feature.MinTime {
		return nil, err
	}
	e, err := s.visible(ctx, src, readOf{edition: v.Edition.Number, cut: r.cut, keys: v.Keys})
	if err != nil {
		return nil, err
	}
	sql, err := text("sample.sql", e)
	if err != nil {
		return nil, err
	}
	args := append(e.params(), clickhouse.Named("hi", int64(hi)), clickhouse.Named("n", int64(r.n)), clickhouse.Named("salt", int64(r.salt)))
	var keys []feature.Key
	key, into := newKey(v.Entity.Key)
	err = s.each(ctx, query{"sample keys of " + v.Ref().String(), sql, args}, func(rows driver.Rows) error {
		err := rows.Scan(into...)
		keys = append(keys, keyOf(key))
		return err
	})
	return keys, err
}
