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
}

type role struct {
	view string
	keys []string
	at   spot
}

type keyType struct {
	kind feature.Type
	role string
}

// service checks the entries of a service against the views of the checker.
func (c *checker) service(s *Service) {
	check := serviceCheck{c, s, map[string]role{}, map[string]spot{}, map[string]keyType{}}
	for i := range s.Features {
		u := &s.Features[i]
		path := fmt.Sprintf("features[%d]", i)
		at := path
		if s.nodes[path+".view"] != nil {
			at = path + ".view"
		}
		if c.refer(s, KindView, at, u.View) == nil {
			continue
		}
		v := c.views[u.View]
		keys := check.keys(u, v, path)
		if check.role(u, keys, path) {
			check.features(u, v, path)
		}
	}
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
		c.roles[name] = role{u.View, keys, at}
		return true
	case had.view != u.View:
		c.problems.add(at, "role %q is already view %s at %s: expected another name, with as: NAME", name, had.view, had.at)
	case !slices.Equal(had.keys, keys):
		c.problems.add(at, "role %q already has the keys %v at %s: expected another name, with as: NAME", name, had.keys, had.at)
	case u.Features == nil:
		c.problems.add(at, "view %s is listed twice in role %q, first at %s: expected another role, with as: NAME", u.View, name, had.at)
	default:
		return true
	}
	return false
}

func (c *serviceCheck) features(u *Use, v *feature.View, path string) {
	if u.Features == nil {
		for _, f := range v.Features {
			c.outputs[u.role()+"."+f.Name] = c.service.value(path)
		}
		return
	}
	var known []string
	for _, f := range v.Features {
		known = append(known, f.Name)
	}
	for i, name := range u.Features {
		if name == "" {
			continue
		}
		at := c.service.value(path)
		if p := fmt.Sprintf("%s.features[%d]", path, i); c.service.nodes[p] != nil {
			at = c.service.value(p)
		}
		if v.Feature(name) < 0 {
			if view, _ := c.known[KindView][u.View].(*View); view == nil || !view.broken {
				c.problems.add(at, "%s", unknown("feature", name, "view "+v.Name, known))
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

// checkAgainst reports what is wrong with a service if it used the given views. It is for services that are
// not in the folder; their places are empty.
func checkAgainst(s *Service, views map[string]*feature.View) []feature.Detail {
	var p problems
	c := checker{problems: &p, views: views, known: map[Kind]map[string]definition{KindView: {}, KindEntity: {}}}
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
	return p.details
}
