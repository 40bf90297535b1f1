package feature_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
)

// TestServing follows the names of a view and of a service on it while versions come, are loaded and go.
func TestServing(t *testing.T) {
	all := map[int]*feature.View{}
	for n := 1; n <= 4; n++ {
		all[n] = &feature.View{Name: "v", Version: n, Features: []feature.Feature{{Name: "f", Type: feature.Int64}}}
	}
	catalog := func(live, former []int, pins ...int) *feature.Catalog {
		c := &feature.Catalog{}
		for _, n := range live {
			c.Views = append(c.Views, all[n])
		}
		for _, n := range former {
			c.Former = append(c.Former, all[n])
		}
		for i, n := range pins {
			c.Services = append(c.Services, &feature.Service{Name: "s", Version: i + 1, Items: []feature.Item{{View: all[n], Role: "v", Features: []int{0}}}})
		}
		return c
	}
	steps := []struct {
		what    string
		catalog *feature.Catalog
		ready   []int
		view    int
		service int
		behind  string
	}{
		{"nothing is ready", catalog([]int{1}, nil, 1), nil, 1, 1, ""},
		{"ready", catalog([]int{1}, nil, 1), []int{1}, 1, 1, ""},
		{"a new view version moves no service", catalog([]int{1, 2}, nil, 1), []int{1}, 1, 1, "view v"},
		{"and takes over when it is ready", catalog([]int{1, 2}, nil, 1), []int{1, 2}, 2, 1, ""},
		{"the service moves at once: its views are ready", catalog([]int{1, 2}, nil, 1, 2), []int{1, 2}, 2, 2, ""},
		{"the service waits", catalog([]int{1, 2, 3}, nil, 1, 2, 3), []int{1, 2}, 2, 2, "service s, view v"},
		{"loaded again: nothing goes back", catalog([]int{1, 2, 3}, nil, 1, 2, 3), []int{1}, 2, 2, "service s, view v"},
		{"swapped", catalog([]int{1, 2, 3}, nil, 1, 2, 3), []int{1, 2, 3}, 3, 3, ""},
		{"a former version answers for the view", catalog([]int{1, 2, 4}, []int{3}, 1, 2), []int{1, 2, 3}, 3, 2, "view v"},
		{"what was meant is gone", catalog([]int{4}, nil, 4), nil, 4, 1, ""},
	}
	var before *feature.Catalog
	for _, s := range steps {
		c := s.catalog.Serving(func(r feature.Ref) bool { return slices.Contains(s.ready, r.Version) }, before)
		before = c
		byName, err := c.PlanFeatures([]string{"v.f"})
		if err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		service, err := c.PlanService("s")
		if err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		if got := byName.Items[0].View.Version; got != s.view {
			t.Errorf("%s: v is version %d, want %d", s.what, got, s.view)
		}
		if service.Service.Version != s.service {
			t.Errorf("%s: s is version %d, want %d", s.what, service.Service.Version, s.service)
		}
		for _, kind := range []string{"service s", "view v"} {
			said := strings.Contains(strings.Join(c.Behind(), "\n"), kind)
			if want := strings.Contains(s.behind, kind); said != want {
				t.Errorf("%s: %q speaks of %s: %t, want %t", s.what, c.Behind(), kind, said, want)
			}
		}
		if said := len(service.Behind) > 0; said != strings.Contains(s.behind, "service s") {
			t.Errorf("%s: the plan of s says %q", s.what, service.Behind)
		}
		if len(service.Items) > 0 && s.service == 1 {
			if p, err := c.PlanService("s@1"); err != nil || len(p.Behind) > 0 {
				t.Errorf("%s: s@1 by name says %v, %v", s.what, p, err)
			}
		}
	}
	if _, err := before.PlanFeatures([]string{"v.f", "v@4.f"}); err != nil {
		t.Errorf("one version by two names: %v", err)
	}
	mixed := catalog([]int{1, 2}, nil)
	if _, err := mixed.PlanFeatures([]string{"v@1.f", "v.f"}); feature.CodeOf(err) != feature.CodeInvalid {
		t.Errorf("two versions of a view in one read: %v, want invalid", err)
	}
}
