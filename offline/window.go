package offline

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
)

// windowPlan says how the window features that are asked of a view are made (rules W1 to W5): SQL returns columns, of which
// finish makes values. There are two kinds of columns.
//   - Ranged ones are about ranges of arrays: the values of a key, in order of position, from one edge of a window to the other.
//   - Lived ones are running sums of what enters a window and leaves it: distinct values and levels of registers.
type windowPlan struct {
	Inputs  []windowInput
	Spans   []windowSpan  // distinct finite windows
	Windows []inputWindow // those that ranged columns are about
	Ranged  []windowColumn
	Lives   []lifetime
	Lived   []windowColumn
	Ordered bool // values of equal event time must stand in order of position

	finish []finisher // for each of the view's features; nil where it was not asked for
}

// windowInput is one input of the view.
type windowInput struct {
	feature.Input
	Index int
	place int // among the view's inputs
	typ   feature.Type
	Swept bool  // ranged columns are about it
	edges []int // lower ones of their windows
	Array bool  // they need its values, not only how many there are
}

// Has reports whether a window with this lower edge is of the input.
func (in *windowInput) Has(edge int) bool { return slices.Contains(in.edges, edge) }

// windowSpan is a window with two edges. Edge 1 is hi, the others are lower ones.
type windowSpan struct {
	Width, Hop feature.Span
	Edge       int
}

// inputWindow is the values of an input in a window; edge 0 is that of a lifetime.
type inputWindow struct{ Input, Edge int }

// Name is the alias of the ranges: for each spine row of a key the place of the window's first value, and how many there are.
func (w inputWindow) Name() string { return fmt.Sprintf("_r%d_%d", w.Input, w.Edge) }

// windowColumn is a column that a query returns. Expr is how it is computed, Out what is made of that at the end.
type windowColumn struct {
	Expr string
	Out  string // with %s
	typ  feature.Type
}

// lifetime is a class of things that live in windows: the values of an input, or the levels of registers that they set.
type lifetime struct {
	Input, Class int
	Bits         int   // of a register's number; 0 for values
	Edges        []int // of the windows that are asked for
}

// newWindowPlan plans the view's window features among those given by index. typeOf gives the type of an input.
func newWindowPlan(v *feature.View, features []int, typeOf func(feature.Input) (feature.Type, error)) (*windowPlan, error) {
	p := &windowPlan{finish: make([]finisher, len(v.Features))}
	inputs := v.Inputs()
	for _, f := range features {
		w := v.Features[f].Window
		if w == nil || p.finish[f] != nil {
			continue
		}
		place := v.InputOf(f, inputs)
		i := slices.IndexFunc(p.Inputs, func(in windowInput) bool { return in.place == place })
		if i < 0 {
			typ, err := typeOf(inputs[place])
			if err != nil {
				return nil, err
			}
			i = len(p.Inputs)
			p.Inputs = append(p.Inputs, windowInput{Input: inputs[place], Index: i, place: place, typ: typ})
		}
		p.finish[f] = p.operator(inputWindow{i, p.edge(w)}, agg.SpecOf(w, p.Inputs[i].typ))
	}
	return p, nil
}

// inputs are what the plan reads of an event.
func (p *windowPlan) inputs() []feature.Input {
	inputs := make([]feature.Input, len(p.Inputs))
	for i := range p.Inputs {
		inputs[i] = p.Inputs[i].Input
	}
	return inputs
}

// reach is how far back a window goes at the most, 0 for ever.
func (p *windowPlan) reach(v *feature.View) feature.Span {
	var most feature.Span
	for f, finish := range p.finish {
		if finish == nil {
			continue
		}
		w := v.Features[f].Window
		if w.Width == 0 {
			return 0
		}
		most = max(most, w.Width+w.Hop)
	}
	return most
}

// edge is the number of the window's lower edge, 0 for a lifetime.
func (p *windowPlan) edge(w *feature.Window) int {
	if w.Width == 0 {
		return 0
	}
	for _, s := range p.Spans {
		if s.Width == w.Width && s.Hop == w.Hop {
			return s.Edge
		}
	}
	s := windowSpan{Width: w.Width, Hop: w.Hop, Edge: len(p.Spans) + 2}
	p.Spans = append(p.Spans, s)
	return s.Edge
}

// sweep makes the ranges of a window.
func (p *windowPlan) sweep(x inputWindow) {
	in := &p.Inputs[x.Input]
	in.Swept = true
	if x.Edge > 0 && !in.Has(x.Edge) {
		in.edges = append(in.edges, x.Edge)
	}
	if !slices.Contains(p.Windows, x) {
		p.Windows = append(p.Windows, x)
	}
}

// placeOf returns the place of a column among those given, and adds it where it is missing.
func placeOf(columns *[]windowColumn, c windowColumn) int {
	if at := slices.Index(*columns, c); at >= 0 {
		return at
	}
	*columns = append(*columns, c)
	return len(*columns) - 1
}

func (p *windowPlan) operator(x inputWindow, s agg.Spec) finisher {
	switch s.Op {
	case agg.Count:
		n := p.count(x)
		return finishInt(func(r *windowRow) int64 { return r.ranged[n].num })
	case agg.Sum:
		return p.sum(x, s)
	case agg.Avg:
		return p.average(x, s)
	case agg.VarPop, agg.VarSamp, agg.StddevPop, agg.StddevSamp:
		return p.variance(x, s.Op)
	case agg.Min, agg.Max:
		return p.some(x, p.over(x, string(s.Op), x.Name(), "%s", s.Input))
	case agg.First, agg.Last:
		return p.some(x, p.over(x, "any", p.end(x, s.Op == agg.Last, 1), "%s", s.Input))
	case agg.FirstN, agg.LastN:
		return p.list(p.over(x, fmt.Sprintf("groupArray(%d)", s.N), p.end(x, s.Op == agg.LastN, s.N), "%s", rawList(s.Input.Kind)), s.Input.Kind)
	case agg.TopK:
		return p.list(p.top(x, s), s.Input.Kind)
	case agg.ApproxQuantile:
		return p.quantile(x, s)
	case agg.CountDistinct:
		y := p.lives(x, 0, "_gain")
		return finishInt(func(r *windowRow) int64 { return r.lived[y].num })
	case agg.ApproxCountDistinct:
		return p.registers(x, s.Precision)
	default:
		panic("offline: no operator " + string(s.Op))
	}
}

// count is the number of values that are not NULL.
func (p *windowPlan) count(x inputWindow) int {
	p.sweep(x)
	return placeOf(&p.Ranged, windowColumn{fmt.Sprintf("arrayMap(_r -> toInt64(_r.2), %s)", x.Name()), "%s", feature.Int64})
}

func (p *windowPlan) sum(x inputWindow, s agg.Spec) finisher {
	if s.Input.Kind == feature.KindInt64 {
		y := p.over(x, "sum", x.Name(), "%s", s.Input)
		return finishInt(func(r *windowRow) int64 { return r.ranged[y].num })
	}
	y := p.floats(x, "%s")
	return finishFloat(func(r *windowRow) float64 { return r.ranged[y].float })
}

// average of int64 starts from an exact sum (rule V3).
func (p *windowPlan) average(x inputWindow, s agg.Spec) finisher {
	if s.Input.Kind != feature.KindInt64 {
		y := p.floats(x, "%s / _r.2")
		return finishFloat(func(r *windowRow) float64 { return r.ranged[y].float })
	}
	n := p.count(x)
	y := p.reduce(x, fmt.Sprintf("arrayReduceInRanges('sum', %s, arrayMap(_v -> toInt128(_v), _a%d))", x.Name(), x.Input), "toFloat64(%s)", feature.Float64)
	return finishFloat(func(r *windowRow) float64 { return r.ranged[y].float / float64(r.ranged[n].num) })
}

// floats is something of a sum of float64, which stands for %s in of, and of its range _r. Where values are so large that a sum may leave the range of
// float64 on its way, one that did is summed again of smaller values (rule V3): 2^32 of them are within it.
func (p *windowPlan) floats(x inputWindow, of string) int {
	large := fmt.Sprintf("arrayExists(_v -> abs(_v) > 1e290, _a%d)", x.Input)
	sums := fmt.Sprintf("arrayReduceInRanges('sum', %s, _a%d)", x.Name(), x.Input)
	again := fmt.Sprintf("arrayReduceInRanges('sum', if(%[1]s, %[2]s, []), if(%[1]s, arrayMap(_v -> _v / 4294967296., _a%[3]d), []))", large, x.Name(), x.Input)
	return p.reduce(x, fmt.Sprintf("if(%s, arrayMap((_s, _f, _r) -> if(isFinite(_s), %s, (%s) * 4294967296.), %s, arrayResize(%s, length(%[6]s)), %[6]s), "+
		"arrayMap((_s, _r) -> %[2]s, %[4]s, %[6]s))", large, fmt.Sprintf(of, "_s"), fmt.Sprintf(of, "_f"), sums, again, x.Name()), "%s", feature.Float64)
}

// variance is merged from counts, means and squares of distances: varPop without Stable adds up raw powers (rule V3).
func (p *windowPlan) variance(x inputWindow, op agg.Operator) finisher {
	n, y := p.count(x), p.over(x, "varPopStable", x.Name(), "%s", feature.Float64)
	least, root := int64(1), op == agg.StddevPop || op == agg.StddevSamp
	sample := op == agg.VarSamp || op == agg.StddevSamp
	if sample {
		least = 2
	}
	return finishFloat(func(r *windowRow) float64 {
		count := r.ranged[n].num
		if count < least || math.IsInf(r.ranged[y].float, -1) { // squares left the range of float64, as +Inf and NaN also say
			return math.NaN()
		}
		v := max(r.ranged[y].float, 0)
		if sample {
			v *= float64(count) / float64(count-1)
		}
		if root {
			v = math.Sqrt(v)
		}
		return v
	})
}

// over is an aggregate function over ranges of the input's values.
func (p *windowPlan) over(x inputWindow, function, ranges, out string, typ feature.Type) int {
	return p.reduce(x, fmt.Sprintf("arrayReduceInRanges('%s', %s, _a%d)", function, ranges, x.Input), out, typ)
}

func (p *windowPlan) reduce(x inputWindow, expr, out string, typ feature.Type) int {
	p.sweep(x)
	p.Inputs[x.Input].Array = true
	return placeOf(&p.Ranged, windowColumn{expr, out, typ})
}

// end is the SQL of the ranges that hold the first or the last n values of each range.
func (p *windowPlan) end(x inputWindow, last bool, n int) string {
	p.Ordered = true
	first := "_r.1"
	if last {
		first = fmt.Sprintf("_r.1 + _r.2 - least(_r.2, toUInt64(%d))", n)
	}
	return fmt.Sprintf("arrayMap(_r -> (%s, least(_r.2, toUInt64(%d))), %s)", first, n, x.Name())
}

// some is a column's value where the window has one.
func (p *windowPlan) some(x inputWindow, y int) finisher {
	n := p.count(x)
	return finishValue(func(r *windowRow) feature.Value {
		if r.ranged[n].num == 0 {
			return feature.Value{}
		}
		return r.ranged[y].value()
	})
}

// rawList is the type in which a query returns a list of values of kind k: bools and instants are numbers.
func rawList(k feature.Kind) feature.Type {
	if k == feature.KindBool || k == feature.KindTimestamp {
		return feature.ListOf(feature.KindInt64)
	}
	return feature.ListOf(k)
}

func (p *windowPlan) list(y int, k feature.Kind) finisher {
	if k != feature.KindBool && k != feature.KindTimestamp {
		return finishValue(func(r *windowRow) feature.Value { return r.ranged[y].value() })
	}
	return finishValue(func(r *windowRow) feature.Value {
		return feature.ListValue(k, elements(r.ranged[y].nums, func(n int64) feature.Value { return number(k, n, 0, "") }))
	})
}

// top are the most frequent values, ties to the smaller one.
func (p *windowPlan) top(x inputWindow, s agg.Spec) int {
	expr := fmt.Sprintf("arrayMap(_t -> arraySlice(arrayMap(_p -> _p.2, arraySort(_p -> (-toInt64(_p.1), _p.2), arrayZip(_t.2, _t.1))), 1, %d), "+
		"arrayReduceInRanges('sumMap', %s, arrayMap(_v -> [_v], _a%[3]d), arrayMap(_v -> [toUInt64(1)], _a%[3]d)))", s.N, x.Name(), x.Input)
	return p.reduce(x, expr, "%s", rawList(s.Input.Kind))
}

// quantile is the first bin up to which there are ceil(q · n) values; agg.Bin is the same in Go.
func (p *windowPlan) quantile(x inputWindow, s agg.Spec) finisher {
	bits := "reinterpretAsUInt64(toFloat64(_v))"
	turned := fmt.Sprintf("if(bitTest(%[1]s, 63), bitNot(%[1]s), bitOr(%[1]s, bitShiftLeft(toUInt64(1), 63)))", bits)
	expr := fmt.Sprintf("arrayReduceInRanges('quantileExactWeighted(%s)', %s, arrayMap(_v -> toUInt32(bitShiftRight(%s, %d)), _a%[5]d), arrayMap(_v -> toUInt64(1), _a%[5]d))",
		strconv.FormatFloat(s.Quantile, 'f', -1, 64), x.Name(), turned, 52-s.Precision, x.Input)
	n, y := p.count(x), p.reduce(x, expr, "toInt64(%s)", feature.Int64)
	return finishFloat(func(r *windowRow) float64 {
		if r.ranged[n].num == 0 {
			return math.NaN()
		}
		return agg.BinValue(uint32(r.ranged[y].num), s.Precision)
	})
}

// lives is how much of a class lives in a window: the sum of what. Lives begin at edge 1.
func (p *windowPlan) lives(x inputWindow, bits int, what string) int {
	class := slices.IndexFunc(p.Lives, func(l lifetime) bool { return l.Input == x.Input && l.Bits == bits })
	if class < 0 {
		class = len(p.Lives)
		p.Lives = append(p.Lives, lifetime{Input: x.Input, Class: class, Bits: bits})
	}
	if l := &p.Lives[class]; !slices.Contains(l.Edges, x.Edge) {
		l.Edges = append(l.Edges, x.Edge)
	}
	expr := fmt.Sprintf("sum(if(_class = %d AND _edge IN (1, %d), %s, 0)) OVER sweep", class, x.Edge, what)
	return placeOf(&p.Lived, windowColumn{expr, "%s", feature.Int64})
}

// registers is agg's sketch from two sums: of 2^(MaxRank − level) over the levels that are set, and of the registers.
func (p *windowPlan) registers(x inputWindow, bits int) finisher {
	sum, set := p.lives(x, bits, "_gain"), p.lives(x, bits, "_one")
	m := uint64(1) << bits
	return finishInt(func(r *windowRow) int64 {
		return agg.EstimateDistinct(bits, m<<agg.MaxRank-uint64(r.lived[sum].num), m-uint64(r.lived[set].num))
	})
}
