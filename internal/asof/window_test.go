package asof_test

import (
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

func TestLo(t *testing.T) {
	for _, tc := range []struct {
		width, hop feature.Span
		hi, want   feature.Time
	}{
		{10, 0, 25, 15},
		{10, 0, -25, -35},
		{10, 5, 25, 15},
		{10, 5, 26, 15},
		{10, 5, 29, 15},
		{10, 5, 30, 20},
		{10, 5, 3, -10}, // division floors before 1970 too
		{10, 5, -1, -15},
		{10, 5, -5, -15},
		{10, 10, 0, -10},
		{10, 10, 9, -10},
		{0, 0, 25, asof.Ever},
	} {
		w := &feature.Window{Width: tc.width, Hop: tc.hop}
		if got := asof.Lo(w, tc.hi); got != tc.want {
			t.Errorf("Lo of width %d, hop %d at %d = %d, want %d", tc.width, tc.hop, tc.hi, got, tc.want)
		}
		for at := tc.hi - 40; at <= tc.hi+40; at++ {
			if got, want := asof.In(w, at, tc.hi), at > tc.want && at <= tc.hi; got != want {
				t.Errorf("In of width %d, hop %d: %d at %d is %v", tc.width, tc.hop, at, tc.hi, got)
			}
		}
	}
}

func TestKeepFrom(t *testing.T) {
	view := func(windows ...*feature.Window) *feature.View {
		v := &feature.View{Features: []feature.Feature{{Latest: "x"}}}
		for _, w := range windows {
			v.Features = append(v.Features, feature.Feature{Window: w})
		}
		return v
	}
	short, hop, ever := &feature.Window{Width: 10}, &feature.Window{Width: 20, Hop: 10}, &feature.Window{}
	for _, tc := range []struct {
		view       *feature.View
		keep, want feature.Time
	}{
		{view(), 105, 105},
		{view(short), 105, 95},
		{view(short, hop), 105, 80},
		{view(ever, short), 105, asof.Ever},
		{view(short, hop, ever), asof.NoClock, asof.NoClock},
	} {
		if got := asof.KeepFrom(tc.view, tc.keep); got != tc.want {
			t.Errorf("KeepFrom(%d) = %d, want %d", tc.keep, got, tc.want)
		}
	}
}

// TestTile checks that tile k holds (k·hop, (k+1)·hop], before 1970 too.
func TestTile(t *testing.T) {
	for at, want := range map[feature.Time]int64{-10: -3, -9: -2, -5: -2, -4: -1, 0: -1, 1: 0, 5: 0, 6: 1, 10: 1} {
		if got := asof.Tile(at, 5); got != want {
			t.Errorf("Tile(%d, 5) = %d, want %d", at, got, want)
		}
	}
}
