package registry

import (
	"fmt"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Resolve returns the catalog of definitions that were never registered: what applying them to an empty registry
// would give, version 1 of everything.
func Resolve(defs *Definitions) (*feature.Catalog, error) {
	_, cat, err := new(Draft).Apply(defs, Options{})
	if err != nil {
		return nil, fmt.Errorf("resolve definitions: %w", err)
	}
	return cat, nil
}

// Draft is a registry in memory: it makes the versions and catalogs that a Registry would make. The zero Draft is
// empty. It is not safe for concurrent use.
type Draft struct {
	record   *record
	revision uint64
}

// Apply is Registry.Apply. It also returns the catalog after it.
func (d *Draft) Apply(defs *Definitions, o Options) (*Plan, *feature.Catalog, error) {
	return d.change(func(r *record) (*Plan, *record, error) { return r.plan(defs, o, time.Time{}) })
}

// Replace is Registry.Replace. It also returns the catalog after it.
func (d *Draft) Replace(source string, edition feature.Edition) (*Plan, *feature.Catalog, error) {
	return d.change(func(r *record) (*Plan, *record, error) { return r.replace(source, edition, time.Time{}) })
}

// Rollback is Registry.Rollback. It also returns the catalog after it.
func (d *Draft) Rollback(service string) (*Plan, *feature.Catalog, error) {
	ref, err := feature.ParseRef(service)
	if err != nil {
		return nil, nil, err
	}
	return d.change(func(r *record) (*Plan, *record, error) { return r.rollback(ref, time.Time{}) })
}

func (d *Draft) change(plan func(*record) (*Plan, *record, error)) (*Plan, *feature.Catalog, error) {
	if d.record == nil {
		d.record = &record{Format: format}
	}
	p, next, err := plan(d.record)
	if err != nil {
		return nil, nil, err
	}
	cat, err := next.catalog(d.revision + 1)
	if err != nil {
		return nil, nil, err
	}
	d.record, d.revision = next, d.revision+1
	p.Revision = d.revision
	return p, cat, nil
}

func buildEntity(e *Entity) *feature.Entity {
	out := &feature.Entity{Name: e.Name}
	for _, p := range e.Key {
		out.Key = append(out.Key, feature.Field{Name: p.Name, Type: p.Type})
	}
	return out
}

func buildSource(s *Source, of *version) *feature.Source {
	return &feature.Source{
		Name: s.Name, Version: of.Version, Columns: append([]feature.Field(nil), s.Columns...),
		EventTime: s.EventTime, AvailableAt: s.AvailableAt, Tiebreak: s.Tiebreak, Deleted: s.Deleted, MaxFuture: s.MaxFuture,
		ID: append([]string(nil), s.ID...), Dedup: s.Dedup, Retention: s.Retention, Computed: s.Computed, From: s.From, Edition: of.Edition,
	}
}

// buildView makes a version of a view. It makes what it can of a view that is not right, or whose entity or
// source is nil, so that services on it can be checked all the same.
func buildView(v *View, of *version, entity *Entity, source *Source) *feature.View {
	out := &feature.View{
		Name: v.Name, Version: of.Version, Entity: feature.Entity{Name: v.Entity},
		Source: v.Source, Delay: v.Delay, History: v.History, Computed: of.Computed, Edition: of.Edition,
	}
	if entity != nil {
		out.Entity = *buildEntity(entity)
		for _, p := range entity.Key {
			out.Keys = append(out.Keys, v.Keys[p.Name])
		}
	}
	from := columns{computed: of.Computed}
	if source != nil {
		from.stored = source.Columns
	}
	for i := range v.Features {
		out.Features = append(out.Features, buildFeature(&v.Features[i], from)...)
	}
	return out
}

func buildFeature(f *Feature, of columns) []feature.Feature {
	var built []feature.Feature
	if f.Aggregate != nil {
		built = f.built(of)
	} else {
		built = []feature.Feature{{Name: f.Name, Latest: f.Latest, TTL: f.TTL}}
		built[0].Type, _ = of.typeOf(f.Latest)
	}
	for i := range built {
		if f.Default == nil {
			continue
		}
		if d, err := constant(f.Default, built[i].Type); err == nil {
			built[i].Default = d
		}
	}
	return built
}

// pinned is what a service version reads, by name.
type pinned struct {
	views    map[string]*feature.View
	onDemand map[string]*feature.OnDemand
}

// buildService makes a version of a service. It fails if a view, or a feature of it, is not there.
func buildService(s *Service, version int, on pinned) (*feature.Service, error) {
	out := &feature.Service{Name: s.Name, Version: version}
	for i := range s.Features {
		u := &s.Features[i]
		item, err := buildItem(s, u, on)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, item)
	}
	for i := range out.Items {
		for _, f := range out.Items[i].Features {
			if out.Items[i].OnDemand == nil {
				continue
			}
			for _, role := range out.Items[i].OnDemand.Features[f].Roles {
				if slices.ContainsFunc(out.Items, func(it feature.Item) bool { return it.Role == role }) {
					continue
				}
				u := Use{View: role, Features: []string{}}
				item, err := buildItem(s, &u, on)
				if err != nil {
					return nil, err
				}
				out.Items = append(out.Items, item)
			}
		}
	}
	return out, nil
}

func buildItem(s *Service, u *Use, on pinned) (feature.Item, error) {
	item := feature.Item{Role: u.role()}
	find, count, ref := (func(string) int)(nil), 0, ""
	switch v, d := on.views[u.View], on.onDemand[u.OnDemand]; {
	case v != nil:
		item.View, item.Keys = v, requestKeys(u, v)
		find, count, ref = v.Feature, len(v.Features), v.Ref().String()
	case d != nil:
		item.OnDemand = d
		find, count, ref = d.Feature, len(d.Features), d.Ref().String()
	default:
		return item, feature.Errorf(feature.CodeConflict, "service %s needs %s, which is not there", s.Name, role{view: u.View, onDemand: u.OnDemand}.is())
	}
	for at := range count {
		if u.Features == nil {
			item.Features = append(item.Features, at)
		}
	}
	for _, name := range u.Features {
		at := find(name)
		if at < 0 {
			return item, feature.Errorf(feature.CodeConflict, "service %s needs feature %s of %s, which is not there", s.Name, name, ref)
		}
		item.Features = append(item.Features, at)
	}
	return item, nil
}
