package verify

import (
	"testing"

	"github.com/lockstepfs/lockstep/feature"
)

// TestRounding: float64 results of windows may differ in their last digits (V3), nothing else may.
func TestRounding(t *testing.T) {
	cell := func(x float64) feature.Cell {
		return feature.Cell{Status: feature.Present, Value: feature.Float64Value(x)}
	}
	window, row := &feature.Feature{Window: &feature.Window{Operator: "sum"}}, &feature.Feature{Latest: "x"}
	for _, tc := range []struct {
		f    *feature.Feature
		a, b feature.Cell
		want bool
	}{
		{window, cell(1e6), cell(1e6 + 1e-4), true},
		{window, cell(1e6), cell(1e6 + 1e-2), false},
		{window, cell(0), cell(1e-12), false},
		{window, cell(-1), cell(1), false},
		{window, cell(1), feature.Cell{Status: feature.Null}, false},
		{row, cell(1e6), cell(1e6 + 1e-4), false},
	} {
		if got := same(tc.f, tc.a, tc.b); got != tc.want {
			t.Errorf("%v: %v and %v are the same: %v", tc.f.Window != nil, tc.a.Value, tc.b.Value, got)
		}
	}
}
