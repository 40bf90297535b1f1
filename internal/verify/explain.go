package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Explanation says what both paths make of one key at one instant and one cut, and of what.
type Explanation struct {
	Cut      feature.Cut
	Refused  error // why the replica does not answer, or nil
	Features []Explained
}

// Explained is one slot of the plan.
type Explained struct {
	Feature string
	Lo, Hi  feature.Time  // of its window; see asof.Trace
	Online  *feature.Cell // nil when the replica refused
	Offline feature.Cell
	Differs bool
	Sums    []Sum
	Events  []Event // newest first, at most maxEvents, of these those that a path lacks or has twice before others
	More    int     // events of the newest asof.MaxTraced that are not listed
	Older   bool    // there are more events than were looked at
}

// Sum is a part of a window that the replica had summed up, and what the events of ClickHouse make of it.
type Sum struct {
	asof.Sum
	Offline feature.Value
	Known   bool // Offline means something: all events of the part were looked at
	Differs bool
}

// Event is an event that at least one path has.
type Event struct {
	asof.Traced
	Request         bool // the read brings it
	Online, Offline bool // which path has it; online is also true where it may be in a tile
	Notes           []string
}

// What Notes say of an event.
const (
	Late      = "late"      // available only after the instant of the read: a training set under the clock available does not see it
	Missing   = "missing"   // ClickHouse has it, the replica does not
	Extra     = "extra"     // the replica has it, ClickHouse does not
	Duplicate = "duplicate" // ClickHouse has it twice
)

const (
	maxEvents    = 100
	maxExplained = 10 // differences of a report that are explained
)

// Explain reads both paths for the only row of the lookup, at the cut of the replica.
func Explain(ctx context.Context, online Online, offline Offline, l *feature.Lookup) (*Explanation, error) {
	out := &Explanation{Cut: offline.Watermark()}
	var seen []asof.Trace
	on, seen, err := online.Explain(l)
	if code := feature.CodeOf(err); code == feature.CodeBelowFloor || code == feature.CodeUnavailable {
		out.Refused = err
	} else if err != nil {
		return nil, fmt.Errorf("explain online at %s: %w", l.At, err)
	}
	if on != nil {
		out.Cut = on.Cut
		if err := offline.Wait(ctx, out.Cut.Seq); err != nil {
			return nil, err
		}
	}
	off, there, err := offline.Explain(ctx, l, out.Cut)
	if err != nil {
		return nil, fmt.Errorf("explain offline at %s: %w", l.At, err)
	}
	for i, slot := range l.Plan.Slots {
		f := &l.Plan.Items[slot.Item].View.Features[slot.Feature]
		x := Explained{Feature: l.Plan.Names[i], Lo: there[i].Lo, Hi: there[i].Hi, Offline: off.Cells[i], Older: there[i].More}
		var have *asof.Trace
		if on != nil {
			x.Online, have = &on.Cells[i], &seen[i]
			x.Older, x.Differs = x.Older || have.More, !same(f, *x.Online, x.Offline)
			x.Sums = sums(f, have, &there[i])
		}
		x.list(merge(have, &there[i], l.At))
		out.Features = append(out.Features, x)
	}
	return out, nil
}

// places is the positions of some events.
type places map[asof.Position]struct{}

func placesOf(t *asof.Trace) places {
	p := places{}
	if t != nil {
		for i := range t.Events {
			p[t.Events[i].Position] = struct{}{}
		}
	}
	return p
}

func (p places) has(e *asof.Traced) bool {
	_, ok := p[e.Position]
	return ok
}

// merge returns the events of both paths, newest first. have is nil when the replica was not asked.
func merge(have, there *asof.Trace, at feature.Time) []Event {
	var events []Event
	online, offline := placesOf(have), placesOf(there)
	for i := range there.Events {
		e := Event{Traced: there.Events[i], Offline: true, Request: there.Events[i].Seq == asof.Asked}
		if e.AvailableAt > at && !e.Request {
			e.Notes = append(e.Notes, Late)
		}
		if i > 0 && e.Position == there.Events[i-1].Position {
			e.Notes = append(e.Notes, Duplicate)
		}
		if have != nil {
			e.Online = online.has(&e.Traced) || summed(have, e.Position)
			if !e.Online && !have.More {
				e.Notes = append(e.Notes, Missing)
			}
		}
		events = append(events, e)
	}
	if have == nil {
		return events
	}
	for _, x := range have.Events {
		if offline.has(&x) {
			continue
		}
		e := Event{Traced: x, Online: true, Request: x.Seq == asof.Asked}
		if !there.More {
			e.Notes = append(e.Notes, Extra)
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b Event) int { return asof.Compare(b.Position, a.Position) })
	return events
}

// list takes as many of the events as are shown: those that a path lacks or has twice, then the newest.
func (x *Explained) list(events []Event) {
	room := maxEvents
	for _, noted := range []bool{true, false} {
		for i := range events {
			if slices.ContainsFunc(events[i].Notes, func(note string) bool { return note != Late }) != noted {
				continue
			}
			if room == 0 {
				x.More++
				continue
			}
			room--
			x.Events = append(x.Events, events[i])
		}
	}
	slices.SortStableFunc(x.Events, func(a, b Event) int { return asof.Compare(b.Position, a.Position) })
}

// sums compares what the replica had summed up with what ClickHouse's events make of it. Of a tile those are not compared that the
// replica has singly beside it.
func sums(f *feature.Feature, have, there *asof.Trace) []Sum {
	var out []Sum
	events := there.Events
	if have.Tiled {
		singly := placesOf(have)
		events = slices.DeleteFunc(slices.Clone(events), func(e asof.Traced) bool { return singly.has(&e) })
	}
	for _, s := range have.Sums {
		all := !there.More || len(there.Events) > 0 && there.Events[len(there.Events)-1].EventTime <= s.After
		x := Sum{Sum: s, Known: all && (!have.Tiled || !have.More)}
		if x.Known {
			x.Offline = worth(f, events, &s)
			x.Differs = !same(f, feature.Cell{Value: x.Value}, feature.Cell{Value: x.Offline})
		}
		out = append(out, x)
	}
	return out
}

// worth is what the events of a part are worth, which come newest first (rules W2, R3).
func worth(f *feature.Feature, events []asof.Traced, part *asof.Sum) feature.Value {
	var typ feature.Type
	for i := range events {
		if typ.Kind == feature.KindNull {
			typ = events[i].Value.Type()
		}
	}
	if typ.Kind == feature.KindNull {
		typ = feature.Type{Kind: f.Type.Kind}
	}
	state := agg.New(agg.SpecOf(f.Window, typ))
	for i := range slices.Backward(events) {
		if e := &events[i]; !e.Deleted && part.Has(e.Position) {
			state.Add(e.Value)
		}
	}
	return state.Value()
}

// summed reports whether an event of that position may be in a tile.
func summed(have *asof.Trace, p asof.Position) bool {
	return have.Tiled && slices.ContainsFunc(have.Sums, func(s asof.Sum) bool { return s.Has(p) })
}
