package offline

import (
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// fold computes what windows are worth (rules W1 to W5) from events that come one by one, key by key in their order. It holds a
// state for each feature, not the events.
type fold struct {
	view    *feature.View
	inputs  []feature.Input // that the windows read; events have their values in this order
	windows []folded
	hi      feature.Time
}

// folded is a window of the key whose events come.
type folded struct {
	feature int
	input   int // place among the inputs
	state   agg.State
}

// newFold folds the view's window features given by index.
func newFold(l lookupOf, features []int) (*fold, error) {
	v := l.item.View
	f := &fold{view: v, hi: l.hi}
	all := v.Inputs()
	place := map[int]int{}
	for _, i := range features {
		in := v.InputOf(i, all)
		if _, ok := place[in]; !ok {
			place[in] = len(f.inputs)
			f.inputs = append(f.inputs, all[in])
		}
		typ, err := inputType(l.src, all[in])
		if err != nil {
			return nil, err
		}
		w := v.Features[i].Window
		f.windows = append(f.windows, folded{i, place[in], agg.New(agg.SpecOf(w, typ))})
	}
	return f, nil
}

// after is the instant after which the windows begin.
func (f *fold) after() feature.Time {
	after := f.hi
	for i := range f.windows {
		after = min(after, asof.Lo(f.view.Features[f.windows[i].feature].Window, f.hi))
	}
	return after
}

// add takes the next event of the key.
func (f *fold) add(e *asof.Event) {
	for i := range f.windows {
		if w := &f.windows[i]; asof.In(f.view.Features[w.feature].Window, e.EventTime, f.hi) {
			w.state.Add(e.Values[w.input])
		}
	}
}

// values returns what the windows are worth, by the places of their features in the view, and begins another key.
func (f *fold) values() []feature.Value {
	values := make([]feature.Value, len(f.view.Features))
	for i := range f.windows {
		w := &f.windows[i]
		values[w.feature] = w.state.Value()
		w.state.Reset()
	}
	return values
}
