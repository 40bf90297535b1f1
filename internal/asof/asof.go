// Package asof is the one place that knows which event is visible at an instant, which of several is the
// newest, when a value has expired, and which events a replica must keep: rules T3, O, R, C4 and D1 of
// docs/semantics.md. It is pure: instants come in as arguments.
package asof

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// Position is the place of an event in the order of events (rule O1). The zero TieNull and Tie are right for
// a source that declares no tiebreak.
type Position struct {
	EventTime feature.Time
	TieNull   bool  // the tiebreak column is NULL: lowest
	Tie       int64 // its value as int64 or microseconds; 0 when TieNull or none is declared
	Seq       uint64
	Idx       uint32
	// Columns orders imported events (Seq 0) of equal position by all their column values, columns in order of
	// name, NULL lowest (rule O2): bytes whose order is the order of the values, made by wire.AppendOrdered.
	// It is "" for events of the log, whose (Seq, Idx) is unique.
	Columns string
}

// Compare returns -1, 0 or 1 as a is older than, the same as or newer than b (rules O1 to O3). It is the only
// comparison of positions.
func Compare(a, b Position) int {
	if c := cmp.Compare(a.EventTime, b.EventTime); c != 0 {
		return c
	}
	if a.TieNull != b.TieNull {
		if a.TieNull {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(a.Tie, b.Tie); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Seq, b.Seq); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Idx, b.Idx); c != 0 {
		return c
	}
	return strings.Compare(a.Columns, b.Columns)
}

// Asked is the sequence of events that a read brings: they come after all that the log has (rule D4).
const Asked uint64 = math.MaxUint64

// Hi returns the instant that a read at t of a view with the delay looks at (rule T3).
func Hi(t feature.Time, delay feature.Span) feature.Time { return t.Add(-delay) }

// NoClock is the clock of a view without events: below every instant. It takes part in max like any other.
const NoClock feature.Time = math.MinInt64

// Clock returns what an event contributes to its view's clock (rule C4).
func Clock(eventTime, availableAt feature.Time) feature.Time { return min(eventTime, availableAt) }

// Floor returns the earliest instant that a replica whose view's clock stands at clock answers itself (C4). A
// view without events answers every instant: its floor is NoClock.
func Floor(clock feature.Time, history feature.Span) feature.Time {
	if clock == NoClock {
		return NoClock
	}
	return clock.Add(-history)
}

// Keep returns the instant from which a replica keeps events, and the newest at or before it (C4): what the
// earliest read that it answers looks at.
func Keep(clock feature.Time, history, delay feature.Span) feature.Time {
	if clock == NoClock {
		return NoClock
	}
	return Hi(Floor(clock, history), delay)
}

// Event is an event as row features of one view see it.
type Event struct {
	Position
	Deleted bool
	Values  []feature.Value // in the order of View.Columns; never changed once the Event exists
}

// Kept is an event of one view that a replica keeps, with its key.
type Kept struct {
	Key   feature.Key
	Event Event
}

// Insert returns events with e among them: exactly those events that some read with hi ≥ keep can see (rule
// C4), oldest first, one for each event time. Order of insertion and repetition do not matter (rule C1), as long
// as keep never decreases. It returns a part of events when e changes nothing.
//
// Like append it may write e behind the end of events where there is room, so that a busy key is not copied for
// every event. Slices returned earlier stay as they are and may be read meanwhile, but only the newest of them
// may be given to Insert again.
func Insert(events []Event, e Event, keep feature.Time) []Event {
	events = Prune(events, keep)
	if n := len(events); n == 0 || events[n-1].EventTime < e.EventTime {
		if e.EventTime <= keep {
			events = nil // e is the new base
		}
		return append(events, e)
	}
	at, found := slices.BinarySearchFunc(events, e.EventTime, func(x Event, t feature.Time) int { return cmp.Compare(x.EventTime, t) })
	if found && Compare(e.Position, events[at].Position) <= 0 {
		return events
	}
	// e is below a base that every read with hi ≥ keep prefers.
	if !found && events[at].EventTime <= keep {
		return events
	}
	out := make([]Event, 0, len(events)+1)
	out = append(out, events[:at]...)
	out = append(out, e)
	if found {
		at++
	}
	return Prune(append(out, events[at:]...), keep)
}

// Prune returns the part of events that some read with hi ≥ keep can see: the newest at or before keep and
// all after it. The result shares memory with events.
func Prune(events []Event, keep feature.Time) []Event {
	first := 0
	for first+1 < len(events) && events[first+1].EventTime <= keep {
		first++
	}
	return events[first:]
}

// At returns the newest event with event_time ≤ hi (rule R1) among events, which are ordered as Insert
// returns them, or nil.
func At(events []Event, hi feature.Time) *Event {
	n := len(events)
	if n > 0 && events[n-1].EventTime > hi { // most reads are of the newest event
		n, _ = slices.BinarySearchFunc(events, hi+1, func(x Event, t feature.Time) int { return cmp.Compare(x.EventTime, t) })
	}
	if n == 0 {
		return nil
	}
	return &events[n-1]
}

// Newer returns the newest event with event_time ≤ hi among e, which may be nil, and those that a read brings (rules D4, O1).
func Newer(e *Event, asked []Event, hi feature.Time) *Event {
	for i := range asked {
		if x := &asked[i]; x.EventTime <= hi && (e == nil || Compare(x.Position, e.Position) > 0) {
			e = x
		}
	}
	return e
}

// Latest returns the cell of a row feature: e is the newest event visible at hi (nil: none), value its value
// of the feature's column (rules R2 and D1).
func Latest(f *feature.Feature, e *Event, value feature.Value, hi feature.Time) feature.Cell {
	c := feature.Cell{Status: status(f, e, value, hi)}
	if c.Status != feature.Missing {
		c.EventTime, c.HasTime = e.EventTime, true
	}
	c.Value = f.Default
	if c.Status == feature.Present {
		c.Value = value
	}
	return c
}

func status(f *feature.Feature, e *Event, value feature.Value, hi feature.Time) feature.Status {
	switch {
	case e == nil, e.Deleted:
		return feature.Missing
	case f.TTL > 0 && hi.Sub(e.EventTime) > f.TTL:
		return feature.Expired
	case value.IsNull():
		return feature.Null
	default:
		return feature.Present
	}
}
