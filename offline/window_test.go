package offline_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/internal/semtest"
	"github.com/lockstepfs/lockstep/internal/wire"
	"github.com/lockstepfs/lockstep/offline"
)

// windowSpecs are operators with parameters, each for all types that it takes.
func windowSpecs() []feature.Window {
	var out []feature.Window
	for _, op := range agg.Operators() {
		w := feature.Window{Operator: string(op)}
		switch op {
		case agg.FirstN, agg.LastN:
			w.N = 3
		case agg.TopK:
			w.N = 2
		case agg.ApproxQuantile:
			w.Quantile, w.Precision = 0.6, 6
		case agg.ApproxCountDistinct:
			w.Precision = 5
		default:
		}
		out = append(out, w)
	}
	return out
}

// windowViews are views with a feature for every operator, type of input, kind of window and condition that go together.
func windowViews() []*feature.View {
	airport := feature.Entity{Name: "airport", Key: []feature.Field{{Name: "airport", Type: feature.String}}}
	odd := feature.Entity{Name: "odd", Key: []feature.Field{{Name: "day", Type: feature.Timestamp}, {Name: "late", Type: feature.Bool}}}
	views := []*feature.View{
		{Name: "exact", Version: 1, Entity: airport, Keys: []string{"origin"}, Source: "trips", History: 10},
		{Name: "mixed", Version: 1, Entity: odd, Keys: []string{"day", "late"}, Source: "trips", Delay: 2, History: 10},
	}
	shapes := []struct {
		name       string
		width, hop feature.Span
		where      string
	}{{"w7", 7, 0, ""}, {"w6h3", 6, 3, ""}, {"ever", 0, 0, ""}, {"some", 9, 0, `note == "n" || tie > 0`}, {"hot", 4, 4, "gone"}}
	for vi, v := range views {
		v.Features = append(v.Features, feature.Feature{Name: "newest", Latest: "price", Type: feature.Float64, TTL: 5})
		for si, s := range shapes {
			if vi == 1 && si%2 == 0 && s.name != "ever" {
				continue
			}
			star := feature.Window{Operator: "count", Input: "*", Width: s.width, Hop: s.hop, Where: s.where}
			v.Features = append(v.Features, feature.Feature{Name: "n_" + s.name, Window: &star, Type: feature.Int64})
			for _, w := range windowSpecs() {
				for _, f := range trips.Columns {
					w := w
					w.Input, w.Width, w.Hop, w.Where = f.Name, s.width, s.hop, s.where
					out, err := agg.SpecOf(&w, f.Type).Output()
					if err != nil || s.width == 0 && !agg.Operator(w.Operator).Bounded() {
						continue
					}
					def := feature.Feature{Name: fmt.Sprintf("%s_%s_%s", w.Operator, f.Name, s.name), Window: &w, Type: out}
					if w.Operator == "min" && out == feature.Int64 {
						def.Default = feature.Int64Value(-7)
					}
					v.Features = append(v.Features, def)
				}
			}
		}
	}
	return views
}

// windowCatalog has services over n of the views' features each, so many that each feature is in one.
func windowCatalog(r draw, n int) *feature.Catalog {
	c := newCatalog()
	for i, v := range windowViews() {
		c.Views = append(c.Views, v)
		for part := range slices.Chunk(r.Perm(len(v.Features)), n) {
			it := feature.Item{View: v, Role: v.Name, Keys: [][]string{{"airport"}, {"day", "late"}}[i], Features: part}
			name := fmt.Sprintf("windows%d", len(c.Services))
			c.Services = append(c.Services, &feature.Service{Name: name, Version: 1, Items: []feature.Item{it}})
		}
	}
	return c
}

// useWindows gives the world a windowCatalog.
func (w *world) useWindows(r draw, n int) {
	w.catalog = windowCatalog(r, n)
	w.oracle.Change(w.catalog)
	w.oracle.Holds = semtest.Holds
}

var everyWindow = flag.Bool("windows", false, "check every feature of windowViews, not some")

// some are n of the services that are far from each other, or all of them.
func some(services []*feature.Service, n int) []*feature.Service {
	if *everyWindow {
		return services
	}
	var out []*feature.Service
	for i := range n {
		out = append(out, services[i*(len(services)-1)/(n-1)])
	}
	return out
}

func TestTrainWindows(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(15, 16))}
	for name, w := range map[string]*world{"imported": newHistory(t, r), "streamed": newStream(t, r, offline.Config{}, 0)} {
		t.Run(name, func(t *testing.T) {
			w.useWindows(r, 40)
			for _, service := range some(w.catalog.Services[1:], 3) {
				plan := newPlan(t, w.catalog, service.Name)
				spine, rows := r.spineBatch(plan, 40)
				for _, clock := range []feature.Clock{feature.ClockEvent, feature.ClockAvailable} {
					_, got := train(t, w.store, offline.Training{Plan: plan, Spine: each(spine), Clock: clock})
					checkSet(t, w, plan, spine, rows, got, clock, w.cut())
				}
			}
		})
	}
}

// near reports whether two values are equal, or no further apart than rule V3 allows.
func near(a, b feature.Value, slack float64) bool {
	if slack > 0 && a.Type() == feature.Float64 && b.Type() == feature.Float64 {
		return math.Abs(a.Float64()-b.Float64()) <= slack
	}
	return a.Equal(b)
}

func TestLookupWindows(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(17, 18))}
	w := newHistory(t, r)
	w.useWindows(r, 12)
	for range 8 {
		plan := newPlan(t, w.catalog, w.catalog.Services[1+r.IntN(len(w.catalog.Services)-1)].Name)
		l := &feature.Lookup{Plan: plan, Keys: r.keys(plan, 25), At: r.time(bases[r.IntN(len(bases))]) + 5}
		cut := feature.Cut{Log: logID, Seq: w.seq - uint64(r.IntN(8))}
		got, err := w.store.Lookup(t.Context(), l, cut)
		if err != nil {
			t.Fatalf("Lookup: %v", err)
		}
		compareCells(t, w.oracle, asked{l, cut.Seq}, got.Cells)
	}
}

func TestWindowsUnknownSource(t *testing.T) {
	t.Parallel()
	store, r := openStore(t), draw{rand.New(rand.NewPCG(19, 20))}
	c := windowCatalog(r, 60)
	plan := newPlan(t, c, c.Services[1].Name)
	l := &feature.Lookup{Plan: plan, Keys: r.keys(plan, 10), At: 0}
	a, err := store.Lookup(t.Context(), l, feature.Cut{})
	if err != nil {
		t.Fatal(err)
	}
	compareCells(t, oracle.New(c), asked{l, 0}, a.Cells)
	spine, rows := r.spineBatch(plan, 10)
	_, got := train(t, store, offline.Training{Plan: plan, Spine: each(spine)})
	checkSet(t, &world{store: store, oracle: oracle.New(c)}, plan, spine, rows, got, feature.ClockEvent, feature.Cut{})
}

// TestKeptWindows computes windows from what Kept yields alone, from the floor on.
func TestKeptWindows(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(21, 22))}
	w := newWorld(t)
	base := bases[1]
	w.push(t, base, r.batch(60, base), r.batch(3, base+4))
	w.load(t, r.batch(60, base))
	w.push(t, base+5, r.batch(40, base+8))
	w.useWindows(r, 30)
	for _, service := range some(w.catalog.Services[1:], 4) {
		plan := newPlan(t, w.catalog, service.Name)
		v := plan.Items[0].View
		clock, state := readKept(t, w, v, w.cut(), 0)
		for at := asof.Floor(clock, v.History); at <= base+30; at += 5 {
			l := &feature.Lookup{Plan: plan, Keys: r.keys(plan, 8), At: at}
			compareCells(t, w.oracle, asked{l, w.seq}, readWindows(plan, l, state))
		}
	}
}

func readWindows(plan *feature.Plan, l *feature.Lookup, state map[string][]asof.Event) []feature.Cell {
	v := plan.Items[0].View
	inputs, hi := v.Inputs(), asof.Hi(l.At, v.Delay)
	var cells []feature.Cell
	for row := range l.Rows() {
		var key feature.Key
		for _, part := range l.Keys {
			key = append(key, part[row])
		}
		for _, slot := range plan.Slots {
			f := &v.Features[slot.Feature]
			var events []asof.Event
			if !key.HasNull() {
				events = state[string(wire.AppendKey(nil, key))]
			}
			at := v.InputOf(slot.Feature, inputs)
			switch {
			case key.HasNull():
				cells = append(cells, asof.Unkeyed(f))
			case f.Window == nil:
				cells = append(cells, latestOf(f, events, at, hi))
			default:
				cells = append(cells, windowOf(f, events, at, hi))
			}
		}
	}
	return cells
}

func latestOf(f *feature.Feature, events []asof.Event, at int, hi feature.Time) feature.Cell {
	var newest *asof.Event
	var value feature.Value
	for i := range events {
		if e := &events[i]; e.EventTime <= hi && (newest == nil || asof.Compare(e.Position, newest.Position) > 0) {
			newest, value = e, e.Values[at]
		}
	}
	return asof.Latest(f, newest, value, hi)
}

func windowOf(f *feature.Feature, events []asof.Event, at int, hi feature.Time) feature.Cell {
	input := feature.Bool
	if i := feature.FieldIndex(trips.Columns, f.Window.Input); i >= 0 {
		input = trips.Columns[i].Type
	}
	events = slices.SortedFunc(slices.Values(events), func(a, b asof.Event) int { return asof.Compare(a.Position, b.Position) })
	state := agg.New(agg.SpecOf(f.Window, input))
	for _, e := range events {
		if asof.Lo(f.Window, hi) < e.EventTime && e.EventTime <= hi && !e.Deleted {
			state.Add(e.Values[at])
		}
	}
	return asof.Windowed(f, state.Value())
}
