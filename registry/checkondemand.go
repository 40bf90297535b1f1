package registry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// onDemand checks what can be said of an on-demand definition by itself.
func (c *checker) onDemand(o *OnDemand) {
	if c.known[KindView][o.Name] != nil {
		c.problems.add(o.value("name"), "%q is a view: services name both, expected another name", o.Name)
	}
	seen := map[string]int{}
	for i, f := range o.Features {
		if first, ok := seen[f.Name]; ok && f.Name != "" {
			c.problems.add(o.value(fmt.Sprintf("features[%d].name", i)), "feature %q is defined twice, first at %s", f.Name, o.value(fmt.Sprintf("features[%d].name", first)))
			continue
		}
		seen[f.Name] = i
	}
}

// reading is a service that lists an on-demand feature, with the views that its roles stand for.
type reading struct {
	service string
	roles   map[string]string
}

// expressions checks what an on-demand definition computes, once for each meaning that services give its roles. A role that a
// service does not have is the view of that name.
func (c *checker) expressions(o *OnDemand) {
	for i := range o.Features {
		f := &o.Features[i]
		if f.Expr == "" || (f.Type == feature.Type{}) {
			continue // reported where it was read
		}
		readings := c.readings[o.Name+"."+f.Name]
		if len(readings) == 0 {
			readings = []reading{{}}
			c.inputs(o, f)
		}
		var done []map[string]string
		for _, r := range readings {
			meaning, other := map[string]string{}, ""
			for _, role := range f.roles() {
				meaning[role] = role
				if view, ok := r.roles[role]; ok {
					meaning[role] = view
				}
				if r.service != "" && (meaning[role] != role || c.views[role] == nil) {
					other = fmt.Sprintf(" (in service %s)", r.service)
				}
			}
			if slices.ContainsFunc(done, func(m map[string]string) bool { return maps.Equal(m, meaning) }) {
				continue
			}
			done = append(done, meaning)
			if wrong := c.expression(o, f, meaning); wrong != "" {
				c.problems.add(o.value(fmt.Sprintf("features[%d].expr", i)), "%s%s", wrong, other)
			}
		}
	}
}

// inputs checks that a feature that no service lists can be read by its name: no input of it is called like a key.
func (c *checker) inputs(o *OnDemand, f *OnDemandFeature) {
	for _, in := range o.Inputs {
		for _, role := range f.roles() {
			v := c.views[role]
			if v != nil && slices.Contains(f.names(), in.Name) && feature.FieldIndex(v.Entity.Key, in.Name) >= 0 {
				c.problems.add(o.value("inputs."+in.Name), "%q is both a key, of view %s, and an input of %s.%s: expected another name for the input", in.Name, role, o.Name, f.Name)
				break
			}
		}
	}
}

// expression says what is wrong with an expression whose roles stand for the given views, or returns "".
func (c *checker) expression(o *OnDemand, f *OnDemandFeature, roles map[string]string) string {
	hint, unsure := "", false
	_, _, err := f.compile(func(name string) (feature.Type, bool) {
		role, of, dotted := strings.Cut(name, ".")
		if !dotted {
			at := feature.FieldIndex(o.Inputs, name)
			if at < 0 {
				hint = unknown("input", name, "", fieldNames(o.Inputs))
				return feature.Type{}, false
			}
			unsure = unsure || o.Inputs[at].Type == feature.Type{}
			return o.Inputs[at].Type, true
		}
		v := c.views[roles[role]]
		if v == nil {
			hint, unsure = c.noRole(role), unsure || c.partial
			return feature.Type{}, false
		}
		at := v.Feature(of)
		if at < 0 {
			hint = unknown("feature", of, "view "+v.Name, featureNames(v))
			def, _ := c.known[KindView][v.Name].(*View)
			unsure = unsure || def != nil && def.broken
			return feature.Type{}, false
		}
		unsure = unsure || v.Features[at].Type == feature.Type{}
		return v.Features[at].Type, true
	})
	if err == nil || unsure {
		return ""
	}
	if hint != "" {
		at, _, _ := strings.Cut(err.Error(), "unknown name")
		return at + hint
	}
	return err.Error()
}

// noRole says that a name before a dot is neither a role nor a view.
func (c *checker) noRole(role string) string {
	if c.known[KindOnDemand][role] != nil {
		return fmt.Sprintf("%q is on-demand, and an on-demand feature cannot read another", role)
	}
	return unknown("view or role", role, "", sortedKeys(c.views))
}

func featureNames(v *feature.View) []string {
	var names []string
	for _, f := range v.Features {
		names = append(names, f.Name)
	}
	return names
}

// onDemandUse checks an entry of a service that lists on-demand features.
func (c *serviceCheck) onDemandUse(u *Use, path string) {
	o, _ := c.known[KindOnDemand][u.OnDemand].(*OnDemand)
	if u.As != "" || u.Keys != nil {
		c.problems.add(c.service.value(path), "on-demand features have no role and no keys of their own: they read those of the service")
	}
	if !c.role(u, nil, path) {
		return
	}
	var names []string
	for _, f := range o.Features {
		names = append(names, f.Name)
	}
	c.features(u, names, path)
	c.onDemandUses = append(c.onDemandUses, onDemandUse{o, u, path})
}

type onDemandUse struct {
	definition *OnDemand
	use        *Use
	path       string
}

// derived checks what on-demand features need besides the views that are listed: the keys of the views that they read, and inputs.
func (c *serviceCheck) derived() {
	inputs, wrong := map[string]feature.Type{}, map[string]bool{}
	views := map[string]string{}
	for name, r := range c.roles {
		if r.onDemand == "" {
			views[name] = r.view
		}
	}
	for _, u := range c.onDemandUses {
		at := c.service.value(u.path)
		for i := range u.definition.Features {
			f := &u.definition.Features[i]
			if u.use.Features != nil && !slices.Contains(u.use.Features, f.Name) {
				continue
			}
			name := u.definition.Name + "." + f.Name
			c.readings[name] = append(c.readings[name], reading{c.service.Name, views})
			for _, role := range f.roles() {
				if v := c.views[role]; v != nil && views[role] == "" {
					c.keys(&Use{View: role}, v, u.path)
				}
			}
			for _, in := range u.definition.Inputs {
				if wrong[in.Name] || !slices.Contains(f.names(), in.Name) {
					continue
				}
				had, ok := inputs[in.Name]
				key, both := c.types[in.Name]
				if both {
					c.problems.add(at, "%q is both a key, of role %s, and an input of %s: expected another name for one of them", in.Name, key.role, u.definition.Name)
				}
				if ok && had != in.Type {
					c.problems.add(at, "input %q is %s here and %s in another on-demand definition of this service: expected another name for one of them", in.Name, in.Type, had)
				}
				inputs[in.Name], wrong[in.Name] = in.Type, both || ok && had != in.Type
			}
		}
	}
	if len(c.onDemandUses) > 0 && len(c.types) == 0 && !c.broken {
		c.problems.add(c.service.value("features"), "the service reads no feature of a view, and so has no key: expected a view as well")
	}
}

// checkOnDemand reports on-demand features that could be read by their names before and cannot in the next catalog, because a view
// that they read is another. Those that the definitions change too were checked with the views that these have; versions that
// services pin go on reading the versions of views that are pinned beside them.
func (p *planner) checkOnDemand(next *feature.Catalog) error {
	was, err := p.old.catalog(0)
	if err != nil {
		return err
	}
	p.next.alive(KindOnDemand, func(o *object) {
		old := p.old.find(KindOnDemand, o.Name)
		if old == nil || old.Deleted || old.newest().Version != o.newest().Version {
			return
		}
		def, _ := o.newest().Definition.(*OnDemand)
		for i := range def.Features {
			f := &def.Features[i]
			name := []string{def.Name + "." + f.Name}
			if _, err := was.PlanFeatures(name); err != nil {
				continue
			}
			if _, err := next.PlanFeatures(name); err != nil {
				at, what := p.lost(was, next, f)
				p.problems.add(at, "%s: on-demand feature %s, which is %s, could not be read any more; keep what it reads, define %s here as well to read something else, or delete it with --delete %s",
					cmp.Or(what, err.Error()), name[0], f.Expr, def.Name, def.Name)
			}
		}
	})
	return nil
}

// lost says, and where, what an expression reads of a view that will not have it any more, or have it in another type; "" if it is
// something else.
func (p *planner) lost(was, next *feature.Catalog, f *OnDemandFeature) (at spot, what string) {
	for _, name := range f.names() {
		role, of, _ := strings.Cut(name, ".")
		from, to := was.View(role, 0), next.View(role, 0)
		if from == nil || to == nil || from.Feature(of) < 0 {
			continue // an input
		}
		had, has := from.Features[from.Feature(of)], to.Feature(of)
		switch {
		case has < 0:
			what = fmt.Sprintf("view %s would lose feature %q", role, of)
		case had.Type != to.Features[has].Type:
			what = fmt.Sprintf("feature %q of view %s would become %s, it is %s", of, role, to.Features[has].Type, had.Type)
		default:
			continue
		}
		if def := p.defined[p.next.find(KindView, role)]; def != nil {
			at = def.place().value("features")
		}
		return at, what
	}
	return spot{}, ""
}
