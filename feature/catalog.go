package feature

import (
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Catalog is one revision of all definitions, resolved and immutable. The registry makes catalogs; everybody
// else reads them.
type Catalog struct {
	Revision uint64 // of the registry's record; 0 when nothing was ever applied
	Entities []*Entity
	Sources  []*Source
	Views    []*View     // every live version: the newest of each name and all that a live service version pins
	Former   []*View     // earlier versions that nothing pins: the history answers for them, replicas do not keep them
	OnDemand []*OnDemand // every version that was not deleted
	Services []*Service  // every live version

	serving *serving // nil: a name without a version is the newest
}

// Source returns the source called name, or nil.
func (c *Catalog) Source(name string) *Source {
	for _, s := range c.Sources {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Entity returns the entity called name, or nil.
func (c *Catalog) Entity(name string) *Entity {
	for _, e := range c.Entities {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// View returns the version of the view called name, or nil. Version 0 is what the name means by itself: the newest
// version, or in a catalog of Serving the one that is served. Other versions may be Former.
func (c *Catalog) View(name string, version int) *View {
	if version == 0 {
		version = c.serving.view(name).version
	}
	var found *View
	for _, v := range c.Views {
		if v.Name == name && (v.Version == version || version == 0 && (found == nil || v.Version > found.Version)) {
			found = v
		}
	}
	for _, v := range c.Former {
		if v.Name == name && v.Version == version {
			found = v
		}
	}
	return found
}

// Service returns the version of the service called name, or nil; version 0 is as with View.
func (c *Catalog) Service(name string, version int) *Service {
	if version == 0 {
		version = c.serving.service(name).version
	}
	var found *Service
	for _, s := range c.Services {
		if s.Name == name && (s.Version == version || version == 0 && (found == nil || s.Version > found.Version)) {
			found = s
		}
	}
	return found
}

// OnDemandFeatures returns the version of the on-demand definition called name, or nil; version 0 is the newest.
func (c *Catalog) OnDemandFeatures(name string, version int) *OnDemand {
	var found *OnDemand
	for _, d := range c.OnDemand {
		if d.Name == name && (d.Version == version || version == 0 && (found == nil || d.Version > found.Version)) {
			found = d
		}
	}
	return found
}

// ParseRef reads "name" (version 0) or "name@3".
func ParseRef(s string) (Ref, error) {
	name, version, found := strings.Cut(s, "@")
	if name == "" {
		return Ref{}, Errorf(CodeInvalid, "%q names nothing: expected NAME or NAME@VERSION", s)
	}
	if !found {
		return Ref{Name: name}, nil
	}
	n, err := strconv.Atoi(version)
	if err != nil || n < 1 {
		return Ref{}, Errorf(CodeInvalid, "version %q in %q: expected a whole number from 1", version, s)
	}
	return Ref{Name: name, Version: n}, nil
}

func (c *Catalog) unknown(what, name string, known []string) error {
	if len(known) == 0 {
		return Errorf(CodeNotFound, "unknown %s %q: there is none", what, name)
	}
	return Errorf(CodeNotFound, "unknown %s %q: expected one of %s", what, name, strings.Join(known, ", "))
}

func names[T any](xs []T, name func(T) string) []string {
	var out []string
	for _, x := range xs {
		out = append(out, name(x))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
