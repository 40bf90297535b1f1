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
	Former   []*View    // earlier versions that nothing pins: the history answers for them, replicas do not keep them
	Services []*Service // every live version

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
	p := &Plan{Catalog: c, Service: s.Ref(), Items: s.Items}
	if r.Version == 0 {
		p.note(c.serving.service(r.Name))
	}
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
	p := &Plan{Catalog: c}
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
		if r.Version == 0 {
			p.note(c.serving.view(r.Name))
		}
		item, err := p.item(v)
		if err != nil {
			return nil, err
		}
		p.add(Slot{item, f})
	}
	return p, p.collectKeys()
}

// note keeps what there is to say about a name that means an older version.
func (p *Plan) note(c choice) {
	if c.behind != "" && !slices.Contains(p.Behind, c.behind) {
		p.Behind = append(p.Behind, c.behind)
	}
}

// item returns the item of the view in its own role, which is that of one version only.
func (p *Plan) item(v *View) (int, error) {
	for i := range p.Items {
		switch was := p.Items[i].View; {
		case was == v:
			return i, nil
		case was.Name == v.Name:
			return 0, Errorf(CodeInvalid, "features of %s and of %s at a time: ask for one version of a view, or for each by itself", was.Ref(), v.Ref())
		}
	}
	keys := make([]string, len(v.Entity.Key))
	for i, k := range v.Entity.Key {
		keys[i] = k.Name
	}
	p.Items = append(p.Items, Item{View: v, Role: v.Name, Keys: keys})
	return len(p.Items) - 1, nil
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
