package agg

import "github.com/lockstepfs/lockstep/feature"

// ranged is a State that takes a range of a column faster than value by value.
type ranged interface {
	addRange(c *feature.Column, from, to int)
}

// AddRange adds the values of c from place from up to, and without, place to: as Add of each of them, in their order.
func AddRange(s State, c *feature.Column, from, to int) {
	if r, ok := s.(ranged); ok {
		r.addRange(c, from, to)
		return
	}
	for i := from; i < to; i++ {
		s.Add(c.Value(i))
	}
}

// AddEvents adds n events to a State of count "*".
func AddEvents(s State, n int) { s.(*count).n += uint64(n) }

// present returns how many places of a range are not NULL.
func present(c *feature.Column, from, to int) uint64 {
	if c.Nulls == nil {
		return uint64(to - from)
	}
	n := uint64(0)
	for _, null := range c.Nulls[from:to] {
		if !null {
			n++
		}
	}
	return n
}
