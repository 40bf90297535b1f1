package feature

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// serving is what names without a version mean on one replica. The nil *serving has the newest versions.
type serving struct{ views, services map[string]choice }

// choice is the version that a name means.
type choice struct {
	version int
	behind  string // in words, that a newer version is not ready; "" when it is the newest
}

// Serving returns the catalog as a replica serves it: a view or service named without a version is its newest
// version that is ready there (a service version is ready when all its views are), so that a changed view is
// filled beside the old one, which answers until then. Where none is ready it is the newest.
//
// What a name once meant in before, an earlier result or nil, is never followed by an older version, also when
// the newer one has to be loaded again.
func (c *Catalog) Serving(ready func(Ref) bool, before *Catalog) *Catalog {
	out, was := *c, (*serving)(nil)
	if before != nil {
		was = before.serving
	}
	views, services := map[string][]int{}, map[string][]int{}
	for _, v := range slices.Concat(c.Views, c.Former) {
		views[v.Name] = append(views[v.Name], v.Version)
	}
	for _, s := range c.Services {
		services[s.Name] = append(services[s.Name], s.Version)
	}
	out.serving = &serving{map[string]choice{}, map[string]choice{}}
	for name, versions := range views {
		out.serving.views[name] = choose("view "+name, was.view(name), versions, func(n int) bool { return ready(Ref{name, n}) })
	}
	for name, versions := range services {
		out.serving.services[name] = choose("service "+name, was.service(name), versions, func(n int) bool {
			return !slices.ContainsFunc(c.Service(name, n).Items, func(it Item) bool { return it.View != nil && !ready(it.View.Ref()) })
		})
	}
	return &out
}

// choose decides which of some versions, at least one, a name means that meant was so far.
func choose(name string, was choice, versions []int, ready func(int) bool) choice {
	slices.SortFunc(versions, func(a, b int) int { return cmp.Compare(b, a) })
	newest := versions[0]
	c := choice{version: newest}
	if slices.Contains(versions, was.version) {
		c.version = was.version
	}
	for _, n := range versions {
		if n >= was.version && ready(n) {
			c.version = n
			break
		}
	}
	if c.version != newest {
		c.behind = fmt.Sprintf("bootstrapping: version %d of %s is being loaded, version %d answers", newest, name, c.version)
	}
	return c
}

// Behind says in words which names mean an older version than the newest, because that is not ready yet.
func (c *Catalog) Behind() []string {
	if c.serving == nil {
		return nil
	}
	var out []string
	for _, names := range []map[string]choice{c.serving.services, c.serving.views} {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if b := names[name].behind; b != "" {
				out = append(out, b)
			}
		}
	}
	return out
}

func (s *serving) view(name string) choice {
	if s == nil {
		return choice{}
	}
	return s.views[name]
}

func (s *serving) service(name string) choice {
	if s == nil {
		return choice{}
	}
	return s.services[name]
}
