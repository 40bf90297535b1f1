package online

import (
	"slices"
	"sort"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// shape is what the states of a windowed view have in common.
type shape struct {
	inputOf   []int          // for each feature of the view its input, an index into asof.Event.Values
	stored    []int          // the inputs whose values are stored, as indexes into asof.Event.Values; "*" without a condition is not
	types     []feature.Type // of these
	columns   []int          // for each input its index in stored, or everyEvent
	measures  []measure      // what is summed up
	measureOf []int          // for each feature of the view the measure that it reads, or latestFeature
	latest    bool           // the view has latest features too
}

// measure is an operator over an input: windows of several widths share it.
type measure struct {
	spec    agg.Spec
	input   int // index into asof.Event.Values
	column  int // index into shape.stored; everyEvent for "*" without a condition
	ordered bool
}

const (
	everyEvent    = -1
	latestFeature = -1
)

// newShape returns the shape of v, or nil if v has no window.
func newShape(v *feature.View, src *feature.Source) *shape {
	if !v.Windowed() {
		return nil
	}
	s := &shape{}
	inputs := v.Inputs()
	types, columns := make([]feature.Type, len(inputs)), make([]int, len(inputs))
	for i, in := range inputs {
		if types[i] = inputType(in, src); in.Column == feature.AnyEvent && in.Where == "" {
			columns[i] = everyEvent
			continue
		}
		columns[i] = len(s.stored)
		s.stored, s.types = append(s.stored, i), append(s.types, types[i])
	}
	s.columns = columns
	for i := range v.Features {
		in, m := v.InputOf(i, inputs), latestFeature
		if w := v.Features[i].Window; w == nil {
			s.latest = true
		} else {
			spec := agg.SpecOf(w, types[in])
			m = s.measure(measure{spec, in, columns[in], spec.Op.Ordered()})
		}
		s.inputOf, s.measureOf = append(s.inputOf, in), append(s.measureOf, m)
	}
	return s
}

// old returns how many of events, which are ordered, a view does not need that keeps those after from.
func (s *shape) old(events []asof.Event, from feature.Time) int {
	n := sort.Search(len(events), func(i int) bool { return events[i].EventTime > from })
	if s.latest && n > 0 {
		n--
	}
	return n
}

func inputType(in feature.Input, src *feature.Source) feature.Type {
	if at := feature.FieldIndex(src.Columns, in.Column); at >= 0 {
		return src.Columns[at].Type
	}
	return feature.Bool
}

// measure returns the index of m, which is added if it is new.
func (s *shape) measure(m measure) int {
	if at := slices.Index(s.measures, m); at >= 0 {
		return at
	}
	s.measures = append(s.measures, m)
	return len(s.measures) - 1
}

// addRange adds events i up to, and without, j of l.
func (m *measure) addRange(s agg.State, l *leaf, i, j int) {
	if m.column != everyEvent {
		agg.AddRange(s, &l.columns[m.column], i, j)
		return
	}
	n := j - i
	if l.deleted != nil {
		for _, deleted := range l.deleted[i:j] {
			if deleted { // R3
				n--
			}
		}
	}
	agg.AddEvents(s, n)
}

// add adds one event.
func (m *measure) add(s agg.State, e *asof.Event) {
	switch {
	case e.Deleted: // R3
	case m.column == everyEvent:
		agg.AddEvents(s, 1)
	default:
		s.Add(owned(e.Values[m.input]))
	}
}
