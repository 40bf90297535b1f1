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
	Value        feature.Value
}

// Traced is an event as a path has it.
type Traced struct {
	Position
	Deleted     bool
	Value       feature.Value // of the feature's input
	AvailableAt feature.Time  // as ClickHouse has it
}
