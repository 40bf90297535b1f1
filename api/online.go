package api

import (
	"encoding/json"

	"github.com/lockstepfs/lockstep/feature"
)

// OnlineRequest asks for the features of a service, or a list of features, for some keys at one instant.
type OnlineRequest struct {
	Service  string   `json:"service,omitempty" doc:"NAME or NAME@VERSION; either this or features"`
	Features []string `json:"features,omitempty" doc:"VIEW.FEATURE names; either these or service"`
	// Entities has a slice of key values for each key name, all of one length. A NULL is null.
	Entities map[string]any `json:"entities" doc:"for each key name an array of values; all arrays are of one length"`
	// Request has a slice of values for each input of on-demand features, of the length of the keys.
	Request map[string]any `json:"request,omitempty" doc:"for each input of on-demand features an array of values, as long as those of entities"`
	// Events are rows that the read brings, as a push would: they count as if they were the newest in the log (rule D4).
	Events map[string][]json.RawMessage `json:"events,omitempty" doc:"for each source an array of rows, objects with its columns, that count for this read only as if they were the newest in the log"`
	At     string                       `json:"at,omitempty" doc:"the instant of the read, RFC 3339; now when left out"`
	Path   feature.Path                 `json:"path,omitempty" doc:"auto (the default), online or offline"`
}

// OnlineResponse answers an OnlineRequest. Values, Statuses and EventTimes have a row for each key, in the
// order of the request, and in it a place for each name.
type OnlineResponse struct {
	Keys       map[string]json.RawMessage `json:"keys" doc:"the keys as the server understood them"`
	Names      []string                   `json:"names" doc:"the features in the order of the service"`
	Values     [][]json.RawMessage        `json:"values"`
	Statuses   [][]feature.Status         `json:"statuses"`
	EventTimes [][]*string                `json:"event_times" doc:"of the event that a value comes from, or null"`
	Meta       OnlineMeta                 `json:"meta"`
}

// OnlineMeta says what an answer was made from (rule C5).
type OnlineMeta struct {
	Service  string       `json:"service" doc:"NAME@VERSION; empty when features were asked for by name"`
	Views    []string     `json:"views" doc:"the view versions that the answer was made from, NAME@VERSION"`
	OnDemand []string     `json:"ondemand,omitempty" doc:"the versions of on-demand features that the answer was made from, NAME@VERSION"`
	Path     feature.Path `json:"path" doc:"online or offline"`
	Seq      uint64       `json:"seq" doc:"the log sequence up to which the answer is complete"`
	LagMS    int64        `json:"lag_ms" doc:"for how long the replica has been behind the log"`
	Stale    []string     `json:"stale" doc:"what was stale, in words"`
}
