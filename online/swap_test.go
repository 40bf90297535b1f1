package online_test

import (
	"errors"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/online"
)

// TestChangedViewIsFilledBesideTheOldOne follows a view through a change that nothing pins the old version of: the old one
// is answered, and takes what comes, until the new one is ready, also over a restart; then it is gone.
func TestChangedViewIsFilledBesideTheOldOne(t *testing.T) {
	dir := t.TempDir()
	s := open(t, online.Config{Dir: dir})
	v1, v2, v3 := byUser(), byUser(), byUser()
	v2.Version, v2.History = 2, 50
	v3.Version, v3.History = 3, 60
	follow(t, s, v1)
	apply(t, s, 1, 1000, number(100, 1))
	changed := func(newest *feature.View, former ...*feature.View) {
		t.Helper()
		c := catalogOf(newest)
		c.Former = former
		if joining, err := s.Follow(c); err != nil || len(joining) != 1 || joining[0].Version != newest.Version {
			t.Fatalf("Follow: %v join, %v", joining, err)
		}
	}
	world := s.World()
	changed(v2, v1)
	if s.World() == world {
		t.Error("a view joins and the number of the world is the same")
	}
	apply(t, s, 2, 1000, number(101, 2))
	changed(v3, v1, v2) // before v2 was ready
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, online.Config{Dir: dir})
	if !s.Ready(v1.Ref()) || s.Ready(v2.Ref()) || s.Ready(v3.Ref()) {
		t.Error("after a restart it is not the old version, and only it, that is ready")
	}
	changed(v3, v1, v2)
	apply(t, s, 3, 1000, number(102, 3))
	if got := value(t, s, 103); got != "3 present" {
		t.Errorf("the old version while the new one joins: %s, want 3 present", got)
	}
	if !s.Follows(v1.Ref()) || s.Follows(v2.Ref()) {
		t.Error("not the version that was served is kept")
	}
	clock, rows := kept(v3, batchOf(number(100, 1), number(101, 2)), 0, 1, 0)
	if err := s.Merge(v3.Ref(), clock, each(rows)); err != nil {
		t.Fatal(err)
	}
	world = s.World()
	if err := s.SetReady(v3.Ref()); err != nil {
		t.Fatal(err)
	}
	if s.World() == world {
		t.Error("a view is ready and the number of the world is the same")
	}
	if s.Follows(v1.Ref()) || s.Ready(v1.Ref()) || !s.Ready(v3.Ref()) {
		t.Error("the old version is not gone with the new one")
	}
	plan := planOf(t, v1)
	if _, err := s.Lookup(&feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.StringValue("u")}}, At: 103}); !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("a read of the old version: %v, want unavailable", err)
	}
}
