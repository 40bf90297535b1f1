package online_test

import (
	"errors"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/online"
)

// TestErase: a key is forgotten in whatever layer its state is, and begins anew.
func TestErase(t *testing.T) {
	x := []feature.Key{{feature.StringValue("x")}}
	flush := func(t *testing.T, s *online.Store) {
		t.Helper()
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for name, prepare := range map[string]func(t *testing.T, s *online.Store){
		"dirty": func(*testing.T, *online.Store) {},
		"flushed": func(t *testing.T, s *online.Store) {
			flush(t, s)
		},
		"on disk, in the cache and dirty": func(t *testing.T, s *online.Store) {
			flush(t, s)
			value(t, s, 105)
			apply(t, s, 2, 1000, number(101, 2))
		},
		"two flushes ago, and a part of it dirty": func(t *testing.T, s *online.Store) {
			flush(t, s)
			apply(t, s, 2, 1000, row{u: ptr("y"), ts: 100, a: ptr(int64(5))})
			flush(t, s)
			apply(t, s, 3, 1000, number(101, 2))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, online.Config{Dir: dir})
			follow(t, s, byUser())
			apply(t, s, 1, 1000, number(100, 1), row{u: ptr("z"), ts: 100, a: ptr(int64(9))})
			prepare(t, s)
			if err := s.Erase(byUser().Ref(), x); err != nil {
				t.Fatal(err)
			}
			for range 2 { // from the layers above, then from the cache or the disk
				if got := value(t, s, 105); got != "NULL missing" {
					t.Errorf("erased: %s, want NULL missing", got)
				}
				flush(t, s)
			}
			if err := s.Advance(10); err != nil {
				t.Fatal(err)
			}
			apply(t, s, 11, 1000, number(99, 7))
			if got := value(t, s, 105); got != "7 present" {
				t.Errorf("after a later event: %s, want 7 present", got)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, online.Config{Dir: dir})
			if joining, err := s.Follow(catalogOf(byUser())); err != nil || len(joining) > 0 {
				t.Fatalf("Follow after a restart: %d views join, %v", len(joining), err)
			}
			if got := value(t, s, 105); got != "7 present" {
				t.Errorf("after a restart: %s, want 7 present", got)
			}
			if got := brief(lookup(t, s, one(t, byUser(), 105, feature.StringValue("z"))).Cells[2:3]); got != "9 present" {
				t.Errorf("another key: %s, want 9 present", got)
			}
		})
	}
	s := open(t, online.Config{})
	if err := s.Erase(byUser().Ref(), x); !errors.Is(err, feature.ErrNotFound) {
		t.Errorf("Erase from a view that is not followed = %v", err)
	}
}
