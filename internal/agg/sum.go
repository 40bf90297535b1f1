package agg

import (
	"encoding/binary"
	"math"

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
// parts that sum could not. A sum that leaves the range of float64 on its way may come back: it is far from then on, lost is
// NaN and sum counts in units of 2^32, of which no number of values makes too many.
type compensated struct{ sum, lost float64 }

const unit = 1 << 32

func (c *compensated) far() bool { return c.lost != c.lost }

func (c *compensated) add(x float64) { c.merge(compensated{sum: x}) }

// step is add within the range of float64.
func (c *compensated) step(x float64) {
	t := c.sum + x
	if abs(c.sum) >= abs(x) {
		c.lost += (c.sum - t) + x
	} else {
		c.lost += (x - t) + c.sum
	}
	c.sum = t
}

// finite reports whether all steps up to here, and the sum with what it lost, stayed within the range.
func (c *compensated) finite() bool {
	whole := c.sum + c.lost
	return whole-whole == 0
}

// addFar adds a sum in units.
func (c *compensated) addFar(o compensated) {
	*c = compensated{c.units() + o.units(), math.NaN()}
}

func (c *compensated) units() float64 {
	if c.far() {
		return c.sum
	}
	return c.sum/unit + c.lost/unit
}

func (c *compensated) merge(o compensated) {
	next := *c
	next.step(o.sum)
	next.lost += o.lost
	if !next.finite() {
		c.addFar(o)
		return
	}
	*c = next
}

// addAll adds the floats of a column, in which a NULL place holds 0. Two sums side by side take half the time: each addition
// waits for the one before.
func (c *compensated) addAll(xs []float64) {
	a, b, rest := *c, compensated{}, xs
	for ; len(rest) >= 2; rest = rest[2:] {
		a.step(rest[0])
		b.step(rest[1])
	}
	for _, x := range rest {
		a.step(x)
	}
	if a.finite() && b.finite() {
		a.merge(b)
		*c = a
		return
	}
	for _, x := range xs {
		c.add(x)
	}
}

// value is the sum, which is infinite beyond the range of float64.
func (c *compensated) value() float64 { return c.over(1) }

// over is the sum divided by n, which is within the range where the values are.
func (c *compensated) over(n float64) float64 {
	if c.far() {
		return c.sum / n * unit
	}
	return (c.sum + c.lost) / n
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
