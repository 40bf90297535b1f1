package agg

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// bins count values by the leading bits of their float64: the sign, the exponent and so many bits of the mantissa (rule
// W5). Bins are in the order of the values in them; there are at most 2^(12+bits).
type bins struct {
	q      float64
	bits   int
	n      uint64
	counts map[uint32]uint64
}

// Bin returns the bin of a value: the float64's bits, turned so that their order is that of the numbers, without the low
// 52 − precision.
func Bin(x float64, precision int) uint32 {
	b := math.Float64bits(x + 0)
	if b>>63 != 0 {
		b = ^b
	} else {
		b |= 1 << 63
	}
	return uint32(b >> (52 - precision))
}

// BinValue returns the value that stands for a bin: the one in it that is nearest to 0.
func BinValue(bin uint32, precision int) float64 {
	b := uint64(bin) << (52 - precision)
	if b>>63 != 0 {
		return math.Float64frombits(b &^ (1 << 63))
	}
	return math.Float64frombits(^(b | (1<<(52-precision) - 1))) + 0
}

func (s *bins) Add(v feature.Value) {
	if v.IsNull() {
		return
	}
	x := v.Float64()
	if v.Type().Kind == feature.KindInt64 {
		x = float64(v.Int64())
	}
	s.take(Bin(x, s.bits), 1)
}

func (s *bins) take(bin uint32, n uint64) {
	if s.counts == nil {
		s.counts = map[uint32]uint64{}
	}
	s.counts[bin] += n
	s.n += n
}

func (s *bins) Merge(o State) {
	for bin, n := range o.(*bins).counts {
		s.take(bin, n)
	}
}

// Value returns the value of the first bin up to which there are ceil(q · n) values, one at least.
func (s *bins) Value() feature.Value {
	rank := max(1, uint64(math.Ceil(s.q*float64(s.n))))
	seen := uint64(0)
	for _, bin := range slices.Sorted(maps.Keys(s.counts)) {
		if seen += s.counts[bin]; seen >= rank {
			return feature.Float64Value(BinValue(bin, s.bits))
		}
	}
	return feature.Value{}
}

func (s *bins) Reset() {
	clear(s.counts)
	s.n = 0
}

func (s *bins) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.counts)))
	for _, bin := range slices.Sorted(maps.Keys(s.counts)) {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(bin)), s.counts[bin])
	}
	return dst
}

func (s *bins) Decode(src []byte) ([]byte, error) {
	count, src, ok := uvarint(src)
	if !ok || count > uint64(len(src))/2 {
		return nil, errShort("approx_quantile")
	}
	s.Reset()
	for range count {
		var bin, n uint64
		if bin, src, ok = uvarint(src); ok {
			n, src, ok = uvarint(src)
		}
		if !ok || n == 0 || bin>>(12+s.bits) != 0 {
			return nil, errShort("approx_quantile")
		}
		s.take(uint32(bin), n)
	}
	return src, nil
}
