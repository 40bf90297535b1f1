package feature

import (
	"cmp"
	"fmt"
)

// Place is where an event arrived (rule E1): the sequence of its message in the log and its place in it, or the
// sequence of its import's record and its place in the import; places count from 0.
type Place struct {
	Seq uint64 `json:"seq"`
	Row uint64 `json:"row"`
}

// Compare returns -1, 0 or 1 as p is before, at or after q.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Seq, q.Seq), cmp.Compare(p.Row, q.Row))
}

// String returns the place for people.
func (p Place) String() string { return fmt.Sprintf("sequence %d, row %d", p.Seq, p.Row) }

// Copy is a row that is no event because another one is (rule E1).
type Copy struct {
	Row      int   // its place among the rows that it came with
	Of       Place // of the event; the zero Place as long as that is not known
	Conflict bool  // it differs from the event
}

// Reason says for people why a copy that differs from its event was left out.
func (c Copy) Reason() string {
	if c.Of == (Place{}) {
		return "conflict: a row before it has this id and differs"
	}
	return "conflict: the event of this id, at " + c.Of.String() + ", differs"
}

// Arrivals are events of one source as rule E1 sees them, in columns of equal length.
type Arrivals struct {
	IDs    []Column // the columns of the source's id
	Times  []Time
	Sums   []uint64 // equal for equal rows: docs/format/identity.md
	Places []Place
}
