package registry

import (
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/expr"
)

// OnDemand is features that are computed from other features and from what requests bring, where they are read (rule D3).
type OnDemand struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	About
	Inputs   Columns           `json:"inputs,omitempty"`
	Features []OnDemandFeature `json:"features"`
	origin
}

// OnDemandFeature is an expression over features, ROLE.FEATURE, and inputs.
type OnDemandFeature struct {
	Name        string       `json:"name"`
	Description string       `json:"description,omitempty"`
	Expr        string       `json:"expr"`
	Type        feature.Type `json:"type"`
}

func (o *OnDemand) kind() Kind     { return KindOnDemand }
func (o *OnDemand) name() string   { return o.Name }
func (o *OnDemand) about() *About  { return &o.About }
func (o *OnDemand) place() *origin { return &o.origin }

func (o *OnDemand) meaning() any {
	m := *o
	m.About = About{}
	m.Features = append([]OnDemandFeature(nil), o.Features...)
	for i := range m.Features {
		m.Features[i].Description = ""
	}
	return m
}

// names returns what the expression reads, ROLE.FEATURE or an input, in order of first use.
func (f *OnDemandFeature) names() []string {
	names, err := expr.Names(f.Expr)
	if err != nil {
		return nil // reported where the definition was read
	}
	return names
}

// roles returns the roles whose features the expression reads, in order of first use.
func (f *OnDemandFeature) roles() []string {
	var roles []string
	for _, name := range f.names() {
		if role, _, dotted := strings.Cut(name, "."); dotted && !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	return roles
}

// compile checks the expression against the types of what it names, and returns it as Go.
func (f *OnDemandFeature) compile(typeOf func(string) (feature.Type, bool)) (feature.Formula, []string, error) {
	e, err := expr.Parse(f.Expr, typeOf)
	if err != nil {
		return nil, nil, err
	}
	if e.Type() != f.Type {
		if e.Type() == feature.Int64 && f.Type == feature.Float64 {
			return nil, nil, feature.Errorf(feature.CodeInvalid, "the expression is int64, the feature is to be float64: write toFloat64(...)")
		}
		return nil, nil, feature.Errorf(feature.CodeInvalid, "the expression is %s, the feature is to be %s", e.Type(), f.Type)
	}
	return feature.Formula(e.Compile(e.Names())), e.Names(), nil
}

func buildOnDemand(o *OnDemand, version int) *feature.OnDemand {
	out := &feature.OnDemand{Name: o.Name, Version: version, Inputs: append([]feature.Field(nil), o.Inputs...)}
	for i := range o.Features {
		f := &o.Features[i]
		out.Features = append(out.Features, feature.Output{Name: f.Name, Type: f.Type, Expr: f.Expr, Roles: f.roles(), Compile: f.compile})
	}
	return out
}

func (d *decoder) onDemand(n *node) *OnDemand {
	o := &OnDemand{Kind: KindOnDemand}
	d.members(n, "an on-demand definition", append(d.head(KindOnDemand, &o.Name, &o.About),
		member{name: "inputs", set: d.columns(&o.Inputs, "input", nil)},
		member{name: "features", need: `a list of features, such as [{name: is_busy, expr: "departures.flights > 100", type: bool}]`, set: d.list("a list of features", func(n *node) {
			var f OnDemandFeature
			d.members(n, "an on-demand feature", []member{
				{name: "name", need: "a name", set: d.named(&f.Name, "feature", definitionNameError)},
				{name: "expr", need: "an expression", set: d.text(&f.Expr)},
				{name: "type", need: "the type of what the expression gives", set: d.dataType(&f.Type)},
				{name: "description", set: d.text(&f.Description)},
			})
			o.Features = append(o.Features, f)
		})}))
	return o
}
