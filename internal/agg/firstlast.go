package agg

import "github.com/lockstepfs/lockstep/feature"

// end is the first or the last value that is not NULL, by the order of events (rule O1).
type end struct {
	typ   feature.Type
	last  bool
	value feature.Value // NULL while there is none
}

func (s *end) Add(v feature.Value) {
	if !v.IsNull() && (s.last || s.value.IsNull()) {
		s.value = v
	}
}

func (s *end) Merge(o State) { s.Add(o.(*end).value) }

func (s *end) Value() feature.Value { return s.value }

func (s *end) Reset() { s.value = feature.Value{} }

func (s *end) Append(dst []byte) []byte { return appendOptional(dst, s.value, s.typ) }

func (s *end) Decode(src []byte) ([]byte, error) {
	v, rest, ok := optional(src, s.typ)
	if !ok {
		return nil, errShort("first or last")
	}
	s.value = v
	return rest, nil
}

// run is the first n or the last n values, oldest first.
type run struct {
	kind   feature.Kind
	n      int
	last   bool
	values []feature.Value // at most n
}

func (s *run) Add(v feature.Value) {
	switch {
	case v.IsNull():
	case len(s.values) < s.n:
		s.values = append(s.values, v)
	case s.last:
		copy(s.values, s.values[1:])
		s.values[s.n-1] = v
	}
}

func (s *run) Merge(o State) {
	later := o.(*run).values
	if !s.last {
		s.values = append(s.values, later[:min(len(later), s.n-len(s.values))]...)
		return
	}
	if over := len(s.values) + len(later) - s.n; over > 0 {
		s.values = s.values[:copy(s.values, s.values[over:])]
	}
	s.values = append(s.values, later...)
}

func (s *run) Value() feature.Value {
	return feature.ListValue(s.kind, append([]feature.Value{}, s.values...))
}

func (s *run) Reset() { s.values = s.values[:0] }

func (s *run) Append(dst []byte) []byte { return appendValues(dst, s.values) }

func (s *run) Decode(src []byte) ([]byte, error) {
	list, rest, ok := values(src, s.kind, s.values[:0])
	if !ok || len(list) > s.n {
		return nil, errShort("first_n or last_n")
	}
	s.values = list
	return rest, nil
}
