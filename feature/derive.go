package feature

import (
	"slices"
	"strings"
)

// output is an on-demand feature that a plan is asked for.
type output struct {
	of      *OnDemand
	feature int
}

// ask gives an on-demand feature the plan's next column. How it is computed is for derive to find out, when all views are known.
func (p *Plan) ask(asked []output, o output) []output {
	p.Slots = append(p.Slots, Slot{OnDemandItem, len(asked)})
	p.Names = append(p.Names, o.of.Name+"."+o.of.Features[o.feature].Name)
	return append(asked, o)
}

// derive makes the base plan, and how each on-demand feature is computed from it, and gathers keys and inputs.
func (p *Plan) derive(asked []output) error {
	if len(asked) == 0 {
		return p.collectKeys()
	}
	base := &Plan{Catalog: p.Catalog, Service: p.Service, Items: p.Items, Behind: p.Behind}
	for _, s := range p.Slots {
		if s.Item != OnDemandItem {
			base.add(s)
		}
	}
	for _, o := range asked {
		if err := p.derivation(base, o); err != nil {
			return Errorf(CodeOf(err), "on-demand feature %s.%s: %w", o.of.Ref(), o.of.Features[o.feature].Name, err)
		}
	}
	if len(base.Slots) == 0 {
		return Errorf(CodeInvalid, "on-demand features that read nothing but inputs have no key: ask for a feature of a view as well")
	}
	err := base.collectKeys()
	p.base, p.Items, p.Keys, p.Behind = base, base.Items, base.Keys, base.Behind
	for _, in := range p.Inputs {
		if err == nil && FieldIndex(p.Keys, in.Name) >= 0 {
			err = Errorf(CodeInvalid, "%q is both a key and an input: give the input another name", in.Name)
		}
	}
	return err
}

// derivation adds one on-demand feature, and to base what it reads.
func (p *Plan) derivation(base *Plan, o output) error {
	out := &o.of.Features[o.feature]
	var wrong error
	compute, reads, err := out.Compile(func(name string) (Type, bool) {
		role, of, dotted := strings.Cut(name, ".")
		if !dotted {
			return TypeIn(o.of.Inputs)(name)
		}
		column, err := base.column(role, of)
		if err != nil {
			wrong = err
			return Type{}, false
		}
		return base.Type(column), true
	})
	if wrong != nil {
		return wrong
	}
	if err != nil {
		return err
	}
	d := Derivation{From: o.of.Ref(), Name: out.Name, Type: out.Type, Compute: compute}
	for _, name := range reads {
		if role, of, dotted := strings.Cut(name, "."); dotted {
			column, _ := base.column(role, of) // it was there a moment ago
			d.Reads = append(d.Reads, column)
			continue
		}
		f := o.of.Inputs[FieldIndex(o.of.Inputs, name)]
		at := FieldIndex(p.Inputs, name)
		switch {
		case at < 0:
			at = len(p.Inputs)
			p.Inputs = append(p.Inputs, f)
		case p.Inputs[at].Type != f.Type:
			return Errorf(CodeInvalid, "input %q is %s here and %s for another feature: give one of them another name", name, f.Type, p.Inputs[at].Type)
		}
		d.Reads = append(d.Reads, ^at)
	}
	p.Derived = append(p.Derived, d)
	return nil
}

// column returns the column of a feature by role and name. It adds it if it is not there: of a role of the plan, else of the view
// of that name.
func (p *Plan) column(role, name string) (int, error) {
	if at := slices.Index(p.Names, role+"."+name); at >= 0 {
		return at, nil
	}
	s, err := Slot{}, error(nil)
	if i := slices.IndexFunc(p.Items, func(it Item) bool { return it.Role == role }); i >= 0 {
		s = Slot{i, p.Items[i].View.Feature(name)}
		if s.Feature < 0 {
			v := p.Items[i].View
			err = p.Catalog.unknown("feature", role+"."+name, names(v.Features, func(f Feature) string { return role + "." + f.Name }))
		}
	} else {
		s, err = p.slot(Ref{Name: role}, name)
	}
	if err != nil {
		return 0, err
	}
	p.add(s)
	return len(p.Slots) - 1, nil
}
