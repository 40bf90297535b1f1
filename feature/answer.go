package feature

import (
	"strconv"
	"strings"
)

// Cut is a state of the world that a value is a function of (rules C1 and C3): everything that the log says up
// to and including a sequence, imports included.
type Cut struct {
	Log string `json:"log"` // identity of the log; sequences of different logs do not compare
	Seq uint64 `json:"seq"`
}

// ParseCut reads "SEQ", or "LOG:SEQ" to name the log that the sequence is of.
func ParseCut(s string) (Cut, error) {
	log, seq, found := strings.Cut(s, ":")
	if !found {
		log, seq = "", s
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || found && log == "" {
		return Cut{}, Errorf(CodeInvalid, "cut %q: expected a sequence of the log such as 81234, or LOG:81234", s)
	}
	return Cut{Log: log, Seq: n}, nil
}

// Cell is the answer for one feature and one key.
type Cell struct {
	Value     Value  // after the default (D1)
	Status    Status // of the value before the default
	EventTime Time   // of the event the value comes from; meaningless unless HasTime
	HasTime   bool
}

// Clock says which events a training set may see (rule S2).
type Clock uint8

// The clocks of rule S2.
const (
	ClockEvent     Clock = iota // every event by its event time
	ClockAvailable              // only events that were available at the spine row's time
)

// ParseClock reads "event" (also "") or "available".
func ParseClock(s string) (Clock, error) {
	switch s {
	case "", "event":
		return ClockEvent, nil
	case "available":
		return ClockAvailable, nil
	default:
		return 0, Errorf(CodeInvalid, "unknown clock %q: expected event or available", s)
	}
}

// String returns "event" or "available".
func (c Clock) String() string {
	if c == ClockAvailable {
		return "available"
	}
	return "event"
}

// Path says which store answered, or is asked to (rule C5).
type Path string

// The paths of rule C5. An answer carries PathOnline or PathOffline.
const (
	PathAuto    Path = "auto"
	PathOnline  Path = "online"
	PathOffline Path = "offline"
)

// Lookup asks for the features of a plan for some keys at one instant.
type Lookup struct {
	Plan *Plan
	Keys [][]Value // for each field of Plan.Keys a column of values of its type (or NULL), all of one length
	At   Time
	// Events are rows that the read brings: they count as if they were the newest in the log (rule D4). A source has
	// one batch at the most; copies of events that are there (rule E1) are not among them.
	Events []*Batch
	// Inputs has for each field of Plan.Inputs a column as of Keys (D3), nil where the request does not bring it. Stores need none.
	Inputs [][]Value
}

// EventsOf returns the rows that the read brings of a source, or nil.
func (l *Lookup) EventsOf(source string) *Batch {
	for _, b := range l.Events {
		if b.Source == source {
			return b
		}
	}
	return nil
}

// Rows returns how many keys are asked for.
func (l *Lookup) Rows() int {
	if len(l.Keys) == 0 {
		return 0
	}
	return len(l.Keys[0])
}

// Answer answers a Lookup.
type Answer struct {
	Cells []Cell // row by row: row i has the cells i*len(Plan.Slots) to (i+1)*len(Plan.Slots), in slot order
	Path  Path
	Cut   Cut
	Stale []string // what was stale, in words; empty when nothing was (C5)
}
