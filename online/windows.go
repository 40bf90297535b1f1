package online

import (
	"slices"
	"sort"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// windows is what a windowed view keeps of each key, and what its features read of it.
type windows struct {
	stored  []int          // the inputs whose values are stored, as indexes into asof.Event.Values; "*" without a condition is not
	types   []feature.Type // of these
	columns []int          // for each input its index in stored, or everyEvent
	leaf    int            // how many events a leaf takes

	exact     *shape // of the events for windows with exact edges and for latest features; nil without these
	exactView *feature.View
	loose     *shape // of the events for tilings that are in no tile yet; nil without tilings
	looseView *feature.View
	tilings   []tiling

	reads []readOf // of each feature of the view
}

// readOf is where a feature finds its value.
type readOf struct {
	input   int // index into asof.Event.Values
	measure int // index into the measures of its tiling, or of exact; latestFeature
	tiling  int // index into tilings; noTiling for exact edges
}

const (
	everyEvent    = -1
	latestFeature = -1
	noTiling      = -1
)

// newWindows returns the windows of v, or nil if it has none.
func newWindows(v *feature.View, src *feature.Source, leaf int) *windows {
	if !v.Windowed() {
		return nil
	}
	w := &windows{leaf: leaf, exactView: &feature.View{}, looseView: &feature.View{}}
	inputs := v.Inputs()
	types := make([]feature.Type, len(inputs))
	for i, in := range inputs {
		if types[i] = inputType(in, src); in.Column == feature.AnyEvent && in.Where == "" {
			w.columns = append(w.columns, everyEvent)
			continue
		}
		w.columns = append(w.columns, len(w.stored))
		w.stored, w.types = append(w.stored, i), append(w.types, types[i])
	}
	exact, loose := &shape{windows: w}, &shape{windows: w}
	for i := range v.Features {
		f := &v.Features[i]
		r := readOf{v.InputOf(i, inputs), latestFeature, noTiling}
		switch {
		case f.Window == nil:
			w.exact, exact.latest = exact, true
		case f.Window.Width > 0 && f.Window.Hop == 0:
			w.exact = exact
			r.measure = measureIn(&exact.measures, f.Window, types[r.input], r.input, w)
			w.exactView.Features = append(w.exactView.Features, *f)
		default:
			w.loose = loose
			r.tiling = w.tiling(f.Window)
			g := &w.tilings[r.tiling]
			r.measure = measureIn(&g.measures, f.Window, types[r.input], r.input, w)
			g.grow(f.Window.Width)
			g.view.Features = append(g.view.Features, *f)
			w.looseView.Features = append(w.looseView.Features, *f)
		}
		w.reads = append(w.reads, r)
	}
	for i := range w.tilings {
		w.tilings[i].first = len(loose.measures)
		loose.measures = append(loose.measures, w.tilings[i].measures...)
	}
	return w
}

// tiling returns the index of the tiling that the window reads, which is added if it is new.
func (w *windows) tiling(of *feature.Window) int {
	if at := slices.IndexFunc(w.tilings, func(g tiling) bool { return g.hop == of.Hop }); at >= 0 {
		return at
	}
	w.tilings = append(w.tilings, tiling{hop: of.Hop, view: &feature.View{}})
	return len(w.tilings) - 1
}

func inputType(in feature.Input, src *feature.Source) feature.Type {
	if in.Computed != nil {
		return in.Computed.Type
	}
	if at := feature.FieldIndex(src.Columns, in.Column); at >= 0 {
		return src.Columns[at].Type
	}
	return feature.Bool
}

// old returns how many of events, which are ordered, no read with hi ≥ keep can see.
func (w *windows) old(events []asof.Event, keep feature.Time) int {
	n := len(events)
	before := func(t feature.Time) int {
		return sort.Search(len(events), func(i int) bool { return events[i].EventTime > t })
	}
	if w.exact != nil {
		n = before(w.exactFrom(keep))
		if w.exact.latest {
			n = max(n-1, 0)
		}
	}
	if w.loose != nil {
		n = min(n, before(w.looseFrom(keep)))
	}
	return n
}

// exactFrom returns the instant after which the view keeps events for windows with exact edges.
func (w *windows) exactFrom(keep feature.Time) feature.Time { return asof.KeepFrom(w.exactView, keep) }

// looseFrom returns the instant after which an event is in some tile that is read.
func (w *windows) looseFrom(keep feature.Time) feature.Time { return asof.KeepFrom(w.looseView, keep) }

// shape is what the trees of a view's keys have in common.
type shape struct {
	*windows
	measures []measure // what is summed up
	latest   bool      // latest features read it
}

// measure is an operator over an input: windows of several widths share it. Its states are functions of the set of events.
type measure struct {
	spec   agg.Spec
	input  int // index into asof.Event.Values
	column int // index into windows.stored, or everyEvent
}

// measureIn returns the index in measures of what a window computes, which is added if it is new.
func measureIn(measures *[]measure, of *feature.Window, typ feature.Type, input int, w *windows) int {
	m := measure{agg.SpecOf(of, typ), input, w.columns[input]}
	if at := slices.Index(*measures, m); at >= 0 {
		return at
	}
	*measures = append(*measures, m)
	return len(*measures) - 1
}

// state returns a state without events.
func (m *measure) state() agg.State {
	if m.spec.Op.Ordered() {
		return newEnds(m.spec)
	}
	return agg.New(m.spec)
}

// addRange adds events i up to, and without, j of l.
func (m *measure) addRange(s agg.State, l *leaf, i, j int) {
	if m.column != everyEvent {
		if s, ok := s.(*ends); ok {
			s.addRange(l, m.column, i, j)
			return
		}
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
	if e.Deleted { // R3
		return
	}
	switch s := s.(type) {
	case *ends:
		s.take(e.Position, owned(e.Values[m.input]))
	default:
		if m.column == everyEvent {
			agg.AddEvents(s, 1)
			return
		}
		s.Add(owned(e.Values[m.input]))
	}
}
