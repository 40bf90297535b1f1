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
	Views    []*View    // every live version: the newest of each name and all that a live service version pins
	Services []*Service // every live version
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

// View returns the version of the view called name, the newest when version is 0, or nil.
func (c *Catalog) View(name string, version int) *View {
	var found *View
	for _, v := range c.Views {
		if v.Name == name && (v.Version == version || version == 0 && (found == nil || v.Version > found.Version)) {
			found = v
		}
	}
	return found
}

// Service returns the version of the service called name, the newest when version is 0, or nil.
func (c *Catalog) Service(name string, version int) *Service {
	var found *Service
	for _, s := range c.Services {
		if s.Name == name && (s.Version == version || version == 0 && (found == nil || s.Version > found.Version)) {
			found = s
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

// PlanService returns the plan of a service given as "name" or "name@version".
func (c *Catalog) PlanService(ref string) (*Plan, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return nil, err
	}
	s := c.Service(r.Name, r.Version)
	if s == nil {
		return nil, c.unknown("service", ref, names(c.Services, func(s *Service) string { return s.Name }))
	}
	p := &Plan{Service: s.Ref(), Items: s.Items}
	for i := range s.Items {
		for _, f := range s.Items[i].Features {
			p.add(Slot{i, f})
		}
	}
	return p, p.collectKeys()
}

// PlanFeatures returns the plan of a list of "view.feature" or "view@version.feature" names.
func (c *Catalog) PlanFeatures(refs []string) (*Plan, error) {
	if len(refs) == 0 {
		return nil, Errorf(CodeInvalid, "no features asked for")
	}
	p := &Plan{}
	for _, ref := range refs {
		view, name, ok := strings.Cut(ref, ".")
		if !ok {
			return nil, Errorf(CodeInvalid, "feature %q: expected VIEW.FEATURE", ref)
		}
		r, err := ParseRef(view)
		if err != nil {
			return nil, err
		}
		v := c.View(r.Name, r.Version)
		if v == nil {
			return nil, c.unknown("view", view, names(c.Views, func(v *View) string { return v.Name }))
		}
		f := v.Feature(name)
		if f < 0 {
			return nil, c.unknown("feature", ref, names(v.Features, func(f Feature) string { return v.Name + "." + f.Name }))
		}
		p.add(Slot{p.item(v), f})
	}
	return p, p.collectKeys()
}

func (p *Plan) item(v *View) int {
	for i := range p.Items {
		if p.Items[i].View == v {
			return i
		}
	}
	keys := make([]string, len(v.Entity.Key))
	for i, k := range v.Entity.Key {
		keys[i] = k.Name
	}
	p.Items = append(p.Items, Item{View: v, Role: v.Name, Keys: keys})
	return len(p.Items) - 1
}

func (p *Plan) add(s Slot) {
	it := &p.Items[s.Item]
	p.Slots = append(p.Slots, s)
	p.Names = append(p.Names, it.Role+"."+it.View.Features[s.Feature].Name)
}

// collectKeys gathers the request keys; one name must have one type.
func (p *Plan) collectKeys() error {
	for _, it := range p.Items {
		for i, name := range it.Keys {
			f := Field{Name: name, Type: it.View.Entity.Key[i].Type}
			switch at := FieldIndex(p.Keys, name); {
			case at < 0:
				p.Keys = append(p.Keys, f)
			case p.Keys[at].Type != f.Type:
				return Errorf(CodeInvalid, "key %q is %s in one view and %s in another: give one of them another name with keys:", name, p.Keys[at].Type, f.Type)
			}
		}
	}
	return nil
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
