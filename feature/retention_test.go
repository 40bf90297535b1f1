package feature_test

import (
	"testing"

	"github.com/lockstepfs/lockstep/feature"
)

func TestReach(t *testing.T) {
	latest := func(ttl feature.Span) feature.Feature { return feature.Feature{Latest: "x", TTL: ttl} }
	window := func(width, hop feature.Span) feature.Feature {
		return feature.Feature{Window: &feature.Window{Width: width, Hop: hop}}
	}
	for _, tc := range []struct {
		delay    feature.Span
		features []feature.Feature
		want     feature.Span
		bounded  bool
	}{
		{0, []feature.Feature{latest(7)}, 7, true},
		{3, []feature.Feature{latest(7), window(5, 0)}, 10, true},
		{3, []feature.Feature{latest(7), window(8, 4)}, 15, true},
		{0, []feature.Feature{latest(7), latest(0)}, 0, false},
		{0, []feature.Feature{latest(7), window(0, 0)}, 0, false},
	} {
		v := &feature.View{Delay: tc.delay, Features: tc.features}
		if got, bounded := v.Reach(); got != tc.want || bounded != tc.bounded {
			t.Errorf("Reach of %+v = %d, %v, want %d, %v", v, got, bounded, tc.want, tc.bounded)
		}
	}
}

func TestCheckKept(t *testing.T) {
	v := &feature.View{Features: []feature.Feature{{Latest: "x", TTL: feature.Day}}}
	ever := &feature.View{Features: []feature.Feature{{Latest: "x"}}}
	now := feature.Time(1_000_000_000_000_000)
	all, month := &feature.Source{}, &feature.Source{Retention: 30 * feature.Day}
	edge := now.Add(-29*feature.Day - feature.RetentionSlack)
	for _, tc := range []struct {
		view   *feature.View
		source *feature.Source
		at     feature.Time
		ok     bool
	}{
		{v, month, now, true},
		{v, month, edge, true},
		{v, month, edge - 1, false},
		{v, all, feature.MinTime, true},
		{ever, all, feature.MinTime, true},
		{ever, month, now, false},
	} {
		if err := tc.view.CheckKept(tc.at, tc.source.Kept(now)); (err == nil) != tc.ok {
			t.Errorf("CheckKept at %s of a source that keeps %s: %v, want ok %v", tc.at, tc.source.Retention, err, tc.ok)
		}
	}
}
