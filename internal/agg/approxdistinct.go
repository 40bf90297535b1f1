package agg

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// MaxRank is the greatest rank of a register of approx_count_distinct: with it the sum over all registers is a whole number
// of 2^-50, so that every execution adds up the same number.
const MaxRank = 50

// registers are a HyperLogLog sketch (P. Flajolet et al., 2007) over xxHash64 with seed 0 (rule W5). A value's hash is of its
// bytes: strings as they are, bools as one byte, all else as 8 bytes, least significant first. The low bits of the hash
// choose the register; the rest's trailing zeros, plus one, are the rank; a register holds the greatest, at most MaxRank.
type registers struct {
	bits  int
	ranks []byte // nil while there is none
}

func (s *registers) Add(v feature.Value) {
	if v.IsNull() {
		return
	}
	if s.ranks == nil {
		s.ranks = make([]byte, 1<<s.bits)
	}
	h := Hash(v)
	rank := byte(min(bits.TrailingZeros64(h>>s.bits)+1, MaxRank))
	at := h & (1<<s.bits - 1)
	s.ranks[at] = max(s.ranks[at], rank)
}

// Hash is the hash of a scalar that is not NULL, as approx_count_distinct takes it.
func Hash(v feature.Value) uint64 {
	var b [8]byte
	switch v.Type().Kind {
	case feature.KindString:
		return xxhash.Sum64String(v.Str())
	case feature.KindBool:
		if v.Bool() {
			b[0] = 1
		}
		return xxhash.Sum64(b[:1])
	case feature.KindFloat64:
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(v.Float64()))
	case feature.KindTimestamp:
		binary.LittleEndian.PutUint64(b[:], uint64(v.Time()))
	default:
		binary.LittleEndian.PutUint64(b[:], uint64(v.Int64()))
	}
	return xxhash.Sum64(b[:])
}

func (s *registers) Merge(o State) {
	later := o.(*registers).ranks
	if later == nil {
		return
	}
	if s.ranks == nil {
		s.ranks = make([]byte, 1<<s.bits)
	}
	for i, rank := range later {
		s.ranks[i] = max(s.ranks[i], rank)
	}
}

func (s *registers) Value() feature.Value {
	var sum uint64
	empty := uint64(0)
	for _, rank := range s.ranks {
		if rank == 0 {
			empty++
		}
		sum += 1 << (MaxRank - rank)
	}
	if s.ranks == nil {
		return feature.Int64Value(0)
	}
	return feature.Int64Value(EstimateDistinct(s.bits, sum, empty))
}

// EstimateDistinct returns the estimate from 2^bits registers: sum is Σ 2^(MaxRank − rank) over all of them, empty how many
// have rank 0. It is linear counting up to 2.5 values a register while one is empty, else the harmonic mean.
func EstimateDistinct(precision int, sum, empty uint64) int64 {
	m := float64(uint64(1) << precision)
	if empty == uint64(m) {
		return 0
	}
	alpha := 0.7213 / (1 + 1.079/m)
	switch precision {
	case 4:
		alpha = 0.673
	case 5:
		alpha = 0.697
	case 6:
		alpha = 0.709
	}
	estimate := alpha * m * m / (float64(sum) / (1 << MaxRank))
	if estimate <= 2.5*m && empty > 0 {
		estimate = m * math.Log(m/float64(empty))
	}
	return int64(math.Round(estimate))
}

func (s *registers) Reset() { clear(s.ranks) }

// Append writes 0 and the pairs of register and rank that are not 0, or 1 and all ranks, whichever is shorter.
func (s *registers) Append(dst []byte) []byte {
	set := 0
	for _, rank := range s.ranks {
		if rank > 0 {
			set++
		}
	}
	if 3*set >= 1<<s.bits {
		return append(append(dst, 1), s.ranks...)
	}
	dst = binary.AppendUvarint(append(dst, 0), uint64(set))
	for i, rank := range s.ranks {
		if rank > 0 {
			dst = append(binary.LittleEndian.AppendUint16(dst, uint16(i)), rank)
		}
	}
	return dst
}

func (s *registers) Decode(src []byte) ([]byte, error) {
	if len(src) == 0 || src[0] > 1 {
		return nil, errShort("approx_count_distinct")
	}
	if s.ranks == nil {
		s.ranks = make([]byte, 1<<s.bits)
	}
	clear(s.ranks)
	dense, src := src[0] == 1, src[1:]
	if dense {
		if len(src) < len(s.ranks) {
			return nil, errShort("approx_count_distinct")
		}
		copy(s.ranks, src)
		src = src[len(s.ranks):]
	} else {
		n, rest, ok := uvarint(src)
		if !ok || n > uint64(len(rest))/3 {
			return nil, errShort("approx_count_distinct")
		}
		for src = rest; n > 0; n-- {
			at := int(binary.LittleEndian.Uint16(src))
			if at >= len(s.ranks) {
				return nil, errShort("approx_count_distinct")
			}
			s.ranks[at], src = src[2], src[3:]
		}
	}
	for _, rank := range s.ranks {
		if rank > MaxRank {
			return nil, errShort("approx_count_distinct")
		}
	}
	return src, nil
}
