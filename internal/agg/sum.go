package agg

import (
	"encoding/binary"

	"github.com/lockstepfs/lockstep/feature"
)

// sumInt is a sum modulo 2^64 (rule V3).
type sumInt struct{ sum int64 }

func (s *sumInt) Add(v feature.Value) {
	if !v.IsNull() {
		s.sum += v.Int64()
	}
}

func (s *sumInt) Merge(o State) { s.sum += o.(*sumInt).sum }

func (s *sumInt) addRange(c *feature.Column, from, to int) {
	for _, x := range c.Ints[from:to] { // a NULL place holds 0
		s.sum += x
	}
}

func (s *sumInt) Value() feature.Value { return feature.Int64Value(s.sum) }

func (s *sumInt) Reset() { s.sum = 0 }

func (s *sumInt) Append(dst []byte) []byte { return binary.AppendVarint(dst, s.sum) }

func (s *sumInt) Decode(src []byte) ([]byte, error) {
	sum, n := binary.Varint(src)
	if n <= 0 {
		return nil, errShort("sum")
	}
	s.sum = sum
	return src[n:], nil
}

// sumFloat is a sum of float64; what rounding loses is carried along, so that long sums stay within rule V3.
type sumFloat struct{ acc compensated }

func (s *sumFloat) Add(v feature.Value) {
	if !v.IsNull() {
		s.acc.add(v.Float64())
	}
}

func (s *sumFloat) Merge(o State) { s.acc.merge(o.(*sumFloat).acc) }

func (s *sumFloat) addRange(c *feature.Column, from, to int) { s.acc.addAll(c.Floats[from:to]) }

func (s *sumFloat) Value() feature.Value { return feature.Float64Value(s.acc.value()) }

func (s *sumFloat) Reset() { s.acc = compensated{} }

func (s *sumFloat) Append(dst []byte) []byte { return s.acc.append(dst) }

func (s *sumFloat) Decode(src []byte) ([]byte, error) {
	var ok bool
	if src, ok = s.acc.decode(src); !ok {
		return nil, errShort("sum")
	}
	return src, nil
}

// compensated is a sum of float64 by Neumaier's variant of Kahan summation (A. Neumaier, ZAMM 54, 1974): lost holds the low
// parts that sum could not.
type compensated struct{ sum, lost float64 }

func (c *compensated) add(x float64) {
	t := c.sum + x
	if abs(c.sum) >= abs(x) {
		c.lost += (c.sum - t) + x
	} else {
		c.lost += (x - t) + c.sum
	}
	c.sum = t
}

func (c *compensated) merge(o compensated) {
	c.add(o.sum)
	c.lost += o.lost
}

// addAll adds the floats of a column, in which a NULL place holds 0. Two sums side by side take half the time: each addition
// waits for the one before.
func (c *compensated) addAll(xs []float64) {
	a, b := *c, compensated{}
	for ; len(xs) >= 2; xs = xs[2:] {
		a.add(xs[0])
		b.add(xs[1])
	}
	for _, x := range xs {
		a.add(x)
	}
	a.merge(b)
	*c = a
}

// value is the sum alone where it has overflowed: then lost is not a number.
func (c *compensated) value() float64 {
	if t := c.sum + c.lost; t == t {
		return t
	}
	return c.sum
}

func (c *compensated) append(dst []byte) []byte { return appendFloat(appendFloat(dst, c.sum), c.lost) }

func (c *compensated) decode(src []byte) ([]byte, bool) {
	var ok, also bool
	if c.sum, src, ok = float(src); !ok {
		return nil, false
	}
	c.lost, src, also = float(src)
	return src, also
}

func abs(x float64) float64 {
	if x < 0 {
		return -x
	}
	return x
}
