package api

// EraseRequest asks to take keys of an entity out of existence (rule E3).
type EraseRequest struct {
	Entity string `json:"entity"`
	// Keys has a slice of values for each part of the entity's key, all of one length.
	Keys   map[string]any `json:"keys" doc:"for each part of the entity's key an array of values; all arrays are of one length, at most 1000"`
	DryRun bool           `json:"dry_run,omitempty" doc:"only count"`
}

// EraseResult says what was erased, or would be.
type EraseResult struct {
	Seq         uint64         `json:"seq" doc:"events before this log sequence are gone, later ones count; 0 of a dry run"`
	Sources     []ErasedSource `json:"sources"`
	LogEntries  int            `json:"log_entries" doc:"row groups of the log that held a key; they are deleted, the history has their other rows"`
	DeadLetters int            `json:"dead_letters"`
	Rebuilt     []string       `json:"rebuilt" doc:"views that lost events of other keys: replicas load them anew"`
	Left        []string       `json:"left" doc:"where the keys may still be, in words"`
}

// ErasedSource is what was erased of one source.
type ErasedSource struct {
	Source  string   `json:"source"`
	Columns []string `json:"columns" doc:"that hold the key"`
	Rows    uint64   `json:"rows" doc:"events of the history"`
}
