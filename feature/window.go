package feature

import "slices"

// Window is what a window feature computes (rules W1, W2, W4).
type Window struct {
	Operator  string   `json:"operator"`            // of rule W4, such as "count"
	Input     string   `json:"input"`               // the source column whose values it takes; AnyEvent: it counts events
	Where     string   `json:"where,omitempty"`     // expression over the source's columns that is true for the events taken; "": all
	Reads     []string `json:"reads,omitempty"`     // the columns that Where reads, in order of first use
	Width     Span     `json:"width,omitempty"`     // 0: lifetime
	Hop       Span     `json:"hop,omitempty"`       // what the old edge is rounded down to, a divisor of Width; 0: exact edges
	N         int      `json:"n,omitempty"`         // first_n and last_n: how many; top_k: k
	Quantile  float64  `json:"q,omitempty"`         // approx_quantile: from 0 to 1
	Precision int      `json:"precision,omitempty"` // approx_count_distinct and approx_quantile, in bits; 0: the default
}

// AnyEvent is the Input of a window that counts events.
const AnyEvent = "*"

// Input is what features of a view read of an event: the value of Column where Where is true, else NULL. The value
// of AnyEvent is the bool true.
type Input struct {
	Column   string
	Computed *Computed // what Column is computed from; nil of one that is stored
	Where    string    // "": always true
	Reads    []string  // the columns that Where reads
}

// input returns what the feature reads of an event.
func (v *View) input(f *Feature) Input {
	in := Input{Column: f.Latest}
	if f.Window != nil {
		in = Input{Column: f.Window.Input, Where: f.Window.Where, Reads: f.Window.Reads}
	}
	for i := range v.Computed {
		if v.Computed[i].Name == in.Column {
			in.Computed = &v.Computed[i]
		}
	}
	return in
}

func (in Input) same(other Input) bool { return in.Column == other.Column && in.Where == other.Where }

// Inputs returns the distinct inputs of the view's features, in order of first use. Stored events of the view hold
// their values in this order.
func (v *View) Inputs() []Input {
	var inputs []Input
	for i := range v.Features {
		if in := v.input(&v.Features[i]); !slices.ContainsFunc(inputs, in.same) {
			inputs = append(inputs, in)
		}
	}
	return inputs
}

// InputOf returns the index in inputs, which Inputs returned, of what the feature at an index reads.
func (v *View) InputOf(feature int, inputs []Input) int {
	return slices.IndexFunc(inputs, v.input(&v.Features[feature]).same)
}

// Columns returns the distinct stored columns of the source that the view's inputs and their conditions read, in order of first use.
func (v *View) Columns() []string {
	var columns []string
	add := func(name string) {
		if name != AnyEvent && !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
	}
	for _, in := range v.Inputs() {
		if in.Computed == nil {
			add(in.Column)
		} else {
			for _, name := range in.Computed.Reads {
				add(name)
			}
		}
		for _, name := range in.Reads {
			add(name)
		}
	}
	return columns
}

// Windowed reports whether the view has a window feature.
func (v *View) Windowed() bool {
	return slices.ContainsFunc(v.Features, func(f Feature) bool { return f.Window != nil })
}
