package online

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// everyMeasure is a shape with all operators over an int64, and count "*".
func everyMeasure(latest bool) *shape {
	s := &shape{windows: &windows{leaf: leafEvents, stored: []int{1}, types: []feature.Type{feature.Int64}}, latest: latest}
	s.measures = append(s.measures, measure{spec: agg.Spec{Op: agg.Count}, column: everyEvent})
	for _, op := range agg.Operators() {
		spec := agg.Spec{Op: op, Input: feature.Int64, N: 5, Quantile: 0.5}.WithDefaults()
		s.measures = append(s.measures, measure{spec: spec, input: 1, column: 0})
	}
	return s
}

// someEvents returns n events, about one an instant, late of them out of order by up to n instants, some twice.
func someEvents(rng *rand.Rand, n, late int) []asof.Event {
	events := make([]asof.Event, n)
	for i := range events {
		e := &events[i]
		e.EventTime, e.Seq, e.Deleted = feature.Time(i+rng.IntN(3)), uint64(i), rng.IntN(20) == 0
		if rng.IntN(n) < late {
			e.EventTime = feature.Time(rng.IntN(i + 1))
		}
		if rng.IntN(10) == 0 {
			e.Seq, e.Columns = 0, fmt.Sprint("c", i)
		}
		e.Values = []feature.Value{feature.BoolValue(true), feature.Int64Value(rng.Int64N(50))}
		if rng.IntN(5) == 0 {
			e.Values[1] = feature.Value{}
		}
		if rng.IntN(30) == 0 && i > 0 {
			*e = events[rng.IntN(i)]
		}
	}
	return events
}

// TestTree compares what a tree says about spans with what the operators say about the events in them, while events come in
// and old ones go.
func TestTree(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rng.IntN(6000)
		tr := &tree{shape: everyMeasure(seed%2 == 0)}
		var all []asof.Event
		from := feature.Time(math.MinInt64)
		for events := someEvents(rng, n, rng.IntN(n)); len(events) > 0; {
			some := min(1+rng.IntN(500), len(events))
			if rng.IntN(2) == 0 {
				for i := range events[:some] {
					tr.insert(&events[i])
				}
			} else {
				tr.insertAll(events[:some])
			}
			all = append(all, events[:some]...)
			events = events[some:]
			slices.SortFunc(all, func(a, b asof.Event) int { return asof.Compare(a.Position, b.Position) })
			all = slices.CompactFunc(all, func(a, b asof.Event) bool { return a.Position == b.Position })
			if rng.IntN(3) == 0 {
				from = max(from, all[len(all)/2].EventTime)
				if taken := 0; !tr.shape.latest && rng.IntN(2) == 0 {
					tr.take(from, func(l *leaf, i, j int) { taken += l.until(from) - i })
				}
				tr.prune(from)
			}
			for range 20 {
				compareTree(t, rng, tr, all, from)
			}
		}
	}
}

func compareTree(t *testing.T, rng *rand.Rand, tr *tree, all []asof.Event, from feature.Time) {
	t.Helper()
	instant := func() feature.Time { return all[rng.IntN(len(all))].EventTime + feature.Time(rng.IntN(3)-1) }
	lo, hi := max(instant(), from), max(instant(), from)
	var in []asof.Event
	var newest *asof.Event
	for i := range all {
		if e := &all[i]; e.EventTime <= hi {
			newest = e
			if e.EventTime > lo {
				in = append(in, *e)
			}
		}
	}
	if l, at := tr.at(hi); tr.shape.latest && newest != nil && (l == nil || l.position(at) != newest.Position) {
		t.Fatalf("the newest event at %d is not %+v", hi, newest.Position)
	}
	s, some := tr.span(lo, hi)
	if some != (len(in) > 0) {
		t.Fatalf("span(%d, %d] = %+v, %t, but there are %d events", lo, hi, s, some, len(in))
	}
	every := make([]int, len(tr.shape.measures))
	folded := make([]agg.State, len(every))
	for j := range every {
		every[j], folded[j] = j, tr.shape.measures[j].state()
	}
	if some {
		tr.fold(folded, every, s)
	}
	for j := range every {
		m, got := &tr.shape.measures[j], folded[j]
		want := agg.New(m.spec)
		for i := range in {
			switch {
			case in[i].Deleted:
			case m.column == everyEvent:
				agg.AddEvents(want, 1)
			default:
				want.Add(in[i].Values[m.input])
			}
		}
		if !near(got.Value(), want.Value()) {
			t.Fatalf("%s over (%d, %d], %d events = %s, want %s", m.spec.Op, lo, hi, len(in), got.Value(), want.Value())
		}
	}
}

// near compares by rule V3.
func near(a, b feature.Value) bool {
	if a.Equal(b) {
		return true
	}
	x, y := a.Float64(), b.Float64()
	return a.Type() == feature.Float64 && b.Type() == feature.Float64 && math.Abs(x-y) <= 1e-9*(1+math.Abs(x)+x*x)
}

// Even, uneven and equal times; the last one may stand for a leaf without events.
func TestLastUntil(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) feature.Time {
			return feature.Time(rapid.OneOf(rapid.Int64Range(-5, 50), rapid.Int64Range(int64(feature.MinTime), int64(feature.MaxTime)), rapid.Just[int64](math.MaxInt64)).Draw(t, "time"))
		}), 0, 200).Draw(t, "times")
		slices.Sort(times)
		hi := rapid.OneOf(rapid.Int64Range(-6, 51), rapid.Int64Range(int64(feature.MinTime)-1, int64(feature.MaxTime)+1)).Draw(t, "hi")
		if len(times) > 0 && rapid.Bool().Draw(t, "equal") {
			hi = int64(rapid.SampledFrom(times).Draw(t, "one"))
		}
		want := sort.Search(len(times), func(i int) bool { return int64(times[i]) > hi }) - 1
		if got := lastUntil(times, feature.Time(hi)); got != want {
			t.Fatalf("lastUntil(%d, %d) = %d, want %d", times, hi, got, want)
		}
	})
}
