package api

import "time"

// DeadLetter is one refused row.
type DeadLetter struct {
	Seq    uint64    `json:"seq" doc:"its place in the dead-letter stream"`
	Time   time.Time `json:"time" doc:"when it was first refused"`
	Source string    `json:"source"`
	Reason string    `json:"reason"`
	Field  string    `json:"field,omitempty"`
	Raw    string    `json:"raw" doc:"the row as it came"`
}

// DeadLetterQuery selects dead letters. What is zero does not narrow.
type DeadLetterQuery struct {
	Source string
	Reason string    // a part of the reason, as written
	Since  time.Time // refused then or later
	Until  time.Time // refused before
	After  uint64    // those with a greater Seq
	Limit  int       // at most so many; the server's default when 0
}

// DeadLetters lists refused rows in order of their sequence.
type DeadLetters struct {
	Letters []DeadLetter `json:"letters"`
	Next    uint64       `json:"next,omitempty" doc:"the after of the next page; left out on the last"`
}

// ReplayRequest asks to let refused rows come to the gate again.
type ReplayRequest struct {
	Letters []uint64 `json:"letters,omitempty" doc:"these; those that the other fields select when left out"`
	Source  string   `json:"source,omitempty"`
	Reason  string   `json:"reason,omitempty" doc:"a part of the reason, as written"`
	Since   string   `json:"since,omitempty" doc:"refused then or later, RFC 3339"`
	Until   string   `json:"until,omitempty" doc:"refused before, RFC 3339"`
	DryRun  bool     `json:"dry_run,omitempty" doc:"only say what would become of them"`
}

// ReplayResult says what became of refused rows that came to the gate again, or would.
type ReplayResult struct {
	Taken   int          `json:"taken" doc:"they are in the log now, and no dead letters any more"`
	Known   int          `json:"known" doc:"the log had them already: an earlier replay was cut off behind them"`
	Refused int          `json:"refused" doc:"they stay, with the reason of today"`
	Letters []DeadLetter `json:"letters" doc:"the first hundred of those that are refused"`
	Seq     uint64       `json:"seq" doc:"the log sequence up to which the rows taken are in the log; 0 when none was"`
}
