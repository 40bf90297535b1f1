package api

import "time"

// AuditPhase says what an entry of the audit trail tells of an action.
type AuditPhase string

// The phases. Whoever has a begin without an end knows that the process ended in between.
const (
	AuditBegin   AuditPhase = "begin"   // written, and on disk, before anything is done
	AuditEnd     AuditPhase = "end"     // what came of it
	AuditRefused AuditPhase = "refused" // nothing was done: the caller may not
)

// AuditEntry is one line of the audit trail.
type AuditEntry struct {
	ID      string            `json:"id" doc:"of the action; its begin and its end have the same"`
	Time    time.Time         `json:"time"`
	Phase   AuditPhase        `json:"phase" doc:"begin, end or refused"`
	Action  string            `json:"action" doc:"the operation id of the route"`
	Target  string            `json:"target,omitempty" doc:"what it is done to: a source, a service, a view"`
	Who     string            `json:"who,omitempty" doc:"the name of the token; loopback where none is needed; left out when it is not known"`
	Remote  string            `json:"remote" doc:"the address that the request came from"`
	Details map[string]string `json:"details,omitempty" doc:"of a begin: what was asked for"`
	Status  int               `json:"status,omitempty" doc:"of an end or a refusal: the HTTP status; 499 when the client did not wait"`
	Code    string            `json:"code,omitempty" doc:"of a failure: the code of the error"`
	Skipped int               `json:"skipped,omitempty" doc:"refusals before this one that were too many to write"`
}

// AuditQuery selects entries of the audit trail.
type AuditQuery struct {
	Action string    // "" for all
	Who    string    // "" for all
	Since  time.Time // zero for all
	Limit  int       // the newest so many
}

// Audit lists entries of the audit trail of one process, oldest first.
type Audit struct {
	Entries []AuditEntry `json:"entries"`
}
