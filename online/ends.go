package online

import (
	"encoding/binary"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// ends is first, last, first_n and last_n over events that come in any order: it keeps the positions of the few values that
// count. Where package agg's states must be merged in the order of events, this one is a function of the set of them.
type ends struct {
	spec  agg.Spec
	n     int
	last  bool
	items []end // in the order of events, at most n
	spare []end // memory for the next items
}

// end is a value that is not NULL and the position of its event.
type end struct {
	at    asof.Position
	value feature.Value
}

func newEnds(s agg.Spec) *ends {
	e := &ends{spec: s, n: 1, last: s.Op == agg.Last || s.Op == agg.LastN}
	if s.Op == agg.FirstN || s.Op == agg.LastN {
		e.n = s.N
	}
	return e
}

// Add is not to be called: a value alone has no place among the others.
func (s *ends) Add(feature.Value) { panic("online: an end without a position") }

// take adds the value of an event.
func (s *ends) take(at asof.Position, v feature.Value) {
	if !v.IsNull() {
		s.merge([]end{{at, v}})
	}
}

// addRange adds a column's values of events i up to, and without, j of l.
func (s *ends) addRange(l *leaf, column, i, j int) {
	var some []end
	c := &l.columns[column]
	for k := i; k < j && len(some) < s.n; k++ {
		at := k
		if s.last {
			at = i + j - 1 - k
		}
		if !c.IsNull(at) {
			some = append(some, end{l.position(at), c.Value(at)})
		}
	}
	if s.last {
		slices.Reverse(some)
	}
	s.merge(some)
}

// Merge adds the values of o.
func (s *ends) Merge(o agg.State) { s.merge(o.(*ends).items) }

// merge adds values, which are in the order of events.
func (s *ends) merge(some []end) {
	if len(some) == 0 {
		return
	}
	out, mine := s.spare[:0], s.items
	for len(mine) > 0 || len(some) > 0 {
		if len(some) == 0 || len(mine) > 0 && asof.Compare(mine[0].at, some[0].at) < 0 {
			out, mine = append(out, mine[0]), mine[1:]
		} else {
			out, some = append(out, some[0]), some[1:]
		}
		if !s.last && len(out) == s.n {
			break
		}
	}
	if over := len(out) - s.n; over > 0 {
		out = slices.Delete(out, 0, over)
	}
	s.items, s.spare = out, s.items
}

// Value returns the value, or the list of them.
func (s *ends) Value() feature.Value {
	if s.spec.Op == agg.FirstN || s.spec.Op == agg.LastN {
		list := make([]feature.Value, len(s.items))
		for i := range s.items {
			list[i] = s.items[i].value
		}
		return feature.ListValue(s.spec.Input.Kind, list)
	}
	if len(s.items) == 0 {
		return feature.Value{}
	}
	return s.items[0].value
}

// Reset forgets all values.
func (s *ends) Reset() { s.items = s.items[:0] }

// Append appends the values with their positions.
func (s *ends) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.items)))
	var b []byte
	for i := range s.items {
		b = wire.AppendPosition(b[:0], &s.items[i].at)
		dst = append(binary.AppendUvarint(dst, uint64(len(b))), b...)
		b = wire.AppendRow(b[:0], false, []feature.Value{s.items[i].value})
		dst = append(binary.AppendUvarint(dst, uint64(len(b))), b...)
	}
	return dst
}

// Decode reads what Append wrote.
func (s *ends) Decode(src []byte) (rest []byte, err error) {
	n, used := binary.Uvarint(src)
	if used <= 0 || n > uint64(s.n) {
		return nil, agg.ErrDamaged
	}
	src, s.items = src[used:], s.items[:0]
	value := make([]feature.Value, 1)
	for range n {
		var at, row []byte
		if at, src, err = piece(src); err != nil {
			return nil, err
		}
		if row, src, err = piece(src); err != nil {
			return nil, err
		}
		p, err := wire.ParsePosition(at)
		if err != nil {
			return nil, err
		}
		if _, err := wire.ParseRow(row, value); err != nil {
			return nil, err
		}
		s.items = append(s.items, end{p, value[0]})
	}
	return src, nil
}

// piece reads bytes with their length before them.
func piece(src []byte) (piece, rest []byte, err error) {
	n, used := binary.Uvarint(src)
	if used <= 0 || n > uint64(len(src)-used) {
		return nil, nil, agg.ErrDamaged
	}
	return src[used : used+int(n)], src[used+int(n):], nil
}
