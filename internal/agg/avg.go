package agg

import (
	"encoding/binary"
	"math/bits"

	"github.com/lockstepfs/lockstep/feature"
)

// average is the sum, exact for int64 (rule V3), and how many values it is of.
type average struct {
	whole bool // the input is int64
	n     uint64
	exact wide
	acc   compensated
}

func (s *average) Add(v feature.Value) {
	if v.IsNull() {
		return
	}
	s.n++
	if s.whole {
		s.exact.add(v.Int64())
	} else {
		s.acc.add(v.Float64())
	}
}

func (s *average) Merge(o State) {
	x := o.(*average)
	s.n += x.n
	if s.whole {
		s.exact.merge(x.exact)
	} else {
		s.acc.merge(x.acc)
	}
}

func (s *average) addRange(c *feature.Column, from, to int) {
	s.n += present(c, from, to)
	if !s.whole {
		s.acc.addAll(c.Floats[from:to])
		return
	}
	for _, x := range c.Ints[from:to] { // a NULL place holds 0
		s.exact.add(x)
	}
}

func (s *average) Value() feature.Value {
	switch {
	case s.n == 0:
		return feature.Value{}
	case s.whole:
		return feature.Float64Value(s.exact.float() / float64(s.n))
	default:
		return feature.Float64Value(s.acc.over(float64(s.n)))
	}
}

func (s *average) Reset() { *s = average{whole: s.whole} }

func (s *average) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, s.n)
	if s.whole {
		return s.exact.append(dst)
	}
	return s.acc.append(dst)
}

func (s *average) Decode(src []byte) ([]byte, error) {
	n, src, ok := uvarint(src)
	if ok && s.whole {
		src, ok = s.exact.decode(src)
	} else if ok {
		src, ok = s.acc.decode(src)
	}
	if !ok {
		return nil, errShort("avg")
	}
	s.n = n
	return src, nil
}

// wide is a sum of int64 in 128 bits, two's complement: exact for up to 2^64 values.
type wide struct{ high, low uint64 }

func (w *wide) add(x int64) { w.merge(wide{uint64(x >> 63), uint64(x)}) }

func (w *wide) merge(o wide) {
	var carry uint64
	w.low, carry = bits.Add64(w.low, o.low, 0)
	w.high, _ = bits.Add64(w.high, o.high, carry)
}

// float is the nearest float64, but for a second rounding in the last place.
func (w wide) float() float64 {
	negative := int64(w.high) < 0
	if negative {
		var borrow uint64
		w.low, borrow = bits.Sub64(0, w.low, 0)
		w.high, _ = bits.Sub64(0, w.high, borrow)
	}
	f := float64(w.high)*(1<<64) + float64(w.low)
	if negative {
		return -f
	}
	return f
}

func (w wide) append(dst []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dst, w.low), w.high)
}

func (w *wide) decode(src []byte) ([]byte, bool) {
	if len(src) < 16 {
		return nil, false
	}
	w.low, w.high = binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
	return src[16:], true
}
