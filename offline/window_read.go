package offline

import (
	"context"
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
)

// windowStream reads what the windows of each spine row hold, for one item. Rows with a NULL key are not in it.
type windowStream struct {
	view   *feature.View
	plan   *windowPlan
	ranges *ridStream // nil where there are no columns of the kind
	lives  *ridStream
	row    windowRow
}

// newWindowStream prepares the queries for the window features given; without a source, whose events they would see, there
// are none.
func (t *TrainingSet) newWindowStream(ctx context.Context, src *feature.Source, it *feature.Item, features []int) (*windowStream, error) {
	if src == nil {
		return &windowStream{view: it.View}, nil
	}
	rows, err := t.eventRows(ctx, src.Name)
	if err != nil {
		return nil, err
	}
	ask := windowAsk{
		item: it, features: features, cut: t.ask.Cut, at: t.at, piece: piece{to: t.spine.rows, first: t.spine.first, last: t.spine.last},
		spine: quote(t.spine.table), keys: t.spineKeys(it), onlyKeys: rows > sparse*t.spine.rows,
	}
	q, err := t.store.windowQuery(ctx, src, ask)
	if err != nil {
		return nil, err
	}
	if t.ask.Clock == feature.ClockAvailable {
		if err := t.stageLate(ctx, q); err != nil {
			return nil, err
		}
	}
	pieces, err := t.pieces(ctx, src, ask)
	if err != nil {
		return nil, err
	}
	return q.stream(ask, pieces)
}

// stageLate finds the spine rows that late events touch.
func (t *TrainingSet) stageLate(ctx context.Context, q *windowQuery) error {
	name := fmt.Sprintf("%s_late%d", t.spine.table, len(t.spine.late))
	alone := *q
	alone.Late, alone.Placed = quote(name), false
	sql, err := text("late.sql", &alone)
	if err != nil {
		return err
	}
	const doing = "find the rows that late events touch"
	t.spine.late = append(t.spine.late, name)
	if err := t.store.conn.Exec(ctx, sql, q.args...); err != nil {
		return failure(doing, err)
	}
	var rows uint64
	if err := t.store.conn.QueryRow(ctx, "SELECT count() FROM "+alone.Late).Scan(&rows); err != nil {
		return failure(doing, err)
	}
	if rows > 0 {
		q.Late = alone.Late
	}
	return nil
}

// stream is a reader of the queries, not yet opened.
func (q *windowQuery) stream(ask windowAsk, pieces []piece) (*windowStream, error) {
	s := &windowStream{view: ask.item.View, plan: q.Plan}
	ranges, err := q.ranges()
	if err != nil {
		return nil, err
	}
	lives, err := q.lives()
	if err != nil {
		return nil, err
	}
	doing := "compute windows of " + ask.item.Role
	if ranges != "" {
		s.ranges = &ridStream{}
		for _, p := range pieces {
			s.ranges.later = append(s.ranges.later, query{doing, ranges, q.bound(ask.item.View, p)})
		}
		s.row.ranged, s.ranges.into = newVariables(types(q.Plan.Ranged))
		s.ranges.into = append([]any{&s.ranges.rid}, s.ranges.into...)
	}
	if lives != "" {
		s.lives = &ridStream{later: []query{{doing, lives, q.args}}}
		s.row.lived, s.lives.into = newVariables(types(q.Plan.Lived))
		s.lives.into = append([]any{&s.lives.rid}, s.lives.into...)
	}
	return s, nil
}

func types(columns []windowColumn) []feature.Type {
	types := make([]feature.Type, len(columns))
	for i, c := range columns {
		types[i] = c.typ
	}
	return types
}

func (s *windowStream) streams() []*ridStream {
	var all []*ridStream
	for _, one := range []*ridStream{s.ranges, s.lives} {
		if one != nil {
			all = append(all, one)
		}
	}
	return all
}

// finisher is that of feature f.
func (s *windowStream) finisher(f int) finisher {
	if s.plan == nil {
		nothing := overNothing(&s.view.Features[f])
		return finishValue(func(*windowRow) feature.Value { return nothing })
	}
	return s.plan.finish[f]
}

// overNothing is the value of a window without events (rule W3).
func overNothing(f *feature.Feature) feature.Value {
	return agg.New(agg.SpecOf(f.Window, feature.Type{Kind: f.Type.Kind})).Value()
}
