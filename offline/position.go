package offline

import (
	"context"
	"fmt"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// Bits of a position packed into one unsigned integer, from the low end: the index in its message, the sequence, then,
// where the source declares one, the tiebreak and whether it is there, and the event time since just before the first valid
// instant, so that no position is 0: a spine row to which no event goes has that. 54 bits hold every valid instant.
const (
	indexBits    = 32
	sequenceBits = 64
	tieBits      = 64
	timeBits     = 54
	// narrowBits are left for the sequence when all fits into the 127 bits of a decimal: enough for 2 trillion entries of
	// the log.
	narrowBits = 127 - timeBits - indexBits
)

// packed is a position (rule O1) as SQL compares it fastest. It leaves out the columns of rule O2.
type packed struct {
	Position  string // the expression
	Word      string // its type
	Decimal   string // a signed type of the same bits, for ASOF JOIN
	TimeShift int    // how many bits stand below the event time
	TimeBase  int64  // what the event time is counted from, with its sign turned
}

func newPacked(src *feature.Source, e *events) packed {
	p := packed{TimeBase: 1 - int64(feature.MinTime), Word: "UInt128", Decimal: "Decimal128(0)"}
	low := fmt.Sprintf("bitShiftLeft(toUInt128(_seq), %d) + _idx", indexBits)
	p.TimeShift = indexBits + narrowBits
	switch tie := tieOrder(src); {
	case tie != "":
		p.Word, p.Decimal, p.TimeShift = "UInt256", "Decimal256(0)", indexBits+sequenceBits+tieBits+1
		low = fmt.Sprintf("bitShiftLeft(toUInt256(%s), %d) + bitShiftLeft(toUInt256(_seq), %d) + _idx", tie, indexBits+sequenceBits, indexBits)
	case e.Sequence >= 1<<narrowBits:
		p.Word, p.Decimal, p.TimeShift = "UInt256", "Decimal256(0)", indexBits+sequenceBits
		low = fmt.Sprintf("bitShiftLeft(toUInt256(_seq), %d) + _idx", indexBits)
	}
	p.Position = fmt.Sprintf("bitShiftLeft(to%s(%s + %d), %d) + %s", p.Word, e.EventMicros, p.TimeBase, p.TimeShift, low)
	return p
}

// tieOrder is the tiebreak as an unsigned number, NULL lowest, or "" when there is none but the event time.
func tieOrder(src *feature.Source) string {
	if src.Tiebreak == "" || src.Tiebreak == src.EventTime {
		return ""
	}
	c := newValueColumn(feature.Field{Name: src.Tiebreak, Type: tiebreakType(src)}, false)
	return fmt.Sprintf("if(%s, toUInt128(0), bitShiftLeft(toUInt128(1), %d) + bitXor(reinterpretAsUInt64(%s), bitShiftLeft(toUInt64(1), 63)))",
		c.Null, tieBits, c.Expr)
}

// tied reports whether imported events of one key that are visible may have equal positions before their columns are
// compared (rule O2). Generations never change, so that the answer is kept.
func (s *Store) tied(ctx context.Context, src *feature.Source, e *events) (bool, error) {
	if !slices.ContainsFunc(e.Generations, func(g uint64) bool { return g != 0 }) {
		return false, nil
	}
	known := fmt.Sprint(src.Name, e.KeyNames, src.Tiebreak, e.Generations)
	s.mu.Lock()
	tied, ok := s.ties[known]
	s.mu.Unlock()
	if ok {
		return tied, nil
	}
	data := struct {
		*events
		TieOrder string
	}{e, tieOrder(src)}
	if data.TieOrder == "" {
		data.TieOrder = "toUInt8(0)"
	}
	// Neighbours in time come from the table's order; only if some are equal do keys have to be looked at.
	for _, name := range []string{"ties_in_time.sql", "ties_of_keys.sql"} {
		sql, err := text(name, data)
		if err != nil {
			return false, err
		}
		var found uint64
		if err := s.conn.QueryRow(ctx, sql, e.params()...).Scan(&found); err != nil {
			return false, failure("look for events of equal position in "+src.Name, err)
		}
		if tied = found > 0; !tied {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ties[known] = tied
	return tied, nil
}
