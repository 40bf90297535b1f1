package feature

import (
	"slices"
	"strings"
)

// Plan is what a read or a training set computes: a service version, or a list of features asked by name. A plan with
// on-demand features stands on its Base, which stores are asked for.
type Plan struct {
	Catalog *Catalog // that it was made from
	Service Ref      // Name "" when features were asked by name
	Items   []Item   // of views, also those that only on-demand features read
	Names   []string // feature columns "role.feature" in the order asked for; see Slots
	Slots   []Slot   // for each name, where it comes from
	Keys    []Field  // request key names with their types, in order of first use
	Behind  []string // in words, that a name without a version means an older one until the newest is ready

	Inputs  []Field      // what requests and spines bring besides keys and time, in order of first use (D3)
	Derived []Derivation // the on-demand features asked for, in order

	base *Plan // nil without Derived
}

// Slot says that a feature column is feature Feature (an index into View.Features) of item Item.
type Slot struct {
	Item    int // or OnDemandItem
	Feature int
}

// OnDemandItem is the Item of a Slot that is an on-demand feature; its Feature is an index into Plan.Derived.
const OnDemandItem = -1

// Derivation is how an on-demand feature is computed.
type Derivation struct {
	From    Ref // the on-demand definition
	Name    string
	Type    Type
	Reads   []int // for each value that Compute takes a column of the base plan, or ^i for input i
	Compute Formula
}

// Base returns the plan that stores are asked for (rule D3): the features of views of p, in order, then those that only on-demand
// features read. It is p itself when p has no on-demand features.
func (p *Plan) Base() *Plan {
	if p.base == nil {
		return p
	}
	return p.base
}

// Type returns the type of a feature column.
func (p *Plan) Type(column int) Type {
	s := p.Slots[column]
	if s.Item == OnDemandItem {
		return p.Derived[s.Feature].Type
	}
	return p.Items[s.Item].View.Features[s.Feature].Type
}

// OnDemandRefs returns the versions of the on-demand definitions that the plan computes, "name@version", each once, in order of name.
func (p *Plan) OnDemandRefs() []string {
	var refs []string
	for _, d := range p.Derived {
		refs = append(refs, d.From.String())
	}
	slices.Sort(refs)
	return slices.Compact(refs)
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
	p := &Plan{Catalog: c, Service: s.Ref()}
	if r.Version == 0 {
		p.note(c.serving.service(r.Name))
	}
	var asked []output
	for _, it := range s.Items {
		if it.OnDemand == nil {
			p.Items = append(p.Items, it)
		}
		for _, f := range it.Features {
			if it.OnDemand == nil {
				p.add(Slot{len(p.Items) - 1, f})
			} else {
				asked = p.ask(asked, output{it.OnDemand, f})
			}
		}
	}
	return p, p.derive(asked)
}

// PlanFeatures returns the plan of a list of "view.feature", "view@version.feature" or the same of on-demand features.
func (c *Catalog) PlanFeatures(refs []string) (*Plan, error) {
	if len(refs) == 0 {
		return nil, Errorf(CodeInvalid, "no features asked for")
	}
	p := &Plan{Catalog: c}
	var asked []output
	for _, ref := range refs {
		of, name, ok := strings.Cut(ref, ".")
		if !ok {
			return nil, Errorf(CodeInvalid, "feature %q: expected VIEW.FEATURE", ref)
		}
		r, err := ParseRef(of)
		if err != nil {
			return nil, err
		}
		if d := c.OnDemandFeatures(r.Name, r.Version); d != nil {
			f := d.Feature(name)
			if f < 0 {
				return nil, c.unknown("feature", ref, names(d.Features, func(f Output) string { return d.Name + "." + f.Name }))
			}
			asked = p.ask(asked, output{d, f})
			continue
		}
		s, err := p.slot(r, name)
		if err != nil {
			return nil, err
		}
		p.add(s)
	}
	return p, p.derive(asked)
}

// slot returns the place of a feature of a view, whose item it adds if there is none.
func (p *Plan) slot(view Ref, name string) (Slot, error) {
	c := p.Catalog
	v := c.View(view.Name, view.Version)
	if v == nil {
		ref := view.Name
		if view.Version > 0 {
			ref = view.String()
		}
		return Slot{}, c.unknown("view", ref, names(c.Views, func(v *View) string { return v.Name }))
	}
	f := v.Feature(name)
	if f < 0 {
		return Slot{}, c.unknown("feature", v.Name+"."+name, names(v.Features, func(f Feature) string { return v.Name + "." + f.Name }))
	}
	if view.Version == 0 {
		p.note(c.serving.view(view.Name))
	}
	item, err := p.item(v)
	return Slot{item, f}, err
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
