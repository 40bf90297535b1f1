package asof

import "github.com/lockstepfs/lockstep/feature"

// MaxTraced is how many events a Trace lists at the most: the newest.
const MaxTraced = 1000

// Trace is what one path made a feature of one key of.
type Trace struct {
	Lo, Hi feature.Time // what is looked at is later than Lo, which is Ever for a lifetime and for latest, and not later than Hi
	Sums   []Sum        // of the replica: what it had summed up of the events
	Tiled  bool         // of the replica: the events of Sums are not there singly
	Events []Traced     // newest first; of latest one
	More   bool         // there are more, older ones
}

// Sum is a part of a window that was summed up before it was read.
type Sum struct {
	Level        int          // of a hierarchy, 0 the lowest
	After, Until feature.Time // where its events lie: later than After, not later than Until
	Events       int          // how many they are; 0 of a tile, which does not say
	First, Last  Position     // the oldest and the newest of them; of a tile nothing
	Value        feature.Value
}

// Has reports whether an event of that position belongs to s, or, where s is a tile, may: events of its time that came later than it
// was made may be there singly.
func (s *Sum) Has(p Position) bool {
	if p.Seq == Asked { // no state ever has one
		return false
	}
	if s.Events == 0 {
		return s.After < p.EventTime && p.EventTime <= s.Until
	}
	return Compare(s.First, p) <= 0 && Compare(p, s.Last) <= 0
}

// Traced is an event as a path has it.
type Traced struct {
	Position
	Deleted     bool
	Value       feature.Value // of the feature's input
	AvailableAt feature.Time  // as ClickHouse has it
}
