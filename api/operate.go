package api

import (
	"encoding/json"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Status says how a process is. A part that a process does not have is left out.
type Status struct {
	Version     string             `json:"version"`
	Started     time.Time          `json:"started"`
	Roles       []string           `json:"roles"`
	Revision    uint64             `json:"revision" doc:"of the registry; 0 when nothing was ever applied"`
	Log         *LogStatus         `json:"log,omitempty"`
	Sink        *SinkStatus        `json:"sink,omitempty"`
	Replica     *ReplicaStatus     `json:"replica,omitempty"`
	DeadLetters *DeadLettersStatus `json:"dead_letters,omitempty"`
	Identity    []IdentityStatus   `json:"identity,omitempty" doc:"the sources that declare an id"`
	Copies      []CopyStatus       `json:"copies,omitempty" doc:"sources that are copied from tables that others keep"`
	Stale       []string           `json:"stale" doc:"what is behind or unreachable, in words"`
}

// LogStatus describes the log.
type LogStatus struct {
	ID         string `json:"id"`
	First      uint64 `json:"first"`
	Last       uint64 `json:"last"`
	Bytes      uint64 `json:"bytes"`
	MaxBytes   int64  `json:"max_bytes" doc:"that it may take; 0 when it has no limit"`
	Durability string `json:"durability"`
}

// SinkStatus describes how much of the log ClickHouse covers.
type SinkStatus struct {
	Watermark feature.Cut `json:"watermark"`
	Behind    uint64      `json:"behind" doc:"log entries that are not in ClickHouse yet"`
	LagMS     int64       `json:"lag_ms" doc:"for how long it has been behind"`
}

// ReplicaStatus describes the replica.
type ReplicaStatus struct {
	Position feature.Cut  `json:"position"`
	Behind   uint64       `json:"behind" doc:"log entries that are not applied yet"`
	LagMS    int64        `json:"lag_ms"`
	Views    []ViewStatus `json:"views"`
}

// ViewStatus describes one view version in the replica.
type ViewStatus struct {
	View  string     `json:"view" doc:"NAME@VERSION"`
	Ready bool       `json:"ready" doc:"its history is loaded"`
	Done  float64    `json:"done,omitempty" doc:"of loading its history, from 0 to 1"`
	Clock *time.Time `json:"clock,omitempty" doc:"the view's clock (rule C4)"`
	Floor *time.Time `json:"floor,omitempty" doc:"the earliest instant at which the replica answers"`
	Keys  int64      `json:"keys,omitempty"`

	StateBytes int64 `json:"state_bytes,omitempty" doc:"what its states take on the replica's disk, as of the last flush: for up to 10,000 rows what they are, else what the files are"`
}

// IdentityStatus counts the copies of events of a source that were left out (rule E1): those pushed through this
// process, and those of imports.
type IdentityStatus struct {
	Source     string `json:"source"`
	Duplicates int64  `json:"duplicates"`
	Conflicts  int64  `json:"conflicts" doc:"duplicates that differ from their event"`
	Behind     uint64 `json:"behind" doc:"log entries whose ids this process does not know yet"`
}

// DeadLettersStatus counts what the gate refused.
type DeadLettersStatus struct {
	Count uint64 `json:"count"`
}

// MaterializeRequest asks to move what ClickHouse has to the replicas.
type MaterializeRequest struct {
	Views  []string `json:"views,omitempty" doc:"views, NAME or NAME@VERSION, or sources; all when left out"`
	Full   bool     `json:"full,omitempty" doc:"look at every row of tables that others keep, and rebuild the replicas, instead of what is missing"`
	DryRun bool     `json:"dry_run,omitempty" doc:"only say what would be done"`
	// WaitOnly copies nothing from tables that others keep.
	WaitOnly bool `json:"wait_only,omitempty" doc:"only wait until every replica has the definitions and the log"`
}

// MaterializeResult is the result of a materialization.
type MaterializeResult struct {
	Views    []MaterializedView `json:"views"`
	Seq      uint64             `json:"seq" doc:"the replicas cover the log up to here"`
	Replicas int                `json:"replicas,omitempty" doc:"how many were alive and have it"`
	Copies   []CopiedSource     `json:"copies,omitempty" doc:"what was copied, or would be, from tables that others keep"`
}

// CopiedSource is what was copied, or would be, into one source.
type CopiedSource struct {
	Source     string       `json:"source"`
	Views      []string     `json:"views" doc:"on the source"`
	Generation uint64       `json:"generation,omitempty" doc:"left out when nothing was new"`
	Seq        uint64       `json:"seq,omitempty" doc:"of its record in the log"`
	Read       int64        `json:"read" doc:"rows looked at: those past the cursor, less the overlap, unless all were"`
	Rows       int64        `json:"rows" doc:"events added"`
	Duplicates int64        `json:"duplicates" doc:"rows whose id is known (rule E1)"`
	Conflicts  int64        `json:"conflicts" doc:"duplicates that differ from the event that is there"`
	Refused    int64        `json:"refused" doc:"rows that cannot be events"`
	First      *time.Time   `json:"first,omitempty" doc:"least event time of the rows added"`
	Last       *time.Time   `json:"last,omitempty" doc:"greatest event time of the rows added"`
	Examples   []RefusedRow `json:"examples,omitempty" doc:"some of the refused rows"`
}

// RefusedRow is a row of a table that cannot be an event.
type RefusedRow struct {
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
	Raw    string `json:"raw" doc:"the row as JSON"`
}

// CopyStatus says how the last copy into one source went.
type CopyStatus struct {
	Source   string     `json:"source"`
	From     string     `json:"from" doc:"what is copied, in words"`
	Schedule string     `json:"schedule,omitempty"`
	Next     *time.Time `json:"next,omitempty" doc:"when the schedule says"`
	Last     *time.Time `json:"last,omitempty" doc:"when the last copy ended; left out before the first"`
	Good     *time.Time `json:"good,omitempty" doc:"when one ended well last"`
	TookMS   int64      `json:"took_ms,omitempty"`
	Rows     int64      `json:"rows" doc:"events that the last copy added"`
	Refused  int64      `json:"refused,omitempty" doc:"rows that it refused"`
	Error    string     `json:"error,omitempty" doc:"why it failed"`
}

// MaterializedView is what was done, or would be, for one view version.
type MaterializedView struct {
	View string `json:"view" doc:"NAME@VERSION"`
	Keys int64  `json:"keys,omitempty"`
	Note string `json:"note,omitempty" doc:"what was done, in words"`
}

// VerifyRequest asks to compare both paths (rule C6).
type VerifyRequest struct {
	Service  string   `json:"service,omitempty" doc:"NAME or NAME@VERSION; either this or features"`
	Features []string `json:"features,omitempty" doc:"VIEW.FEATURE names; either these or service"`
	At       []string `json:"at,omitempty" doc:"the instants, RFC 3339; the server chooses when left out"`
	Sample   int      `json:"sample,omitempty" doc:"keys for each instant; 1000 when left out"`
}

// VerifyResult is the outcome of a verification.
type VerifyResult struct {
	Compared    int64        `json:"compared"`
	Informative int64        `json:"informative" doc:"values that say something: not null, zero, empty, missing or expired"`
	Different   int64        `json:"different"`
	Differences []Difference `json:"differences" doc:"the first of them"`
	Problem     string       `json:"problem,omitempty" doc:"why the verification failed; left out when it did not"`
}

// Difference is a value in which the paths differ.
type Difference struct {
	Feature   string                   `json:"feature"`
	Keys      map[string]feature.Value `json:"keys"`
	At        time.Time                `json:"at"`
	Online    Cell                     `json:"online"`
	Offline   Cell                     `json:"offline"`
	Explained *Explained               `json:"explained,omitempty" doc:"of the first ten: the events behind it; left out if the paths agreed a moment later"`
}

// Cell is the answer for one feature and one key.
type Cell struct {
	Value     feature.Value  `json:"value"`
	Status    feature.Status `json:"status"`
	EventTime *time.Time     `json:"event_time"`
}

// CellOf returns c in the form of a body.
func CellOf(c feature.Cell) Cell {
	out := Cell{Value: c.Value, Status: c.Status}
	if c.HasTime {
		at := c.EventTime.Std()
		out.EventTime = &at
	}
	return out
}

// SQLRequest asks for a look into the offline store.
type SQLRequest struct {
	Query  string `json:"query" doc:"one query that reads"`
	Format string `json:"format,omitempty" doc:"json (the default) or ndjson"`
}

// SQLResponse is the result of a query in the format json. In the format ndjson each row is an object.
type SQLResponse struct {
	Columns []feature.Field     `json:"columns"`
	Rows    [][]json.RawMessage `json:"rows"`
}

// Health is the body of the health and readiness checks.
type Health struct {
	Status   string   `json:"status" doc:"ok, or degraded: reads are answered, and something does not work as it should"`
	Degraded []string `json:"degraded,omitempty" doc:"what does not work as it should, in words"`
}
