package agg

import (
	"cmp"

	"github.com/lockstepfs/lockstep/feature"
)

// extreme is the least or the greatest value: numbers and instants by size, false before true, strings by bytes.
type extreme struct {
	kind feature.Kind
	sign int           // -1 for min, 1 for max
	best feature.Value // NULL while there is none
}

func (s *extreme) Add(v feature.Value) {
	if !v.IsNull() && (s.best.IsNull() || s.sign*feature.Compare(v, s.best) > 0) {
		s.best = v
	}
}

func (s *extreme) Merge(o State) { s.Add(o.(*extreme).best) }

// addRange adds the best of the range alone. The numbers are compared as they are; the first of equal ones is as good as another.
func (s *extreme) addRange(c *feature.Column, from, to int) {
	best := -1
	for i := from; i < to; i++ {
		if !c.IsNull(i) && (best < 0 || s.better(c, i, best)) {
			best = i
		}
	}
	if best >= 0 {
		s.Add(c.Value(best))
	}
}

// better reports whether place i of c is better than place j.
func (s *extreme) better(c *feature.Column, i, j int) bool {
	switch s.kind {
	case feature.KindFloat64:
		return s.sign*cmp.Compare(c.Floats[i], c.Floats[j]) > 0
	case feature.KindString:
		return s.sign*cmp.Compare(c.Strs[i], c.Strs[j]) > 0
	default:
		return s.sign*cmp.Compare(c.Ints[i], c.Ints[j]) > 0
	}
}

func (s *extreme) Value() feature.Value { return s.best }

func (s *extreme) Reset() { s.best = feature.Value{} }

func (s *extreme) Append(dst []byte) []byte {
	return appendOptional(dst, s.best, feature.Type{Kind: s.kind})
}

func (s *extreme) Decode(src []byte) ([]byte, error) {
	v, rest, ok := optional(src, feature.Type{Kind: s.kind})
	if !ok {
		return nil, errShort("min or max")
	}
	s.best = v
	return rest, nil
}

// appendOptional appends 0 for NULL, else 1 and the value.
func appendOptional(dst []byte, v feature.Value, t feature.Type) []byte {
	switch {
	case v.IsNull():
		return append(dst, 0)
	case t.List:
		return appendValues(append(dst, 1), v.List())
	default:
		return appendScalar(append(dst, 1), v)
	}
}

func optional(src []byte, t feature.Type) (feature.Value, []byte, bool) {
	if len(src) == 0 || src[0] > 1 {
		return feature.Value{}, nil, false
	}
	present, src := src[0] == 1, src[1:]
	switch {
	case !present:
		return feature.Value{}, src, true
	case t.List:
		list, rest, ok := values(src, t.Kind, nil)
		return feature.ListValue(t.Kind, list), rest, ok
	default:
		return scalar(src, t.Kind)
	}
}
