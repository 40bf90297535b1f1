package offline

import (
	"context"
	"fmt"
	"math/bits"

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
	// Late is the quoted table of the spine rows that must not see some event of their windows, because it was not there yet;
	// "" when there is none. Each of them goes as a key of its own, with the events that it sees.
	Late  string
	Reach feature.Span // no window goes back farther; 0 when one is a lifetime

	args []any
}

// windowAsk says whose windows are wanted, and at which instants.
type windowAsk struct {
	item     *feature.Item
	features []int // of the item's view; those without a window are passed over
	cut      feature.Cut
	at       generationsAt
	piece
	spine    string // quoted table of row numbers, instants and keys
	keys     []spineKey
	onlyKeys bool
}

// windowQuery prepares the queries.
func (s *Store) windowQuery(ctx context.Context, src *feature.Source, ask windowAsk) (*windowQuery, error) {
	v := ask.item.View
	p, err := newWindowPlan(v, ask.features, func(in feature.Input) (feature.Type, error) { return inputType(src, in) })
	if err != nil {
		return nil, err
	}
	e, err := s.visible(ctx, src, readOf{edition: v.Edition.Number, cut: ask.cut, at: ask.at, keys: v.Keys, inputs: p.inputs()})
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
	q.Reach = p.reach(ask.item.View)
	q.args = q.bound(ask.item.View, ask.piece)
	return q
}

func inputType(src *feature.Source, in feature.Input) (feature.Type, error) {
	if in.Column == feature.AnyEvent {
		return feature.Bool, nil
	}
	if in.Computed != nil {
		return in.Computed.Type, nil
	}
	f, err := field(src, in.Column)
	return f.Type, err
}

// bound are the arguments for a piece of the spine.
func (q *windowQuery) bound(v *feature.View, p piece) []any {
	after, last := feature.MaxTime, max(asof.Hi(p.last, v.Delay), feature.MinTime)
	for f, finish := range q.Plan.finish {
		if finish != nil {
			after = min(after, asof.Lo(v.Features[f].Window, asof.Hi(p.first, v.Delay)))
		}
	}
	args := append(q.params(), clickhouse.Named("from", p.from), clickhouse.Named("to", p.to), clickhouse.Named("delay", int64(v.Delay)),
		clickhouse.Named("after", int64(max(after, feature.MinTime-1))), clickhouse.Named("last", int64(min(last, feature.MaxTime))))
	if q.Reach > 0 {
		args = append(args, clickhouse.Named("reach", int64(q.Reach)))
	}
	for _, s := range q.Plan.Spans {
		args = append(args, clickhouse.Named(fmt.Sprintf("width%d", s.Edge), int64(s.Width)))
		if s.Hop > 0 {
			args = append(args, clickhouse.Named(fmt.Sprintf("hop%d", s.Edge), int64(s.Hop)))
		}
	}
	return args
}

// ranges and lives are the two queries; "" where the plan has no columns of the kind.
func (q *windowQuery) ranges() (string, error) {
	if len(q.Plan.Ranged) == 0 {
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

// Swept are the inputs that ranged columns are about.
func (q *windowQuery) Swept() []*windowInput {
	var swept []*windowInput
	for i := range q.Plan.Inputs {
		if q.Plan.Inputs[i].Swept {
			swept = append(swept, &q.Plan.Inputs[i])
		}
	}
	return swept
}

// Groups are what tells keys apart: their parts, and with late events the spine row that goes alone.
func (q *windowQuery) Groups() []string {
	if q.Late == "" {
		return q.KeyAliases()
	}
	return append(q.KeyAliases(), "_alone")
}

// Radix is a power of two above all numbers of edges: a time times it leaves room for one.
func (q *windowQuery) Radix() int { return 1 << bits.Len(uint(len(q.Plan.Spans)+1)) }

// Tags covers the number of an edge.
func (q *windowQuery) Tags() int { return q.Radix() - 1 }

// Range is the SQL of a window's ranges, from how many values there are up to each edge.
func (q *windowQuery) Range(w inputWindow) string {
	up := func(edge int) string {
		return fmt.Sprintf("arrayFilter((_n, _m) -> bitAnd(_m, %d) = %d, _n%[3]d, _m%[3]d)", q.Tags(), edge, w.Input)
	}
	if w.Edge == 0 {
		return fmt.Sprintf("arrayMap(_h -> (toUInt64(1), toUInt64(_h)), %s)", up(1))
	}
	return fmt.Sprintf("arrayMap((_h, _l) -> (toUInt64(_l + 1), toUInt64(_h - _l)), %s, %s)", up(1), up(w.Edge))
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
