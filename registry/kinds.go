package registry

import (
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// aboutMembers are the keys that every kind has.
func (d *decoder) aboutMembers(a *About) []member {
	return []member{
		{name: "description", set: d.text(&a.Description)},
		{name: "owner", set: d.text(&a.Owner)},
		{name: "tags", set: d.texts(&a.Tags, "a map of text", nil)},
	}
}

// head returns the keys that every definition begins with.
func (d *decoder) head(kind Kind, name *string, a *About) []member {
	return append([]member{
		{name: "kind", set: func(*node) {}},
		{name: "name", need: "a name", set: d.named(name, string(kind), definitionNameError)},
	}, d.aboutMembers(a)...)
}

// definition decodes one document, or returns nil and reports why it cannot.
func (d *decoder) definition(n *node) definition {
	if !d.is(n, shapeMap, "a definition, a map with kind and name") {
		return nil
	}
	k := n.field("kind")
	if k == nil {
		d.problems.add(n.spot, "a definition has no kind: expected %s", oneOf(kindNames()))
		return nil
	}
	if !d.is(k, shapeText, oneOf(kindNames())) {
		return nil
	}
	before := len(d.problems.details)
	def := d.kind(n, k)
	if def != nil {
		*def.place() = newOrigin(n)
		def.place().broken = len(d.problems.details) > before
	}
	return def
}

func (d *decoder) kind(n, k *node) definition {
	switch Kind(k.text) {
	case KindEntity:
		return d.entity(n)
	case KindSource:
		return d.source(n)
	case KindView:
		return d.view(n)
	case KindService:
		return d.service(n)
	case KindOnDemand:
		return d.onDemand(n)
	default:
		d.problems.add(k.spot, "%s", unknown("kind", k.text, "", kindNames()))
	}
	return nil
}

func kindNames() []string {
	return []string{string(KindEntity), string(KindSource), string(KindView), string(KindOnDemand), string(KindService)}
}

func (d *decoder) entity(n *node) *Entity {
	e := &Entity{Kind: KindEntity}
	d.members(n, "an entity", append(d.head(KindEntity, &e.Name, &e.About),
		member{name: "key", need: "a list of key parts, such as [{name: airport, type: string}]", set: d.list("a list of key parts", func(n *node) {
			var p KeyPart
			d.members(n, "a key part", []member{
				{name: "name", need: "a name", set: d.named(&p.Name, "key part", columnNameError)},
				{name: "type", need: "int64, string, bool or timestamp", set: d.dataType(&p.Type)},
				{name: "description", set: d.text(&p.Description)},
			})
			e.Key = append(e.Key, p)
		})}))
	return e
}

func (d *decoder) source(n *node) *Source {
	s := &Source{Kind: KindSource, MaxFuture: feature.DefaultMaxFuture}
	dedup := feature.DefaultDedup
	d.members(n, "a source", append(d.head(KindSource, &s.Name, &s.About),
		member{name: "columns", need: "a map of columns, such as {origin: string, delay: int64}", set: d.columns(&s.Columns, "column", &s.Computed)},
		member{name: "event_time", need: "the name of a timestamp column", set: d.reference(&s.EventTime, "a column")},
		member{name: "available_at", set: d.reference(&s.AvailableAt, "a column")},
		member{name: "tiebreak", set: d.reference(&s.Tiebreak, "a column")},
		member{name: "deleted", set: d.reference(&s.Deleted, "a column")},
		member{name: "max_future", set: d.span(&s.MaxFuture, 0)},
		member{name: "id", set: d.list("a list of columns, such as [event_id]", func(n *node) {
			var column string
			d.reference(&column, "a column")(n)
			s.ID = append(s.ID, column)
		})},
		member{name: "dedup", set: d.span(&dedup, 0)},
		member{name: "retention", set: d.span(&s.Retention, feature.Day)},
		member{name: "from", set: d.from(&s.From)},
	))
	if n.shape != shapeMap {
		return s
	}
	if alone := n.field("dedup"); alone != nil && n.field("id") == nil {
		d.problems.add(alone.spot, "it says how far apart copies of an event may be: name the columns that tell one, as id: [event_id]")
	}
	if len(s.ID) > 0 {
		s.Dedup = dedup
	}
	return s
}

// columns decodes names and types of what, column or input, into p, and columns that are expressions into computed, if it is not nil.
func (d *decoder) columns(p *Columns, what string, computed *[]feature.Computed) func(*node) {
	return func(n *node) {
		if !d.is(n, shapeMap, "a map of "+what+" names and types") {
			return
		}
		if len(n.pairs) == 0 {
			d.problems.add(n.spot, "expected a map of %s names and types, got an empty map", what)
		}
		for _, c := range n.pairs {
			if wrong := columnNameError(what, c.name); wrong != "" {
				d.problems.add(c.value.key, "%s", wrong)
			}
			if computed != nil && c.value.shape == shapeMap {
				*computed = append(*computed, d.computedColumn(c.value, c.name))
				continue
			}
			f := feature.Field{Name: c.name}
			d.dataType(&f.Type)(c.value)
			*p = append(*p, f)
		}
	}
}

func (d *decoder) view(n *node) *View {
	v := &View{Kind: KindView, History: feature.DefaultHistory}
	d.members(n, "a view", append(d.head(KindView, &v.Name, &v.About),
		member{name: "entity", need: "the name of an entity", set: d.reference(&v.Entity, "an entity")},
		member{name: "keys", set: d.texts(&v.Keys, "a map of key parts and columns", nil)},
		member{name: "source", need: "the name of a source", set: d.reference(&v.Source, "a source")},
		member{name: "delay", set: d.span(&v.Delay, 0)},
		member{name: "history", set: d.span(&v.History, 0)},
		member{name: "features", need: "a list of features, such as [{name: last_delay, latest: delay}]", set: d.list("a list of features", func(n *node) {
			v.Features = append(v.Features, d.feature(n))
		})},
		member{name: "where", later: "conditions (where)"},
	))
	return v
}

func (d *decoder) feature(n *node) Feature {
	var f Feature
	a := &Aggregate{}
	var given []string
	known := append([]member{
		{name: "name", need: "a name", set: d.named(&f.Name, "feature", definitionNameError)},
		{name: "latest", set: d.reference(&f.Latest, "a column")},
		{name: "ttl", set: d.span(&f.TTL, feature.Microsecond)},
		{name: "default", set: d.constant(&f.Default)},
		{name: "description", set: d.text(&f.Description)},
	}, d.aggregateMembers(a, &given)...)
	d.members(n, "a feature", known)
	if n.shape == shapeMap {
		d.aggregate(n, &f, a, given)
	}
	return f
}

func (d *decoder) service(n *node) *Service {
	s := &Service{Kind: KindService}
	d.members(n, "a service", append(d.head(KindService, &s.Name, &s.About),
		member{name: "features", need: "a list of VIEW, VIEW.FEATURE or {view: VIEW, as: ROLE}", set: d.list("a list of features", func(n *node) {
			s.Features = append(s.Features, d.use(n))
		})}))
	return s
}

// use decodes an entry of a service. One that cannot be read keeps its place in the list, with View "".
func (d *decoder) use(n *node) Use {
	var u Use
	if n.shape == shapeText {
		view, name, one := strings.Cut(n.text, ".")
		if view == "" || one && name == "" {
			d.problems.add(n.spot, "expected VIEW or VIEW.FEATURE, got %s", n.got())
			return u
		}
		u.View = view
		if one {
			u.Features = []string{name}
		}
		return u
	}
	d.members(n, "an entry of a service", []member{
		{name: "view", set: d.reference(&u.View, "a view")},
		{name: "ondemand", set: d.reference(&u.OnDemand, "an on-demand definition")},
		{name: "as", set: d.named(&u.As, "role", definitionNameError)},
		{name: "keys", set: d.texts(&u.Keys, "a map of key parts and their names in requests", func(_, v string) string {
			return columnNameError("request key", v)
		})},
		{name: "features", set: d.list("a list of names of features", func(n *node) {
			var name string
			d.reference(&name, "a feature")(n)
			u.Features = append(u.Features, name)
		})},
	})
	if n.shape == shapeMap && (n.field("view") == nil) == (n.field("ondemand") == nil) {
		d.problems.add(n.spot, "an entry of a service has one of view and ondemand: expected the name of a view or of an on-demand definition")
		u.View, u.OnDemand = "", ""
	}
	return u
}

// canonical returns the entries in normal form, so that two ways of writing a list are equal: neighbours in one
// role are one entry, and what is said by default is left out. The entries must have been checked.
func canonical(uses []Use) []Use {
	var out []Use
	for _, u := range uses {
		if u.As == u.View && u.View != "" {
			u.As = ""
		}
		keys := map[string]string{}
		for part, name := range u.Keys {
			if part != name {
				keys[part] = name
			}
		}
		u.Keys = keys
		if len(keys) == 0 {
			u.Keys = nil
		}
		if last := len(out) - 1; last >= 0 && out[last].role() == u.role() && out[last].Features != nil && u.Features != nil {
			out[last].Features = append(slices.Clip(out[last].Features), u.Features...)
			continue
		}
		out = append(out, u)
	}
	return out
}
