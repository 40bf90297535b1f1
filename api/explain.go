package api

import (
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Explanation says what both paths make of one key at one instant, and of what. The body that asks for it is an
// OnlineRequest of one key.
type Explanation struct {
	Keys     map[string]feature.Value `json:"keys"`
	At       time.Time                `json:"at"`
	Seq      uint64                   `json:"seq" doc:"the log sequence at which both paths were read"`
	Refused  string                   `json:"refused,omitempty" doc:"why the replica does not answer; left out when it does"`
	Features []Explained              `json:"features" doc:"in the order of the service; of on-demand features those that they read"`
}

// Explained is one feature of an Explanation.
type Explained struct {
	Feature string           `json:"feature"`
	After   *time.Time       `json:"after" doc:"events count that are later than this; null of a lifetime and of latest"`
	Until   *time.Time       `json:"until" doc:"and not later than this: the instant less the delay; null outside of the years that there are"`
	Online  *Cell            `json:"online,omitempty" doc:"left out where the replica refused"`
	Offline Cell             `json:"offline"`
	Differs bool             `json:"differs"`
	Sums    []ExplainedSum   `json:"sums" doc:"parts of the window that the replica had summed up: blocks of events, or tiles"`
	Events  []ExplainedEvent `json:"events" doc:"newest first: those that a path lacks or has twice, and the newest others"`
	More    int              `json:"more,omitempty" doc:"events that are not listed"`
	Older   bool             `json:"older,omitempty" doc:"there are older events too, which were not looked at"`
}

// ExplainedSum is a part of a window that a replica had summed up.
type ExplainedSum struct {
	Level   int            `json:"level" doc:"of a hierarchy of sums, 0 the lowest"`
	After   *time.Time     `json:"after" doc:"its events are later; null for no edge"`
	Until   *time.Time     `json:"until" doc:"and not later; null for no edge"`
	Events  int            `json:"events,omitempty" doc:"how many they are; left out of a tile, which does not say"`
	Online  feature.Value  `json:"online" doc:"what the replica has"`
	Offline *feature.Value `json:"offline,omitempty" doc:"what the events of ClickHouse make; left out where not all of them were looked at"`
	Differs bool           `json:"differs,omitempty"`
}

// ExplainedEvent is an event that at least one path has.
type ExplainedEvent struct {
	EventTime   time.Time     `json:"event_time"`
	Seq         uint64        `json:"seq" doc:"of the log; 0 of an imported event and of one of the request"`
	Idx         uint32        `json:"idx" doc:"its place in its message"`
	AvailableAt *time.Time    `json:"available_at,omitempty" doc:"as ClickHouse has it"`
	Value       feature.Value `json:"value" doc:"what the feature reads of it"`
	Deleted     bool          `json:"deleted,omitempty"`
	Request     bool          `json:"request,omitempty" doc:"the read brings it"`
	Online      bool          `json:"online" doc:"the replica has it, perhaps in a tile"`
	Offline     bool          `json:"offline" doc:"ClickHouse has it"`
	Notes       []string      `json:"notes,omitempty" doc:"late: it became available after the instant of the read; missing: the replica does not have it; extra: ClickHouse does not have it; duplicate: ClickHouse has it twice"`
}
