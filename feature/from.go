package feature

// From says where in ClickHouse the events of a source come from, if others keep them there: a table or a query, whose
// columns are called as those of the source.
type From struct {
	Table    string `json:"table,omitempty"`    // DATABASE.TABLE; either this or SQL
	SQL      string `json:"sql,omitempty"`      // a SELECT
	Cursor   string `json:"cursor,omitempty"`   // the column, a time or an integer, that grows from row to row; "" looks at every row each time
	Overlap  Span   `json:"overlap,omitempty"`  // how far behind the greatest cursor seen a row may still turn up; of a time only
	Schedule string `json:"schedule,omitempty"` // when to copy: a cron line, in UTC; "" only when asked
}

// Name says in words what is copied.
func (f *From) Name() string {
	if f.Table != "" {
		return "table " + f.Table
	}
	return "its query"
}

// CopyRequest asks for a copy of the table or query that a source comes from.
type CopyRequest struct {
	Source  *Source
	Arrival Time // when the copy begins: event times may lie max_future past it (rule T1)
	Full    bool // look at every row, wherever the cursor is
	DryRun  bool // only count
}

// Copied says what one copy of a table did, or would do. Read is the sum of Rows, Duplicates and Refused.
type Copied struct {
	Generation uint64 `json:"generation,omitempty"`
	Previous   uint64 `json:"previous,omitempty"` // the generation whose cursor it went on from
	Read       int64  `json:"read"`               // rows looked at: those past the cursor, less the overlap
	Rows       int64  `json:"rows"`               // events that it adds
	Duplicates int64  `json:"duplicates"`         // rows whose id is known (rule E1)
	Conflicts  int64  `json:"conflicts"`          // those of the duplicates that differ from what is known
	Refused    int64  `json:"refused"`            // rows that the gate would not take
	First      Time   `json:"first"`              // least event time of Rows, where there are any
	Last       Time   `json:"last"`               // greatest
	// Examples are some of the refused rows, as JSON, with what is wrong with them.
	Examples []RefusedRow `json:"examples,omitempty"`
}

// RefusedRow is a row that cannot be an event.
type RefusedRow struct {
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
	Raw    string `json:"raw"` // the row as a JSON object of the source's columns
	New    bool   `json:"-"`   // it is past the cursor, so that no earlier copy has met it
}
