package offline_test

import (
	"math/rand/v2"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// newHistory fills a world with pushes and imports around every base instant.
func newHistory(t testing.TB, r draw) *world {
	w := newWorld(t)
	for _, base := range bases {
		w.push(t, base, r.batch(20, base), r.batch(3, base), r.batch(30, base+3))
		w.load(t, r.batch(40, base))
		w.load(t, r.batch(20, base+2))
		w.push(t, base+5, r.batch(10, base))
	}
	return w
}

func TestLookup(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(1, 2))}
	w := newHistory(t, r)
	plan := newPlan(t, w.catalog, "model")
	for _, base := range bases {
		for range 12 {
			l := &feature.Lookup{Plan: plan, Keys: r.keys(plan, 25), At: r.time(base) + 5}
			cut := feature.Cut{Log: logID, Seq: w.seq - uint64(r.IntN(8))}
			got, err := w.store.Lookup(t.Context(), l, cut)
			if err != nil {
				t.Fatalf("Lookup: %v", err)
			}
			compareCells(t, w.oracle, asked{l, cut.Seq}, got.Cells)
		}
	}
}

// keys draws n keys for a plan, some of them unknown or NULL.
func (r draw) keys(plan *feature.Plan, n int) [][]feature.Value {
	keys := make([][]feature.Value, len(plan.Keys))
	for range n {
		row, other := r.row(0), r.row(0)
		for i, f := range plan.Keys {
			from := map[string]feature.Value{"airport": row[0], "destination": other[0], "x": row[5], "y": row[6], "day": row[7], "late": row[8]}
			v := from[f.Name]
			if r.IntN(20) == 0 && f.Type == feature.String {
				v = feature.StringValue("unknown")
			}
			keys[i] = append(keys[i], v)
		}
	}
	return keys
}

// asked is a read at a cut.
type asked struct {
	*feature.Lookup
	seq uint64
}

func compareCells(t *testing.T, law *oracle.Oracle, ask asked, got []feature.Cell) {
	t.Helper()
	plan := ask.Plan
	want := law.Lookup(ask.Lookup, feature.ClockEvent, oracle.Cut(ask.seq))
	slack := law.Slack(ask.Lookup, feature.ClockEvent, oracle.Cut(ask.seq))
	if len(got) != len(want) {
		t.Fatalf("%d cells, want %d", len(got), len(want))
	}
	for i := range want {
		g, x := got[i], want[i]
		if !near(g.Value, x.Value, slack[i]) || g.Status != x.Status || g.HasTime != x.HasTime || g.HasTime && g.EventTime != x.EventTime {
			t.Fatalf("row %d %s = %v %v %v, want %v %v %v", i/len(plan.Slots), plan.Names[i%len(plan.Slots)],
				g.Value, g.Status, int64(g.EventTime), x.Value, x.Status, int64(x.EventTime))
		}
	}
}

func TestLookupUnknownSource(t *testing.T) {
	t.Parallel()
	store, plan := openStore(t), newPlan(t, newCatalog(), "model")
	l := &feature.Lookup{Plan: plan, Keys: draw{rand.New(rand.NewPCG(1, 1))}.keys(plan, 3), At: 0}
	a, err := store.Lookup(t.Context(), l, feature.Cut{})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range a.Cells {
		if c.Status != feature.Missing {
			t.Errorf("cell %d is %v, want missing", i, c.Status)
		}
	}
}

// TestKept feeds what Kept yields to the replica's set function and reads every instant from the floor on.
func TestKept(t *testing.T) {
	t.Parallel()
	r := draw{rand.New(rand.NewPCG(3, 4))}
	w := newWorld(t)
	base := bases[1]
	w.push(t, base, r.batch(60, base), r.batch(3, base+4))
	first := w.load(t, r.batch(60, base))
	w.push(t, base+5, r.batch(40, base+8))
	whole := w.cut()
	second := importBatch(t, w.store, r.batch(30, base+2)) // not recorded: visible only when asked for by name
	for _, v := range w.catalog.Views {
		clock, state := readKept(t, w, v, whole, 0)
		floor, ok := w.oracle.Floor(v, oracle.Cut(whole.Seq))
		if !ok || asof.Floor(clock, v.History) != floor {
			t.Errorf("%s: floor %d, want %d", v.Name, asof.Floor(clock, v.History), floor)
		}
		plan, err := w.catalog.PlanFeatures([]string{v.Name + "." + v.Features[0].Name})
		if err != nil {
			t.Fatal(err)
		}
		for at := floor; at <= base+30; at++ {
			l := &feature.Lookup{Plan: plan, Keys: r.keys(newPlan(t, w.catalog, "model"), 20), At: at}
			switch v.Name {
			case "departures":
				l.Keys = l.Keys[:1]
			case "pairs":
				l.Keys = l.Keys[1:3]
			default:
				l.Keys = l.Keys[4:]
			}
			compareCells(t, w.oracle, asked{l, whole.Seq}, readState(plan, l, state))
		}
		for _, gen := range []uint64{first, second} {
			if _, state := readKept(t, w, v, feature.Cut{}, gen); len(state) == 0 {
				t.Errorf("%s: nothing kept of generation %d", v.Name, gen)
			}
		}
	}
	if clock, state := readKept(t, w, w.catalog.Views[0], feature.Cut{}, 0); clock != asof.NoClock || len(state) != 0 {
		t.Errorf("before the log: clock %d and %d keys, want none", clock, len(state))
	}
}

func readKept(t *testing.T, w *world, v *feature.View, cut feature.Cut, gen uint64) (feature.Time, map[string][]asof.Event) {
	t.Helper()
	clock, rows, err := w.store.Kept(t.Context(), v, trips, cut, gen)
	if err != nil {
		t.Fatalf("Kept: %v", err)
	}
	state := map[string][]asof.Event{}
	for k, err := range rows {
		if err != nil {
			t.Fatalf("Kept: %v", err)
		}
		b := string(wire.AppendKey(nil, k.Key))
		if v.Windowed() {
			state[b] = append(state[b], k.Event)
			continue
		}
		for _, e := range state[b] {
			if e.EventTime == k.Event.EventTime {
				t.Errorf("%s: two events of key %v at %d", v.Name, k.Key, e.EventTime)
			}
		}
		state[b] = asof.Insert(state[b], k.Event, asof.Keep(clock, v.History, v.Delay))
	}
	return clock, state
}

func readState(plan *feature.Plan, l *feature.Lookup, state map[string][]asof.Event) []feature.Cell {
	var cells []feature.Cell
	v := plan.Items[0].View
	for row := range l.Rows() {
		var key feature.Key
		for _, part := range l.Keys {
			key = append(key, part[row])
		}
		var e *asof.Event
		var value feature.Value
		hi := asof.Hi(l.At, v.Delay)
		if !key.HasNull() {
			if e = asof.At(state[string(wire.AppendKey(nil, key))], hi); e != nil {
				value = e.Values[0]
			}
		}
		cells = append(cells, asof.Latest(&v.Features[0], e, value, hi))
	}
	return cells
}
