package offline

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// windowQuery is what window_ranges.sql and window_lives.sql need.
type windowQuery struct {
	*events
	packed
	Plan      *windowPlan
	Placed    bool // arrays are in order of position, else of time
	Ranked    bool // positions are ranks, because events differ in their columns alone (rule O2)
	Spine     string
	SpineKeys []spineKey
	OnlyKeys  bool

	args []any
}

// windowAsk says whose windows are wanted, and at which instants.
type windowAsk struct {
	item        *feature.Item
	features    []int // of the item's view; those without a window are passed over
	cut         feature.Cut
	first, last feature.Time // read times
	spine       string       // quoted table of row numbers, instants and keys
	keys        []spineKey
	onlyKeys    bool
}

// windowQuery prepares the queries.
func (s *Store) windowQuery(ctx context.Context, src *feature.Source, ask windowAsk) (*windowQuery, error) {
	v := ask.item.View
	p, err := newWindowPlan(v, ask.features, func(in feature.Input) (feature.Type, error) { return inputType(src, in) })
	if err != nil {
		return nil, err
	}
	e, err := s.visible(ctx, src, readOf{edition: v.Edition.Number, cut: ask.cut, keys: v.Keys, inputs: p.inputs()})
	if err != nil {
		return nil, err
	}
	q := newWindowQuery(src, e, p, ask)
	if q.Placed {
		if q.Ranked, err = s.tied(ctx, src, e); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func newWindowQuery(src *feature.Source, e *events, p *windowPlan, ask windowAsk) *windowQuery {
	q := &windowQuery{
		events: e, packed: newPacked(src, e), Plan: p, Placed: p.Ordered, Spine: ask.spine, SpineKeys: ask.keys, OnlyKeys: ask.onlyKeys,
	}
	q.bind(ask)
	return q
}

func inputType(src *feature.Source, in feature.Input) (feature.Type, error) {
	if in.Column == feature.AnyEvent {
		return feature.Bool, nil
	}
	f, err := field(src, in.Column)
	return f.Type, err
}

func (q *windowQuery) bind(ask windowAsk) {
	v := ask.item.View
	after, last := feature.MaxTime, max(asof.Hi(ask.last, v.Delay), feature.MinTime)
	for f := range q.Plan.finish {
		after = min(after, asof.Lo(v.Features[f].Window, asof.Hi(ask.first, v.Delay)))
	}
	q.args = append(q.params(), clickhouse.Named("delay", int64(v.Delay)),
		clickhouse.Named("after", int64(max(after, feature.MinTime-1))), clickhouse.Named("last", int64(min(last, feature.MaxTime))))
	for _, s := range q.Plan.Spans {
		q.args = append(q.args, clickhouse.Named(fmt.Sprintf("width%d", s.Edge), int64(s.Width)))
		if s.Hop > 0 {
			q.args = append(q.args, clickhouse.Named(fmt.Sprintf("hop%d", s.Edge), int64(s.Hop)))
		}
	}
}

// ranges and lives are the two queries; "" where the plan has no columns of the kind.
func (q *windowQuery) ranges() (string, error) {
	if len(q.Plan.Edged)+len(q.Plan.Ranged) == 0 {
		return "", nil
	}
	return text("window_ranges.sql", q)
}

func (q *windowQuery) lives() (string, error) {
	if len(q.Plan.Lived) == 0 {
		return "", nil
	}
	alone := *q
	alone.Placed = false
	return text("window_lives.sql", &alone)
}

// Swept are the inputs that are counted up to each edge.
func (q *windowQuery) Swept() []windowInput {
	var swept []windowInput
	for _, in := range q.Plan.Inputs {
		if in.Swept {
			swept = append(swept, in)
		}
	}
	return swept
}

// Edges are the numbers of the edges of windows, that of hi first.
func (q *windowQuery) Edges() []int {
	edges := []int{1}
	for _, s := range q.Plan.Spans {
		if s.Swept {
			edges = append(edges, s.Edge)
		}
	}
	return edges
}

// Ends are the instants at which something stops living in each of the windows asked for: by the next one like it, or
// where it falls out.
func (q *windowQuery) Ends(l lifetime) []string {
	var ends []string
	for _, edge := range l.Edges {
		end := "_next"
		if edge > 0 {
			s := q.Plan.Spans[edge-2]
			end = fmt.Sprintf("least(_next, _x + {width%d:Int64})", edge)
			if s.Hop > 0 {
				end = fmt.Sprintf("least(_next, _x + positiveModulo(-_x, {hop%[1]d:Int64}) + {width%[1]d:Int64})", edge)
			}
		}
		ends = append(ends, end)
	}
	return ends
}

// MaxRank is the greatest level of a register.
func (q *windowQuery) MaxRank() int { return agg.MaxRank }

// Mask covers the number of a register.
func (q *windowQuery) Mask(l lifetime) int { return 1<<l.Bits - 1 }

// Hash is agg.Hash of the class's input.
func (q *windowQuery) Hash(l lifetime) string {
	if q.Plan.Inputs[l.Input].typ.Kind == feature.KindBool {
		return fmt.Sprintf("xxHash64(toUInt8(_v%d))", l.Input)
	}
	return fmt.Sprintf("xxHash64(_v%d)", l.Input)
}
