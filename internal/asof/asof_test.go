package asof_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

func TestCompare(t *testing.T) {
	base := asof.Position{EventTime: 10, Tie: 5, Seq: 7, Idx: 3}
	with := func(change func(*asof.Position)) asof.Position {
		p := base
		change(&p)
		return p
	}
	// Each position is newer than the one before it.
	ladder := []struct {
		name string
		p    asof.Position
	}{
		{"O1: an earlier event time, all else greater", asof.Position{EventTime: 9, Tie: 9, Seq: 9, Idx: 9, Columns: "z"}},
		{"O1: a NULL tiebreak is lowest", asof.Position{EventTime: 10, TieNull: true, Seq: 99, Idx: 9}},
		{"O1: the least tiebreak", with(func(p *asof.Position) { p.Tie = -1 << 63; p.Seq = 99 })},
		{"O1: a negative tiebreak", with(func(p *asof.Position) { p.Tie = -1; p.Seq = 99 })},
		{"O1: no tiebreak declared is 0", with(func(p *asof.Position) { p.Tie = 0; p.Seq = 99 })},
		{"O2: imported, without columns", with(func(p *asof.Position) { p.Seq, p.Idx = 0, 0 })},
		{"O2: imported, ordered by columns", with(func(p *asof.Position) { p.Seq, p.Idx, p.Columns = 0, 0, "a" })},
		{"O2: imported, greater columns", with(func(p *asof.Position) { p.Seq, p.Idx, p.Columns = 0, 0, "b" })},
		{"O1: a lower sequence, greater index", with(func(p *asof.Position) { p.Seq = 6; p.Idx = 1 << 31 })},
		{"O1: a lower index", with(func(p *asof.Position) { p.Idx = 2 })},
		{"base", base},
		{"O1: a greater index", with(func(p *asof.Position) { p.Idx = 1<<32 - 1 })},
		{"O1: a greater sequence", with(func(p *asof.Position) { p.Seq = 1<<64 - 1; p.Idx = 0 })},
		{"O1: the greatest tiebreak", with(func(p *asof.Position) { p.Tie = 1<<63 - 1; p.Seq = 0; p.Idx = 0 })},
		{"O1: a later event time, all else less", asof.Position{EventTime: 11, TieNull: true}},
	}
	for i := range ladder {
		for j := range ladder {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := asof.Compare(ladder[i].p, ladder[j].p); got != want {
				t.Errorf("Compare(%s; %s) = %d, want %d", ladder[i].name, ladder[j].name, got, want)
			}
		}
	}
}

func TestInstants(t *testing.T) {
	for _, test := range []struct {
		name      string
		got, want feature.Time
	}{
		{"T3: hi = t", asof.Hi(100, 0), 100},
		{"T3: hi = t - d", asof.Hi(100, 1), 99},
		{"T3: before 1970", asof.Hi(-100, 1), -101},
		{"C4: the event time is the lesser", asof.Clock(5, 6), 5},
		{"C4: available first", asof.Clock(6, 5), 5},
		{"C4: floor", asof.Floor(100, 60), 40},
		{"C4: no clock, no floor", asof.Floor(asof.NoClock, 60), asof.NoClock},
		{"C4: keep", asof.Keep(100, 60, 5), 35},
		{"C4: no clock, keep everything", asof.Keep(asof.NoClock, 60, 5), asof.NoClock},
		{"the ends of time do not overflow", asof.Keep(feature.MinTime, 1000*366*feature.Day, 1000*366*feature.Day), feature.MinTime - 2*1000*366*feature.Time(feature.Day)},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, test.got, test.want)
		}
	}
}

// at returns an event at an instant with one value.
func at(time feature.Time, value int64) asof.Event {
	return asof.Event{Position: asof.Position{EventTime: time}, Values: []feature.Value{feature.Int64Value(value)}}
}

func TestAt(t *testing.T) {
	state := []asof.Event{at(-5, 1), at(0, 2), at(3, 3), at(4, 4)}
	for _, test := range []struct {
		hi   feature.Time
		want string
	}{
		{-6, "none"},
		{-5, "-5"},
		{-4, "-5"},
		{-1, "-5"},
		{0, "0"},
		{1, "0"},
		{2, "0"},
		{3, "3"},
		{4, "4"},
		{5, "4"},
		{feature.MaxTime, "4"},
		{feature.MinTime, "none"},
	} {
		got := "none"
		if e := asof.At(state, test.hi); e != nil {
			got = fmt.Sprint(int64(e.EventTime))
		}
		if got != test.want {
			t.Errorf("R1: At(%d) = %s, want %s", test.hi, got, test.want)
		}
	}
	if e := asof.At(nil, 5); e != nil {
		t.Errorf("At without events = %v, want nil", e)
	}
}

func TestInsert(t *testing.T) {
	late := at(3, 9)
	late.Tie = 1
	for _, test := range []struct {
		name  string
		state []asof.Event
		add   asof.Event
		keep  feature.Time
		want  []asof.Event
	}{
		{"the first", nil, at(1, 1), 0, []asof.Event{at(1, 1)}},
		{"a first base", nil, at(1, 1), 5, []asof.Event{at(1, 1)}},
		{"a newer one", []asof.Event{at(1, 1)}, at(2, 2), 0, []asof.Event{at(1, 1), at(2, 2)}},
		{"a newer one at keep is the base alone", []asof.Event{at(1, 1)}, at(2, 2), 2, []asof.Event{at(2, 2)}},
		{"a newer one just above keep leaves the base", []asof.Event{at(1, 1)}, at(3, 2), 2, []asof.Event{at(1, 1), at(3, 2)}},
		{"C2: arriving late, between", []asof.Event{at(1, 1), at(5, 5)}, at(3, 3), 0, []asof.Event{at(1, 1), at(3, 3), at(5, 5)}},
		{"arriving late, below the base", []asof.Event{at(2, 1), at(5, 5)}, at(1, 3), 2, []asof.Event{at(2, 1), at(5, 5)}},
		{"C4: arriving late, far below the floor, but there is no base", []asof.Event{at(5, 5)}, at(1, 3), 2, []asof.Event{at(1, 3), at(5, 5)}},
		{"arriving late, a better base", []asof.Event{at(1, 1), at(5, 5)}, at(2, 3), 2, []asof.Event{at(2, 3), at(5, 5)}},
		{"arriving late, a worse base", []asof.Event{at(1, 1), at(5, 5)}, at(0, 3), 2, []asof.Event{at(1, 1), at(5, 5)}},
		{"the same again", []asof.Event{at(1, 1), at(3, 3)}, at(3, 3), 0, []asof.Event{at(1, 1), at(3, 3)}},
		{"O1: the same instant, a greater tiebreak", []asof.Event{at(1, 1), at(3, 3), at(4, 4)}, late, 0, []asof.Event{at(1, 1), late, at(4, 4)}},
		{"O1: the same instant, a lesser tiebreak", []asof.Event{at(1, 1), late}, at(3, 3), 0, []asof.Event{at(1, 1), late}},
	} {
		got := asof.Insert(test.state, test.add, test.keep)
		if diff := cmp.Diff(test.want, got, cmp.Comparer(feature.Value.Equal)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestLatest(t *testing.T) {
	value, none := feature.Int64Value(7), feature.Value{}
	deleted := at(10, 7)
	deleted.Deleted = true
	plain := feature.Feature{Name: "f", Latest: "x", Type: feature.Int64}
	short := plain
	short.TTL = 5
	defaulted := short
	defaulted.Default = feature.Int64Value(-1)
	event := at(10, 7)
	early := at(-10, 7)
	for _, test := range []struct {
		name  string
		f     feature.Feature
		e     *asof.Event
		value feature.Value
		hi    feature.Time
		want  feature.Cell
	}{
		{"R2: no event", plain, nil, none, 12, feature.Cell{Status: feature.Missing}},
		{"R2: present", plain, &event, value, 10, feature.Cell{Value: value, Status: feature.Present, EventTime: 10, HasTime: true}},
		{"R1: a NULL stays", plain, &event, none, 10, feature.Cell{Status: feature.Null, EventTime: 10, HasTime: true}},
		{"R2: deleted", plain, &deleted, value, 10, feature.Cell{Status: feature.Missing}},
		{"R2: deleted before expired", short, &deleted, value, 100, feature.Cell{Status: feature.Missing}},
		{"R2: deleted before null", plain, &deleted, none, 10, feature.Cell{Status: feature.Missing}},
		{"R2: ttl, one before the edge", short, &event, value, 14, feature.Cell{Value: value, Status: feature.Present, EventTime: 10, HasTime: true}},
		{"R2: ttl, the edge is in", short, &event, value, 15, feature.Cell{Value: value, Status: feature.Present, EventTime: 10, HasTime: true}},
		{"R2: ttl, one past the edge", short, &event, value, 16, feature.Cell{Status: feature.Expired, EventTime: 10, HasTime: true}},
		{"R2: expired before null", short, &event, none, 16, feature.Cell{Status: feature.Expired, EventTime: 10, HasTime: true}},
		{"R2: ttl 0 never expires", plain, &event, value, feature.MaxTime, feature.Cell{Value: value, Status: feature.Present, EventTime: 10, HasTime: true}},
		{"R2: ttl before 1970", short, &early, value, -5, feature.Cell{Value: value, Status: feature.Present, EventTime: -10, HasTime: true}},
		{"R2: expired before 1970", short, &early, value, -4, feature.Cell{Status: feature.Expired, EventTime: -10, HasTime: true}},
		{"D1: default of missing", defaulted, nil, none, 12, feature.Cell{Value: feature.Int64Value(-1), Status: feature.Missing}},
		{"D1: default of null", defaulted, &event, none, 10, feature.Cell{Value: feature.Int64Value(-1), Status: feature.Null, EventTime: 10, HasTime: true}},
		{"D1: default of expired", defaulted, &event, value, 16, feature.Cell{Value: feature.Int64Value(-1), Status: feature.Expired, EventTime: 10, HasTime: true}},
		{"D1: no default of present", defaulted, &event, value, 10, feature.Cell{Value: value, Status: feature.Present, EventTime: 10, HasTime: true}},
	} {
		got := asof.Latest(&test.f, test.e, test.value, test.hi)
		if diff := cmp.Diff(test.want, got, cmp.Comparer(feature.Value.Equal)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// BenchmarkInsert adds events to a busy key, each newer than the last.
func BenchmarkInsert(b *testing.B) {
	for _, kept := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("kept=%d", kept), func(b *testing.B) {
			var state []asof.Event
			now := feature.Time(0)
			e := at(0, 1)
			b.ReportAllocs()
			for b.Loop() {
				now++
				e.EventTime = now
				state = asof.Insert(state, e, now-feature.Time(kept))
			}
		})
	}
}
