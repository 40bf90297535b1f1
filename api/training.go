package api

import "encoding/json"

// TrainingRequest asks for a training set. The spine is exactly one of Spine, SpineSQL and KeysAll, or, with
// the same names as query parameters, the body of the request as a file.
type TrainingRequest struct {
	Service  string   `json:"service,omitempty" doc:"NAME or NAME@VERSION; either this or features"`
	Features []string `json:"features,omitempty" doc:"VIEW.FEATURE names; either these or service"`
	// Spine is a SpineTable, or an array of objects.
	Spine    json.RawMessage   `json:"spine,omitempty" doc:"{\"columns\": [...], \"rows\": [[...], ...]}, or an array of objects; inputs of on-demand features are columns too"`
	SpineSQL string            `json:"spine_sql,omitempty" doc:"a query whose result is the spine; only where the server allows SQL"`
	KeysAll  string            `json:"keys_all,omitempty" doc:"an entity: every key of it that has an event is a row of the spine"`
	At       string            `json:"at,omitempty" doc:"the instant of all rows with keys_all, RFC 3339; now when left out"`
	Time     string            `json:"time,omitempty" doc:"the time column of the spine; the only one of event_timestamp, ts and time when left out"`
	Keys     map[string]string `json:"keys,omitempty" doc:"for a key name the spine column that holds it, where they differ"`
	Clock    string            `json:"clock,omitempty" doc:"event (the default) or available"`
	Cut      string            `json:"cut,omitempty" doc:"make the set of what the history held up to a sequence of the log, SEQ or LOG:SEQ, as in a set's metadata (rule G2); of all it holds when left out"`
	Format   string            `json:"format,omitempty" doc:"parquet (the default), arrow, feather, csv or jsonl"`
}

// SpineTable is a spine given in the request.
type SpineTable struct {
	Columns []string            `json:"columns"`
	Rows    [][]json.RawMessage `json:"rows"`
}
