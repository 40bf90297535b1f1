package api

import "encoding/json"

// The types of this file are the bodies of Feast's remote protocol, so that its clients work unchanged. Names of
// features are written VIEW:FEATURE there, and tables are maps of columns.

// FeastOnlineRequest asks for the features of a service, or a list of features, for some keys, now.
type FeastOnlineRequest struct {
	FeatureService string   `json:"feature_service,omitempty" doc:"NAME or NAME@VERSION; either this or features"`
	Features       []string `json:"features,omitempty" doc:"VIEW:FEATURE names; either these or feature_service"`
	// Entities has a slice of key values for each key name, all of one length.
	Entities         map[string]any `json:"entities" doc:"for each key name an array of values; all arrays are of one length"`
	FullFeatureNames bool           `json:"full_feature_names,omitempty" doc:"answer with VIEW__FEATURE names"`
	VersionMetadata  bool           `json:"include_feature_view_version_metadata,omitempty" doc:"no effect"`
}

// FeastOnlineResponse answers a FeastOnlineRequest with one result for each name: the keys, then the features.
type FeastOnlineResponse struct {
	Results  []FeastColumn `json:"results"`
	Metadata FeastMetadata `json:"metadata"`
}

// FeastColumn is a column of an answer; its arrays have a place for each key of the request.
type FeastColumn struct {
	Values     []json.RawMessage `json:"values" doc:"timestamps are whole seconds since 1970"`
	Statuses   []string          `json:"statuses" doc:"PRESENT, NULL_VALUE, NOT_FOUND or OUTSIDE_MAX_AGE"`
	EventTimes []string          `json:"event_timestamps" doc:"of the event that a value comes from; 1970-01-01T00:00:00Z for none"`
}

// FeastMetadata names the columns of an answer.
type FeastMetadata struct {
	FeatureNames []string `json:"feature_names"`
}

// FeastPushRequest carries rows of a source. What does not concern Lockstep is taken and has no effect.
type FeastPushRequest struct {
	Source        string           `json:"push_source_name" doc:"a source"`
	Frame         map[string][]any `json:"df" doc:"for each column of the source an array of values; all arrays are of one length"`
	To            string           `json:"to,omitempty" doc:"online_and_offline, which is also what it is when left out; an event cannot be in one of them only"`
	RegistryCache *bool            `json:"allow_registry_cache,omitempty" doc:"no effect"`
	Transform     *bool            `json:"transform_on_write,omitempty" doc:"no effect"`
}

// FeastWriteRequest carries rows of a view: events of its source, of which the view's keys, the columns that its
// features read and the event time are given.
type FeastWriteRequest struct {
	View          string           `json:"feature_view_name" doc:"a view"`
	Frame         map[string][]any `json:"df" doc:"an array of values for each key, each feature and event_timestamp; created is the tiebreak"`
	RegistryCache *bool            `json:"allow_registry_cache,omitempty" doc:"no effect"`
	Transform     *bool            `json:"transform_on_write,omitempty" doc:"no effect"`
}
