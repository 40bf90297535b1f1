package online

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// FuzzStored: whatever lies on the disk of a replica, it is a state or an error, in a read and where Pebble merges two
// of them; and merging does not depend on the order.
func FuzzStored(f *testing.F) {
	event := func(at feature.Time, seq uint64, v feature.Value) asof.Event {
		return asof.Event{Position: asof.Position{EventTime: at, Seq: seq}, Values: []feature.Value{v}}
	}
	one := appendState(nil, []asof.Event{event(5, 1, feature.Int64Value(1)), event(9, 2, feature.Value{})}, 5)
	two := appendState(nil, []asof.Event{event(5, 1, feature.Int64Value(1)), event(7, 3, feature.StringValue("x"))}, 3)
	f.Add(one, two)
	f.Add(one, one[:len(one)-1])
	f.Add([]byte{}, two)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if keep, state, err := parseState(a); err == nil {
			again, same, err := parseState(appendState(nil, state, keep))
			if err != nil || again != keep || len(same) > len(state) {
				t.Fatalf("a state of %d events from %s is written and read as %d from %s, %v", len(state), keep, len(same), again, err)
			}
		}
		forth, err := merged(a, b)
		back, err2 := merged(b, a)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("merging fails in one order: %v, %v", err, err2)
		}
		if err == nil && wellFormed(a) && wellFormed(b) && !contradict(a, b) {
			if diff := cmp.Diff(forth, back); diff != "" {
				t.Errorf("the order of merging matters:\n%s", diff)
			}
		}
	})
}

func merged(a, b []byte) ([]byte, error) {
	m, err := stateMerger().Merge(nil, a)
	if err != nil {
		return nil, err
	}
	if err := m.MergeNewer(b); err != nil {
		return nil, err
	}
	out, _, err := m.Finish(true)
	return out, err
}

// wellFormed reports whether b is what this package writes: events in order, none twice.
func wellFormed(b []byte) bool {
	keep, state, err := parseState(b)
	for i := range state {
		if i > 0 && state[i].EventTime <= state[i-1].EventTime {
			return false
		}
	}
	return err == nil && string(appendState(nil, state, keep)) == string(b)
}

// contradict reports whether two states say different things of an event of one position, which no log holds.
func contradict(a, b []byte) bool {
	_, left, _ := parseState(a)
	_, right, _ := parseState(b)
	for _, x := range left {
		for _, y := range right {
			if asof.Compare(x.Position, y.Position) == 0 && !cmp.Equal(x, y) {
				return true
			}
		}
	}
	return false
}
