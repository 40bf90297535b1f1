package agg

import (
	"encoding/binary"
	"math"

	"github.com/lockstepfs/lockstep/feature"
)

// moments are n, the mean and M2, the sum of squared distances from the mean, for the variances and standard deviations.
// They are updated by B. P. Welford's and merged by T. F. Chan, G. H. Golub and R. J. LeVeque's formulas (1962; 1979): no
// powers are summed, so that nothing cancels (rule V3). The mean of int64 comes from the exact sum.
type moments struct {
	op       Operator
	whole    bool // the input is int64
	n        uint64
	exact    wide
	mean, m2 float64
}

func (s *moments) Add(v feature.Value) {
	if v.IsNull() {
		return
	}
	s.n++
	x, before := v.Float64(), s.mean
	if s.whole {
		x = float64(v.Int64())
		s.exact.add(v.Int64())
		s.mean = s.exact.float() / float64(s.n)
	} else {
		s.mean += (x - before) / float64(s.n)
	}
	s.m2 += (x - before) * (x - s.mean)
}

func (s *moments) Merge(o State) {
	x := o.(*moments)
	if x.n == 0 {
		return
	}
	if s.n == 0 {
		op := s.op
		*s = *x
		s.op = op
		return
	}
	a, b := float64(s.n), float64(x.n)
	d := x.mean - s.mean
	s.n += x.n
	s.exact.merge(x.exact)
	s.m2 += x.m2 + d*d*(a/(a+b))*b
	if s.whole {
		s.mean = s.exact.float() / float64(s.n)
	} else {
		s.mean += d * (b / (a + b))
	}
}

func (s *moments) Value() feature.Value {
	n := s.n
	if s.op == VarSamp || s.op == StddevSamp {
		if n < 2 {
			return feature.Value{}
		}
		n--
	}
	if n == 0 {
		return feature.Value{}
	}
	if math.IsInf(s.m2, -1) { // squares left the range of float64, as +Inf and NaN also say
		return feature.Value{}
	}
	variance := max(s.m2, 0) / float64(n)
	if s.op == StddevPop || s.op == StddevSamp {
		return feature.Float64Value(math.Sqrt(variance))
	}
	return feature.Float64Value(variance)
}

func (s *moments) Reset() { *s = moments{op: s.op, whole: s.whole} }

func (s *moments) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, s.n)
	if s.whole {
		dst = s.exact.append(dst)
	} else {
		dst = appendFloat(dst, s.mean)
	}
	return appendFloat(dst, s.m2)
}

func (s *moments) Decode(src []byte) ([]byte, error) {
	n, src, ok := uvarint(src)
	s.n = n
	if ok && s.whole {
		if src, ok = s.exact.decode(src); ok && n > 0 {
			s.mean = s.exact.float() / float64(n)
		}
	} else if ok {
		s.mean, src, ok = float(src)
	}
	if ok {
		s.m2, src, ok = float(src)
	}
	if !ok {
		return nil, errShort("variance")
	}
	return src, nil
}
