package registry

import (
	"fmt"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// checker checks definitions against each other and writes out what they leave to defaults.
type checker struct {
	problems *problems
	defs     *Definitions
	known    map[Kind]map[string]definition
	views    map[string]*feature.View // version 1 of each view, as far as it is right
	readings map[string][]reading     // services that list an on-demand feature, by its name
	partial  bool                     // a document could not be read: a name that is missing may be defined there
}

// collect adds a definition, or notes that one could not be read if def is nil.
func (c *checker) collect(def definition) {
	if def == nil || def.name() == "" {
		c.partial = true
		return
	}
	if c.known[def.kind()] == nil {
		c.known[def.kind()] = map[string]definition{}
	}
	if first := c.known[def.kind()][def.name()]; first != nil {
		c.problems.add(def.place().value("name"), "%s %q is defined twice, first at %s", def.kind(), def.name(), first.place().value("name"))
		return
	}
	c.known[def.kind()][def.name()] = def
	switch def := def.(type) {
	case *Entity:
		c.defs.Entities = append(c.defs.Entities, def)
	case *Source:
		c.defs.Sources = append(c.defs.Sources, def)
	case *View:
		c.defs.Views = append(c.defs.Views, def)
	case *OnDemand:
		c.defs.OnDemand = append(c.defs.OnDemand, def)
	case *Service:
		c.defs.Services = append(c.defs.Services, def)
	}
}

func (c *checker) check() {
	for _, e := range c.defs.Entities {
		c.entity(e)
	}
	for _, s := range c.defs.Sources {
		c.source(s)
	}
	for _, v := range c.defs.Views {
		entity, _ := c.refer(v, KindEntity, "entity", v.Entity).(*Entity)
		source, _ := c.refer(v, KindSource, "source", v.Source).(*Source)
		c.viewKeys(v, entity, source)
		c.viewFeatures(v, source)
		c.views[v.Name] = buildView(v, &version{Version: 1, Computed: v.computed(source)}, entity, source)
	}
	for _, o := range c.defs.OnDemand {
		c.onDemand(o)
	}
	for _, s := range c.defs.Services {
		c.service(s)
	}
	for _, o := range c.defs.OnDemand {
		c.expressions(o)
	}
}

// refer returns the definition that def names at path, or reports that there is none.
func (c *checker) refer(def definition, kind Kind, path, name string) definition {
	if name == "" {
		return nil // reported where it was read
	}
	if found, ok := c.known[kind][name]; ok {
		return found
	}
	for _, other := range kindNames() {
		if c.known[Kind(other)][name] != nil {
			c.problems.add(def.place().value(path), "expected the name of %s, got %q, which is %s", withArticle(kind), name, withArticle(Kind(other)))
			return nil
		}
	}
	if !c.partial {
		c.problems.add(def.place().value(path), "%s", unknown(string(kind), name, "", sortedKeys(c.known[kind])))
	}
	return nil
}

func withArticle(k Kind) string {
	switch k {
	case KindEntity:
		return "an entity"
	case KindOnDemand:
		return "an on-demand definition"
	default:
		return "a " + string(k)
	}
}

func (c *checker) entity(e *Entity) {
	seen := map[string]bool{}
	for i, p := range e.Key {
		path := fmt.Sprintf("key[%d]", i)
		if p.Name != "" && seen[p.Name] {
			c.problems.add(e.value(path+".name"), "key part %q stands twice in the key", p.Name)
		}
		seen[p.Name] = true
		if p.Type != (feature.Type{}) && !p.Type.KeyPart() {
			c.problems.add(e.value(path+".type"), "%s cannot be part of a key: expected int64, string, bool or timestamp", p.Type)
		}
	}
}

func (c *checker) source(s *Source) {
	for _, use := range []struct {
		path, column string
		types        []feature.Type
	}{
		{"event_time", s.EventTime, []feature.Type{feature.Timestamp}},
		{"available_at", s.AvailableAt, []feature.Type{feature.Timestamp}},
		{"tiebreak", s.Tiebreak, []feature.Type{feature.Int64, feature.Timestamp}},
		{"deleted", s.Deleted, []feature.Type{feature.Bool}},
	} {
		t, ok := c.column(s, s, use.path, use.column)
		if ok && !slices.Contains(use.types, t) {
			expected := use.types[0].String()
			if len(use.types) > 1 {
				expected += " or " + use.types[1].String()
			}
			c.problems.add(s.value(use.path), "expected %s column, got %q, which is %s", article(expected), use.column, t)
		}
	}
	for i, column := range s.ID {
		path := fmt.Sprintf("id[%d]", i)
		t, ok := c.column(s, s, path, column)
		switch {
		case slices.Contains(s.ID[:i], column):
			c.problems.add(s.value(path), "column %q stands twice in the id", column)
		case ok && !t.KeyPart():
			c.problems.add(s.value(path), "%s cannot be part of an id: expected int64, string, bool or timestamp", t)
		}
	}
	c.computedColumns(s)
	c.from(s)
}

func article(noun string) string {
	if noun[0] == 'i' {
		return "an " + noun
	}
	return "a " + noun
}

// readable returns the type of a column of s, stored or not, that a feature of def reads; see column.
func (c *checker) readable(def definition, s *Source, path, name string) (feature.Type, bool) {
	if t, ok := readable(s).typeOf(name); ok && feature.FieldIndex(s.Columns, name) < 0 {
		return t, t != feature.Type{}
	}
	return c.column(def, s, path, name)
}

// column returns the type of a stored column of s that def names at path. It reports a column that is not there, and
// returns false if the type is not known.
func (c *checker) column(def definition, s *Source, path, name string) (feature.Type, bool) {
	if name == "" || s == nil {
		return feature.Type{}, false
	}
	at := feature.FieldIndex(s.Columns, name)
	if at < 0 {
		if slices.Contains(readable(s).names(), name) {
			c.problems.add(def.place().value(path), "column %q of source %s is an expression: it is not stored, and for features and conditions only", name, s.Name)
			return feature.Type{}, false
		}
		if !s.broken {
			c.problems.add(def.place().value(path), "%s", unknown("column", name, "source "+s.Name, readable(s).names()))
		}
		return feature.Type{}, false
	}
	t := s.Columns[at].Type
	return t, t != feature.Type{}
}

// viewKeys checks the mapping of the entity's key to columns (rule K5) and writes it out.
func (c *checker) viewKeys(v *View, entity *Entity, source *Source) {
	if entity == nil {
		return
	}
	readable := !v.broken
	for _, part := range v.keysIn("keys", v.Keys) {
		readable = c.keyPart(&v.origin, "keys."+part, part, entity) && readable
	}
	keys := map[string]string{}
	for _, p := range entity.Key {
		if p.Name == "" {
			continue
		}
		path := "keys." + p.Name
		column, given := v.Keys[p.Name]
		if !given {
			column = p.Name
		}
		keys[p.Name] = column
		if !given && (source == nil || feature.FieldIndex(source.Columns, column) < 0) {
			if source == nil || source.broken || !readable {
				continue // reported, or it may be what is misspelt
			}
			at := v.value("keys")
			if v.Keys == nil {
				at = v.value("source")
			}
			c.problems.add(at, "source %s has no column %q for the key of entity %s: expected keys: {%s: COLUMN} with %s",
				source.Name, column, entity.Name, p.Name, oneOf(fieldNames(source.Columns)))
			continue
		}
		if t, ok := c.column(v, source, path, column); ok && t != p.Type && p.Type.KeyPart() {
			c.problems.add(v.value(path), "key part %q of entity %s is %s, but column %q of source %s is %s", p.Name, entity.Name, p.Type, column, source.Name, t)
		}
	}
	v.Keys = keys
}

// keyPart reports a name at path that is not a part of the entity's key.
func (c *checker) keyPart(o *origin, path, name string, entity *Entity) bool {
	var parts []string
	for _, p := range entity.Key {
		if p.Name == name {
			return true
		}
		parts = append(parts, p.Name)
	}
	if !entity.broken {
		c.problems.add(o.under(path), "%s", unknown("key part", name, "entity "+entity.Name, parts))
	}
	return false
}

func (c *checker) viewFeatures(v *View, source *Source) {
	seen := map[string]int{}
	for i := range v.Features {
		f := &v.Features[i]
		path := fmt.Sprintf("features[%d]", i)
		for _, name := range f.names() {
			if first, ok := seen[name]; ok && f.Name != "" {
				c.problems.add(v.value(path+".name"), "feature %q is defined twice, first at %s", name, v.value(fmt.Sprintf("features[%d].name", first)))
			} else {
				seen[name] = i
			}
			if wrong := definitionNameError("feature", name); wrong != "" && name != f.Name {
				c.problems.add(v.value(path+".name"), "%s", wrong)
			}
		}
		if f.Aggregate != nil {
			c.aggregate(v, source, f, path)
			continue
		}
		if t, ok := c.readable(v, source, path+".latest", f.Latest); ok {
			c.constant(v, f, path, t, fmt.Sprintf("column %q, which is %s", f.Latest, t))
		}
	}
}

// names returns the names of the features that f makes.
func (f *Feature) names() []string {
	if f.Aggregate == nil || !f.Aggregate.Many {
		return []string{f.Name}
	}
	var names []string
	for _, w := range f.Aggregate.Windows {
		names = append(names, f.nameOf(w))
	}
	return names
}

// constant checks the default of a feature of type t and puts it into normal form.
func (c *checker) constant(v *View, f *Feature, path string, t feature.Type, of string) {
	if f.Default == nil {
		return
	}
	value, err := constant(f.Default, t)
	if err != nil {
		c.problems.add(v.value(path+".default"), "the default does not fit %s: %v", of, err)
		return
	}
	f.Default = value.AppendJSON(nil)
}

// constant returns a value of type t from its JSON.
func constant(raw []byte, t feature.Type) (feature.Value, error) {
	v, err := feature.ParseJSON(raw)
	if err != nil {
		return feature.Value{}, err
	}
	v, err = feature.Convert(v, t)
	if err == nil && v.IsNull() {
		err = fmt.Errorf("it is NULL")
	}
	return v, err
}
