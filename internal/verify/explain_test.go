package verify_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/verify"
)

// traced is both paths of one key of one feature, a count of the hour before the clock.
type traced struct {
	have, there asof.Trace
	refused     error
}

func (w *traced) Explain(*feature.Lookup) (*feature.Answer, []asof.Trace, error) {
	if w.refused != nil {
		return nil, nil, w.refused
	}
	return w.answer(&w.have), []asof.Trace{w.have}, nil
}

func (w *traced) answer(t *asof.Trace) *feature.Answer {
	return &feature.Answer{Cut: feature.Cut{Log: "log", Seq: seq}, Cells: []feature.Cell{{Value: feature.Int64Value(int64(len(t.Events))), Status: feature.Present}}}
}

// far is the offline path of a traced.
type far struct {
	history
	*traced
}

func (w far) Explain(context.Context, *feature.Lookup, feature.Cut) (*feature.Answer, []asof.Trace, error) {
	return w.answer(&w.there), []asof.Trace{w.there}, nil
}

// near is the online one.
type near struct {
	replica
	*traced
}

func (w near) Explain(l *feature.Lookup) (*feature.Answer, []asof.Trace, error) {
	return w.traced.Explain(l)
}

// at is an event so many seconds before the clock.
func at(seconds, seq int) asof.Traced {
	t := clock - feature.Time(seconds)*1_000_000
	return asof.Traced{Position: asof.Position{EventTime: t, Seq: uint64(seq)}, Value: feature.BoolValue(true), AvailableAt: t}
}

func explain(t *testing.T, w *traced) *verify.Explanation {
	t.Helper()
	w.have.Lo, w.have.Hi, w.there.Lo, w.there.Hi = clock-feature.Time(hour), clock, clock-feature.Time(hour), clock
	view := &feature.View{Name: "v", Features: []feature.Feature{{Name: "n", Type: feature.Int64, Window: &feature.Window{Operator: "count", Input: "*", Width: hour}}}}
	plan := &feature.Plan{Names: []string{"v.n"}, Items: []feature.Item{{View: view}}, Slots: []feature.Slot{{}}}
	base := &world{}
	x, err := verify.Explain(t.Context(), near{replica{base}, w}, far{history{base}, w}, &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.Int64Value(1)}}, At: clock})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// shown is the events of an explanation: sequence, where it is, notes.
func shown(x *verify.Explained) []string {
	var out []string
	for _, e := range x.Events {
		where := ""
		if e.Online {
			where += "+online"
		}
		if e.Offline {
			where += "+offline"
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s %s", e.Seq, where, strings.Join(e.Notes, " "))))
	}
	return out
}

func TestExplainEvents(t *testing.T) {
	late := at(40, 6)
	late.AvailableAt = clock + 1
	own := at(1, 0)
	own.Seq = asof.Asked
	w := &traced{have: asof.Trace{Events: []asof.Traced{own, at(10, 1), at(30, 3), at(40, 6)}}}
	w.there.Events = []asof.Traced{own, at(10, 1), at(10, 1), at(20, 2), late}
	x := explain(t, w)
	want := []string{fmt.Sprint(asof.Asked, " +online+offline"), "1 +online+offline duplicate", "1 +online+offline", "2 +offline missing", "3 +online extra", "6 +online+offline late"}
	if diff := cmp.Diff(want, shown(&x.Features[0])); diff != "" || !x.Features[0].Differs || x.Cut.Seq != seq {
		t.Errorf("%+v differs (-want +got):\n%s", x.Features[0], diff)
	}
}

// TestExplainTiles: a tile does not say which events are in it, but whether they are those of ClickHouse.
func TestExplainTiles(t *testing.T) {
	tile := func(from, to, count int64) asof.Sum {
		return asof.Sum{After: clock - feature.Time(from)*1_000_000, Until: clock - feature.Time(to)*1_000_000, Value: feature.Int64Value(count)}
	}
	w := &traced{have: asof.Trace{Tiled: true, Events: []asof.Traced{at(10, 1)}, Sums: []asof.Sum{tile(60, 50, 1), tile(50, 40, 2), tile(40, 30, 1)}}}
	gone := at(35, 7)
	gone.Deleted = true
	w.there.Events = []asof.Traced{at(10, 1), gone, at(39, 4), at(40, 5), at(55, 6)}
	x := explain(t, w).Features[0]
	var differ []bool
	for _, s := range x.Sums {
		differ = append(differ, s.Differs)
	}
	if !slices.Equal(differ, []bool{false, true, false}) || x.Sums[1].Offline.Int64() != 1 {
		t.Errorf("sums %+v, want the second to differ", x.Sums)
	}
	if want := []string{"1 +online+offline", "7 +online+offline", "4 +online+offline", "5 +online+offline", "6 +online+offline"}; !slices.Equal(shown(&x), want) {
		t.Errorf("events %q, want %q", shown(&x), want)
	}
}

// TestExplainSums: a sum is compared with its own events, not with others of its time: those that the read brings, those of
// the next block, and those that are beside a tile.
func TestExplainSums(t *testing.T) {
	own := at(30, 0)
	own.Seq = asof.Asked
	block := func(first, last asof.Traced, events int) asof.Sum {
		return asof.Sum{
			After: first.EventTime - 1, Until: last.EventTime, Events: events, First: first.Position, Last: last.Position,
			Value: feature.Int64Value(int64(events)),
		}
	}
	all := []asof.Traced{at(10, 9), own, at(30, 4), at(30, 3), at(30, 2), at(40, 1)}
	exact := &traced{have: asof.Trace{Events: all, Sums: []asof.Sum{block(at(40, 1), at(30, 2), 2), block(at(30, 3), at(30, 4), 2)}}, there: asof.Trace{Events: all}}
	tile := asof.Sum{After: clock - feature.Time(hour), Until: clock, Value: feature.Int64Value(3)}
	tiled := &traced{have: asof.Trace{Tiled: true, Events: []asof.Traced{own, at(10, 9), at(30, 4)}, Sums: []asof.Sum{tile}}, there: asof.Trace{Events: all}}
	for name, w := range map[string]*traced{"blocks": exact, "tiles": tiled} {
		for _, s := range explain(t, w).Features[0].Sums {
			if !s.Known || s.Differs {
				t.Errorf("%s: the sum %+v differs from %s", name, s.Sum, s.Offline)
			}
		}
	}
}

// TestExplainMany: those with a note are listed first.
func TestExplainMany(t *testing.T) {
	w := &traced{}
	for i := range 300 {
		w.there.Events = append(w.there.Events, at(i, 1000-i))
		if i != 250 {
			w.have.Events = append(w.have.Events, at(i, 1000-i))
		}
	}
	x := explain(t, w).Features[0]
	if last := x.Events[len(x.Events)-1]; len(x.Events) != 100 || x.More != 200 || last.Seq != 750 || !slices.Equal(last.Notes, []string{verify.Missing}) {
		t.Errorf("%d events and %d more, the last %+v; want 100, 200 and the one that is missing", len(x.Events), x.More, last)
	}
}

func TestExplainRefused(t *testing.T) {
	x := explain(t, &traced{refused: feature.ErrBelowFloor, there: asof.Trace{Events: []asof.Traced{at(1, 1)}}})
	if want := []string{"1 +offline"}; x.Refused == nil || x.Features[0].Online != nil || !slices.Equal(shown(&x.Features[0]), want) {
		t.Errorf("%+v, want what ClickHouse has", x)
	}
}
