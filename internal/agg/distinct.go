package agg

import (
	"encoding/binary"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// histogram is how often each value occurs: for top_k, and for count_distinct, which counts the values. It grows with the
// number of distinct values.
type histogram struct {
	kind   feature.Kind
	k      int // of top_k; 0 for count_distinct
	counts map[feature.Value]uint64
}

func (s *histogram) Add(v feature.Value) {
	if !v.IsNull() {
		s.take(v, 1)
	}
}

func (s *histogram) take(v feature.Value, n uint64) {
	if s.counts == nil {
		s.counts = map[feature.Value]uint64{}
	}
	s.counts[v] += n
}

func (s *histogram) Merge(o State) {
	for v, n := range o.(*histogram).counts {
		s.take(v, n)
	}
}

// Value returns how many values there are, or the k most frequent, ties to the smaller value (rule W4).
func (s *histogram) Value() feature.Value {
	if s.k == 0 {
		return feature.Int64Value(int64(len(s.counts)))
	}
	top := s.sorted()
	slices.SortStableFunc(top, func(a, b feature.Value) int { // frequent first; equal ones stay in order of value
		switch x, y := s.counts[a], s.counts[b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		default:
			return 0
		}
	})
	return feature.ListValue(s.kind, slices.Clone(top[:min(s.k, len(top))]))
}

func (s *histogram) sorted() []feature.Value {
	values := make([]feature.Value, 0, len(s.counts))
	for v := range s.counts {
		values = append(values, v)
	}
	slices.SortFunc(values, feature.Compare)
	return values
}

func (s *histogram) Reset() { clear(s.counts) }

func (s *histogram) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.counts)))
	for _, v := range s.sorted() {
		dst = binary.AppendUvarint(appendScalar(dst, v), s.counts[v])
	}
	return dst
}

func (s *histogram) Decode(src []byte) ([]byte, error) {
	n, src, ok := uvarint(src)
	if !ok || n > uint64(len(src)) {
		return nil, errShort("count_distinct or top_k")
	}
	clear(s.counts)
	for range n {
		var v feature.Value
		var times uint64
		if v, src, ok = scalar(src, s.kind); ok {
			times, src, ok = uvarint(src)
		}
		if !ok || times == 0 {
			return nil, errShort("count_distinct or top_k")
		}
		s.take(v, times)
	}
	return src, nil
}
