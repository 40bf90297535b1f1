package agg

import (
	"encoding/binary"

	"github.com/lockstepfs/lockstep/feature"
)

// count is the number of values, or of events.
type count struct {
	star bool
	n    uint64
}

func (s *count) Add(v feature.Value) {
	if s.star || !v.IsNull() {
		s.n++
	}
}

func (s *count) Merge(o State) { s.n += o.(*count).n }

func (s *count) addRange(c *feature.Column, from, to int) {
	if s.star {
		s.n += uint64(to - from)
	} else {
		s.n += present(c, from, to)
	}
}

func (s *count) Value() feature.Value { return feature.Int64Value(int64(s.n)) }

func (s *count) Reset() { s.n = 0 }

func (s *count) Append(dst []byte) []byte { return binary.AppendUvarint(dst, s.n) }

func (s *count) Decode(src []byte) ([]byte, error) {
	n, rest, ok := uvarint(src)
	if !ok {
		return nil, errShort("count")
	}
	s.n = n
	return rest, nil
}
