package agg

import "github.com/lockstepfs/lockstep/feature"

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
