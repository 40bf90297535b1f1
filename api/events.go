package api

import (
	"encoding/json"

	"github.com/lockstepfs/lockstep/feature"
)

// PushRequest carries rows of a source. The body may also be an array of rows, or rows as JSON lines.
type PushRequest struct {
	Rows []json.RawMessage `json:"rows" doc:"objects with the columns of the source"`
}

// PushResponse says what became of pushed rows. When it arrives the log has the accepted rows on disk.
type PushResponse struct {
	Accepted   int              `json:"accepted" doc:"rows that are in the log now and were not before"`
	Seq        uint64           `json:"seq" doc:"the log sequence of the last row, or of the last event that a row is a copy of; 0 when there is none"`
	Duplicates int              `json:"duplicates,omitempty" doc:"rows that were left out: they are copies of events that were there before (rule E1)"`
	Conflicts  int              `json:"conflicts,omitempty" doc:"duplicates that differ from their event; they are dead letters"`
	Differing  []feature.Detail `json:"differing,omitempty" doc:"the first 100 of these conflicts, each with its row and the place of the event"`
	Refused    []feature.Detail `json:"refused" doc:"with partial=true, the rows that were refused and why"`
}

// Progress says how far a long operation has come.
type Progress struct {
	Stage string  `json:"stage" doc:"what is being done, in a word"`
	Done  float64 `json:"done" doc:"from 0 to 1; negative when not known"`
	Rows  int64   `json:"rows,omitempty" doc:"rows so far"`
}

// Line is one line of the answer of a long operation: any number of lines with Progress, then one with Result
// or Error. An answer without that last line was cut off.
type Line[T any] struct {
	Progress *Progress      `json:"progress,omitempty"`
	Result   *T             `json:"result,omitempty"`
	Error    *feature.Error `json:"error,omitempty"`
}

// ImportResult is the result of an import.
type ImportResult struct {
	Rows       int64  `json:"rows"`
	Generation uint64 `json:"generation"`
	Seq        uint64 `json:"seq" doc:"where the log records the import (rule C3)"`
	Known      bool   `json:"known,omitempty" doc:"the file was imported before; nothing was added (rule E2)"`
	Resumed    int64  `json:"resumed,omitempty" doc:"of the rows those that an earlier attempt, which came to no end, had brought in"`
	Duplicates int64  `json:"duplicates,omitempty" doc:"of the rows those that were left out: they are copies of events that were there before (rule E1)"`
	Conflicts  int64  `json:"conflicts,omitempty" doc:"how many duplicates differ from their event; the first 1000 are dead letters"`

	Views  []string `json:"views,omitempty" doc:"with replace=true, the new versions of views, which see these events instead of what was imported before"`
	Behind []string `json:"behind,omitempty" doc:"with replace=true, the services that go on with what was imported before until they are upgraded"`
}
