package asof_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// position draws positions that often agree in a part.
func position() *rapid.Generator[asof.Position] {
	return rapid.Custom(func(t *rapid.T) asof.Position {
		p := asof.Position{EventTime: feature.Time(rapid.IntRange(-6, 6).Draw(t, "time"))}
		if p.TieNull = rapid.IntRange(0, 3).Draw(t, "tie null") == 0; !p.TieNull {
			p.Tie = int64(rapid.IntRange(-1, 1).Draw(t, "tie"))
		}
		if rapid.Bool().Draw(t, "imported") {
			p.Columns = rapid.SampledFrom([]string{"", "a", "ab", "b"}).Draw(t, "columns")
		} else {
			p.Seq, p.Idx = uint64(rapid.IntRange(1, 3).Draw(t, "seq")), uint32(rapid.IntRange(0, 2).Draw(t, "idx"))
		}
		return p
	})
}

// history draws events of different positions, as the identity of events (E1, O2) promises.
func history(t *rapid.T) []asof.Event {
	positions := rapid.SliceOfNDistinct(position(), 0, 12, rapid.ID[asof.Position]).Draw(t, "positions")
	events := make([]asof.Event, len(positions))
	for i, p := range positions {
		events[i] = asof.Event{Position: p, Deleted: rapid.Bool().Draw(t, "deleted"), Values: []feature.Value{feature.Int64Value(int64(i))}}
	}
	return events
}

// visible says naively which event a read at hi sees: it walks rule O1 word by word.
func visible(events []asof.Event, hi feature.Time) *asof.Event {
	var newest *asof.Event
	for i := range events {
		if e := &events[i]; e.EventTime <= hi && (newest == nil || greater(e.Position, newest.Position)) {
			newest = e
		}
	}
	return newest
}

func greater(a, b asof.Position) bool {
	switch {
	case a.EventTime != b.EventTime:
		return a.EventTime > b.EventTime
	case a.TieNull != b.TieNull:
		return b.TieNull
	case a.Tie != b.Tie:
		return a.Tie > b.Tie
	case a.Seq != b.Seq:
		return a.Seq > b.Seq
	case a.Idx != b.Idx:
		return a.Idx > b.Idx
	default:
		return a.Columns > b.Columns
	}
}

func TestCompareIsTotalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := position().Draw(t, "a"), position().Draw(t, "b"), position().Draw(t, "c")
		if (asof.Compare(a, b) == 0) != (a == b) {
			t.Fatalf("Compare(%v, %v) = %d", a, b, asof.Compare(a, b))
		}
		if asof.Compare(a, b) != -asof.Compare(b, a) {
			t.Fatalf("Compare(%v, %v) = %d, the other way %d", a, b, asof.Compare(a, b), asof.Compare(b, a))
		}
		if asof.Compare(a, b) <= 0 && asof.Compare(b, c) <= 0 && asof.Compare(a, c) > 0 {
			t.Fatalf("%v ≤ %v ≤ %v, but not the first ≤ the last", a, b, c)
		}
		if (asof.Compare(a, b) > 0) != greater(a, b) {
			t.Fatalf("Compare(%v, %v) = %d, greater says %t", a, b, asof.Compare(a, b), greater(a, b))
		}
	})
}

// TestInsertAnyOrder checks C1 and C4: whatever the order, the repetitions and the way of keep to its last value, every
// read with hi ≥ keep sees what a look through all events sees, and nothing else is kept.
func TestInsertAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := history(t)
		keep := feature.Time(rapid.IntRange(-7, 7).Draw(t, "keep"))
		var states [2][]asof.Event
		for s := range states {
			order := slices.Clone(events)
			if n := len(events); n > 0 { // some come twice
				order = append(order, events[:rapid.IntRange(0, n).Draw(t, "again")]...)
			}
			order = rapid.Permutation(order).Draw(t, "order")
			rising := feature.Time(-100)
			for _, e := range order {
				rising = min(keep, max(rising, feature.Time(rapid.IntRange(-8, 8).Draw(t, "rising"))))
				states[s] = asof.Insert(states[s], e, rising)
			}
			states[s] = asof.Prune(states[s], keep)
		}
		if diff := cmp.Diff(states[0], states[1], cmp.Comparer(feature.Value.Equal)); diff != "" {
			t.Fatalf("two orders make different states:\n%s", diff)
		}
		for hi := keep; hi <= 8; hi++ {
			equalEvents(t, hi, visible(events, hi), asof.At(states[0], hi))
		}
		for i, e := range states[0] {
			seen := false
			for hi := keep; hi <= 8; hi++ {
				v := visible(events, hi)
				seen = seen || v != nil && v.Position == e.Position
			}
			if !seen {
				t.Fatalf("event %d at %d is kept, but no read with hi ≥ %d sees it", i, e.EventTime, keep)
			}
		}
	})
}

// TestInsertLeavesOldSlices checks that a reader of an older state is not disturbed by newer ones.
func TestInsertLeavesOldSlices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var state []asof.Event
		var old, copies [][]asof.Event
		keep := feature.Time(-100)
		for _, e := range history(t) {
			keep = max(keep, feature.Time(rapid.IntRange(-8, 4).Draw(t, "keep")))
			state = asof.Insert(state, e, keep)
			old, copies = append(old, state), append(copies, slices.Clone(state))
		}
		if diff := cmp.Diff(copies, old, cmp.Comparer(feature.Value.Equal)); diff != "" {
			t.Fatalf("an older state changed:\n%s", diff)
		}
	})
}

func TestPruneLosesNothingVisible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var state []asof.Event
		for _, e := range history(t) {
			state = asof.Insert(state, e, asof.NoClock)
		}
		keep := feature.Time(rapid.IntRange(-8, 8).Draw(t, "keep"))
		pruned := asof.Prune(state, keep)
		for hi := keep; hi <= 8; hi++ {
			equalEvents(t, hi, asof.At(state, hi), asof.At(pruned, hi))
		}
		if len(pruned) > 1 && pruned[1].EventTime <= keep {
			t.Fatalf("Prune at %d keeps two events at or before it: %d and %d", keep, pruned[0].EventTime, pruned[1].EventTime)
		}
	})
}

func equalEvents(t *rapid.T, hi feature.Time, want, got *asof.Event) {
	if (want == nil) != (got == nil) || want != nil && want.Position != got.Position {
		t.Fatalf("a read at %d sees %v, want %v", hi, got, want)
	}
}

// TestColumnsOrder checks that the bytes of rule O2 decide last, and as bytes.
func TestColumnsOrder(t *testing.T) {
	a, b := asof.Position{Columns: "a"}, asof.Position{Columns: "a\x00"}
	if got := asof.Compare(a, b); got != strings.Compare("a", "a\x00") {
		t.Errorf("Compare = %d, want -1", got)
	}
}
