package registry

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// serviceCheck is what is known of a service while its entries are checked one after the other.
type serviceCheck struct {
	*checker
	service *Service
	roles   map[string]role
	outputs map[string]spot
	types   map[string]keyType

	onDemandUses []onDemandUse
	broken       bool // an entry could not be read: a key may only be missing because of it
}

type role struct {
	view     string // or
	onDemand string
	keys     []string
	at       spot
}

// is says what the role stands for.
func (r role) is() string {
	if r.onDemand != "" {
		return "on-demand " + r.onDemand
	}
	return "view " + r.view
}

type keyType struct {
	kind feature.Type
	role string
}

// service checks the entries of a service against the views of the checker.
func (c *checker) service(s *Service) {
	check := serviceCheck{checker: c, service: s, roles: map[string]role{}, outputs: map[string]spot{}, types: map[string]keyType{}}
	for i := range s.Features {
		u := &s.Features[i]
		path := fmt.Sprintf("features[%d]", i)
		at := path
		for _, key := range []string{".view", ".ondemand"} {
			if s.nodes[path+key] != nil {
				at = path + key
			}
		}
		if at == path && c.known[KindOnDemand][u.View] != nil && c.known[KindView][u.View] == nil {
			u.View, u.OnDemand = "", u.View // NAME or NAME.FEATURE
		}
		if u.OnDemand != "" {
			if c.refer(s, KindOnDemand, at, u.OnDemand) != nil {
				check.onDemandUse(u, path)
			} else {
				check.broken = true
			}
			continue
		}
		if c.refer(s, KindView, at, u.View) == nil {
			check.broken = true
			continue
		}
		v := c.views[u.View]
		keys := check.keys(u, v, path)
		if check.role(u, keys, path) {
			check.features(u, featureNames(v), path)
		}
	}
	check.derived()
}

// keys returns the request keys of an entry, in the order of the entity's key.
func (c *serviceCheck) keys(u *Use, v *feature.View, path string) []string {
	entity, _ := c.known[KindEntity][v.Entity.Name].(*Entity)
	for _, part := range c.service.keysIn(path+".keys", u.Keys) {
		if entity != nil {
			c.keyPart(&c.service.origin, path+".keys."+part, part, entity)
		}
	}
	keys := requestKeys(u, v)
	for i, name := range keys {
		part := v.Entity.Key[i]
		at := c.service.value(path + ".keys." + part.Name)
		if slices.Index(keys, name) < i {
			c.problems.add(at, "two parts of the key of entity %s would both be called %q", v.Entity.Name, name)
			continue
		}
		had, ok := c.types[name]
		if ok && had.kind != part.Type && part.Type.KeyPart() && had.kind.KeyPart() {
			c.problems.add(at, "key %q is %s here and %s in role %s: expected another name, with keys: {%s: NAME}", name, part.Type, had.kind, had.role, part.Name)
		}
		if !ok {
			c.types[name] = keyType{part.Type, u.role()}
		}
	}
	return keys
}

// requestKeys returns the names under which requests give the parts of the entity's key (rule K5).
func requestKeys(u *Use, v *feature.View) []string {
	keys := make([]string, len(v.Entity.Key))
	for i, p := range v.Entity.Key {
		keys[i] = p.Name
		if name, ok := u.Keys[p.Name]; ok {
			keys[i] = name
		}
	}
	return keys
}

// role checks that a role stands for one view with one set of keys, and whole views stand in it once.
func (c *serviceCheck) role(u *Use, keys []string, path string) bool {
	name := u.role()
	at := c.service.value(path)
	had, ok := c.roles[name]
	switch {
	case !ok:
		c.roles[name] = role{u.View, u.OnDemand, keys, at}
		return true
	case had.view != u.View || had.onDemand != u.OnDemand:
		c.problems.add(at, "role %q is already %s at %s: expected another name, with as: NAME", name, had.is(), had.at)
	case !slices.Equal(had.keys, keys):
		c.problems.add(at, "role %q already has the keys %v at %s: expected another name, with as: NAME", name, had.keys, had.at)
	case u.Features == nil && u.OnDemand != "":
		c.problems.add(at, "%s is listed twice, first at %s", had.is(), had.at)
	case u.Features == nil:
		c.problems.add(at, "view %s is listed twice in role %q, first at %s: expected another role, with as: NAME", u.View, name, had.at)
	default:
		return true
	}
	return false
}

// features checks the names of features in an entry against those that there are.
func (c *serviceCheck) features(u *Use, known []string, path string) {
	if u.Features == nil {
		for _, name := range known {
			c.outputs[u.role()+"."+name] = c.service.value(path)
		}
		return
	}
	for i, name := range u.Features {
		if name == "" {
			continue
		}
		at := c.service.value(path)
		if p := fmt.Sprintf("%s.features[%d]", path, i); c.service.nodes[p] != nil {
			at = c.service.value(p)
		}
		if !slices.Contains(known, name) {
			if !c.unreadable(u) {
				c.problems.add(at, "%s", unknown("feature", name, role{view: u.View, onDemand: u.OnDemand}.is(), known))
			}
			continue
		}
		output := u.role() + "." + name
		if first, ok := c.outputs[output]; ok {
			c.problems.add(at, "feature %s is listed twice, first at %s", output, first)
			continue
		}
		c.outputs[output] = at
	}
}

// unreadable reports whether a part of what the entry names could not be read.
func (c *serviceCheck) unreadable(u *Use) bool {
	def := c.known[KindView][u.View]
	if u.OnDemand != "" {
		def = c.known[KindOnDemand][u.OnDemand]
	}
	return def != nil && def.place().broken
}

// checkAgainst reports what is wrong with a service if it used the given views. It is for services that are
// not in the folder; their places are empty.
func checkAgainst(s *Service, views map[string]*feature.View, onDemand map[string]*OnDemand) []feature.Detail {
	var p problems
	c := checker{problems: &p, views: views, known: map[Kind]map[string]definition{KindView: {}, KindEntity: {}, KindOnDemand: {}}, readings: map[string][]reading{}}
	for name, def := range onDemand {
		c.known[KindOnDemand][name] = &OnDemand{Name: name, Inputs: def.Inputs, Features: def.Features}
	}
	for name := range maps.Keys(views) {
		v := views[name]
		entity := &Entity{Name: v.Entity.Name}
		for _, f := range v.Entity.Key {
			entity.Key = append(entity.Key, KeyPart{Name: f.Name, Type: f.Type})
		}
		c.known[KindView][name] = &View{Name: name}
		c.known[KindEntity][entity.Name] = entity
	}
	c.service(&Service{Name: s.Name, Features: s.Features})
	for _, name := range sortedKeys(onDemand) {
		o, _ := c.known[KindOnDemand][name].(*OnDemand)
		o.Features = slices.DeleteFunc(slices.Clone(o.Features), func(f OnDemandFeature) bool { return c.readings[name+"."+f.Name] == nil })
		c.expressions(o)
	}
	return p.details
}
