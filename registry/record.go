package registry

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// format is the version of the record's layout; docs/definitions.md describes it.
const format = 1

// record is all that is registered. It is stored as JSON under one key.
type record struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"` // made when the registry was first written; tells a new bucket from an old one
	Objects []*object `json:"objects"`
}

// object is everything that ever stood under one name of one kind. It stays when it is deleted, so that no
// version number means two things and a source is not defined again over events that do not fit it.
type object struct {
	Kind     Kind       `json:"kind"`
	Name     string     `json:"name"`
	Deleted  bool       `json:"deleted,omitempty"`
	Versions []*version `json:"versions"` // oldest first, numbered from 1, never empty
}

type version struct {
	Version int       `json:"version"`
	Since   time.Time `json:"since"`
	Retired bool      `json:"retired,omitempty"` // deleted, by itself or with its name
	pins
	Definition definition `json:"definition"`

	Computed []feature.Computed `json:"computed,omitempty"` // of a view: columns of its source that it reads and that are expressions (D2)

	Edition feature.Edition `json:"edition,omitzero"` // of a source: that imports go into; of a view: that it sees (E2)
}

// pins are the versions that a service version reads (G1).
type pins struct {
	Views    map[string]int `json:"views,omitempty"`
	OnDemand map[string]int `json:"ondemand,omitempty"`
}

// newestPins returns the newest versions of all that a service reads: its views, its on-demand definitions, and the views that
// those read besides.
func (r *record) newestPins(s *Service) pins {
	p := pins{Views: map[string]int{}, OnDemand: map[string]int{}}
	pin := func(to map[string]int, kind Kind, name string) {
		if o := r.find(kind, name); o != nil {
			to[name] = o.newest().Version
		}
	}
	for _, u := range s.Features {
		if u.OnDemand == "" {
			pin(p.Views, KindView, u.View)
			continue
		}
		pin(p.OnDemand, KindOnDemand, u.OnDemand)
		if o := r.find(KindOnDemand, u.OnDemand); o != nil {
			def, _ := o.newest().Definition.(*OnDemand)
			for _, view := range s.hidden(def, &u) {
				pin(p.Views, KindView, view)
			}
		}
	}
	return p
}

// hidden returns the roles that an entry of on-demand features reads and that the service does not have: they are views of that name.
func (s *Service) hidden(def *OnDemand, u *Use) []string {
	var out []string
	for i := range def.Features {
		f := &def.Features[i]
		if u.Features != nil && !slices.Contains(u.Features, f.Name) {
			continue
		}
		for _, role := range f.roles() {
			listed := slices.ContainsFunc(s.Features, func(v Use) bool { return v.OnDemand == "" && v.role() == role })
			if !listed && !slices.Contains(out, role) {
				out = append(out, role)
			}
		}
	}
	return out
}

// decodeRecord reads what encode writes.
func decodeRecord(data []byte) (*record, error) {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("read the registry's record: %w", err)
	}
	if head.Format != format {
		return nil, feature.Errorf(feature.CodeUnavailable, "the registry's record has format %d, this program reads format %d: use the newer program", head.Format, format)
	}
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read the registry's record: %w", err)
	}
	for i, o := range r.Objects {
		if o == nil {
			return nil, fmt.Errorf("read the registry's record: object %d is null", i)
		}
		if len(o.Versions) == 0 {
			return nil, fmt.Errorf("read the registry's record: %s %s has no version", o.Kind, o.Name)
		}
		for _, v := range o.Versions {
			if !typed(v.Definition) {
				return nil, fmt.Errorf("read the registry's record: %s %s@%d has a column without a type", o.Kind, o.Name, v.Version)
			}
		}
	}
	return r, nil
}

// typed reports whether all key parts and columns of a definition have a type.
func typed(def definition) bool {
	switch def := def.(type) {
	case *Entity:
		return !slices.ContainsFunc(def.Key, func(p KeyPart) bool { return p.Type == feature.Type{} })
	case *Source:
		return !slices.ContainsFunc(def.Columns, func(f feature.Field) bool { return f.Type == feature.Type{} }) &&
			!slices.ContainsFunc(def.Computed, func(x feature.Computed) bool { return x.Type == feature.Type{} })
	case *OnDemand:
		untyped := slices.ContainsFunc(def.Inputs, func(f feature.Field) bool { return f.Type == feature.Type{} })
		return !untyped && !slices.ContainsFunc(def.Features, func(f OnDemandFeature) bool { return f.Type == feature.Type{} })
	default:
		return true
	}
}

func (r *record) encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the registry's record: %w", err)
	}
	return data, nil
}

// UnmarshalJSON reads an object, whose definitions are of its kind.
func (o *object) UnmarshalJSON(data []byte) error {
	var raw struct {
		Kind     Kind   `json:"kind"`
		Name     string `json:"name"`
		Deleted  bool   `json:"deleted"`
		Versions []struct {
			version
			Definition json.RawMessage `json:"definition"`
		} `json:"versions"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*o = object{Kind: raw.Kind, Name: raw.Name, Deleted: raw.Deleted}
	for _, v := range raw.Versions {
		def, err := newDefinition(raw.Kind)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(v.Definition, def); err != nil {
			return fmt.Errorf("%s %s@%d: %w", raw.Kind, raw.Name, v.Version, err)
		}
		kept := v.version
		kept.Definition = def
		o.Versions = append(o.Versions, &kept)
	}
	return nil
}

func newDefinition(kind Kind) (definition, error) {
	switch kind {
	case KindEntity:
		return &Entity{}, nil
	case KindSource:
		return &Source{}, nil
	case KindView:
		return &View{}, nil
	case KindOnDemand:
		return &OnDemand{}, nil
	case KindService:
		return &Service{}, nil
	default:
		return nil, fmt.Errorf("unknown kind %q", kind)
	}
}

// clone returns a copy whose objects and versions can be changed. Definitions are shared: they never change.
func (r *record) clone() *record {
	c := &record{Format: r.Format, ID: r.ID}
	for _, o := range r.Objects {
		p := *o
		p.Versions = nil
		for _, v := range o.Versions {
			w := *v
			p.Versions = append(p.Versions, &w)
		}
		c.Objects = append(c.Objects, &p)
	}
	return c
}

// find returns the object, which may be deleted, or nil.
func (r *record) find(kind Kind, name string) *object {
	for _, o := range r.Objects {
		if o.Kind == kind && o.Name == name {
			return o
		}
	}
	return nil
}

// alive calls f with every object of the kind that is not deleted.
func (r *record) alive(kind Kind, f func(*object)) {
	for _, o := range r.Objects {
		if o.Kind == kind && !o.Deleted {
			f(o)
		}
	}
}

func (o *object) newest() *version { return o.Versions[len(o.Versions)-1] }

func (o *object) String() string { return string(o.Kind) + " " + o.Name }

// add appends a version.
func (o *object) add(v version) {
	v.Version = o.newest().Version + 1
	o.Versions = append(o.Versions, &v)
	o.Deleted = false
}

// live returns the versions of o that are served: of a service and of on-demand features all that were not deleted, of a view the
// newest and those that a live service version pins (G1), of others the newest.
func (r *record) live(o *object) []*version {
	if o.Deleted {
		return nil
	}
	var out []*version
	for i, v := range o.Versions {
		switch {
		case v.Retired:
		case o.Kind == KindService, o.Kind == KindOnDemand, i == len(o.Versions)-1, o.Kind == KindView && len(r.pinning(o.Kind, o.Name, v.Version)) > 0:
			out = append(out, v)
		}
	}
	return out
}

// former returns the versions of a view that are not live and still fit the entities and sources that there are.
func (r *record) former(o *object, entities map[string]*Entity, sources map[string]*Source) []*feature.View {
	live := r.live(o)
	var out []*feature.View
	for _, v := range o.Versions {
		def, _ := v.Definition.(*View)
		entity, source := entities[def.Entity], sources[def.Source]
		if v.Retired || slices.Contains(live, v) || entity == nil || source == nil {
			continue
		}
		fits := !slices.ContainsFunc(entity.Key, func(p KeyPart) bool {
			at := feature.FieldIndex(source.Columns, def.Keys[p.Name])
			return at < 0 || source.Columns[at].Type != p.Type
		})
		if fits {
			out = append(out, buildView(def, v, entity, source))
		}
	}
	return out
}

// pinning returns the live service versions that pin a version of a view or an on-demand definition, such as "service delay_model@2".
func (r *record) pinning(kind Kind, name string, number int) []string {
	var out []string
	r.alive(KindService, func(s *object) {
		for _, v := range r.live(s) {
			pinned := v.Views
			if kind == KindOnDemand {
				pinned = v.OnDemand
			}
			if n, ok := pinned[name]; ok && n == number {
				out = append(out, fmt.Sprintf("service %s@%d", s.Name, v.Version))
			}
		}
	})
	return out
}

// dependents returns what is live and needs o: views need their entity and source, services and on-demand definitions what they read.
func (r *record) dependents(o *object) []string {
	var out []string
	switch o.Kind {
	case KindEntity, KindSource:
		r.alive(KindView, func(v *object) {
			for _, w := range r.live(v) {
				def, _ := w.Definition.(*View)
				if o.Kind == KindEntity && def.Entity == o.Name || o.Kind == KindSource && def.Source == o.Name {
					out = append(out, fmt.Sprintf("view %s@%d", v.Name, w.Version))
				}
			}
		})
	case KindView, KindOnDemand:
		for _, v := range o.Versions {
			out = append(out, r.pinning(o.Kind, o.Name, v.Version)...)
		}
		r.alive(KindOnDemand, func(d *object) {
			if ref := d.reading(o); ref != "" {
				out = append(out, ref)
			}
		})
	case KindService: // nothing is built on services
	}
	return out
}

// reading returns the newest version of an on-demand definition, as "ondemand route_risk@2", if it reads features of the view by its
// own name, else "".
func (o *object) reading(view *object) string {
	def, _ := o.newest().Definition.(*OnDemand)
	reads := slices.ContainsFunc(def.Features, func(f OnDemandFeature) bool { return slices.Contains(f.roles(), view.Name) })
	if view.Kind != KindView || !reads {
		return ""
	}
	return fmt.Sprintf("%s %s@%d", o.Kind, o.Name, o.newest().Version)
}

// catalog makes the catalog of what is live.
func (r *record) catalog(revision uint64) (*feature.Catalog, error) {
	cat := &feature.Catalog{Revision: revision}
	entities, sources, views := map[string]*Entity{}, map[string]*Source{}, map[feature.Ref]*feature.View{}
	r.alive(KindEntity, func(o *object) {
		entities[o.Name], _ = o.newest().Definition.(*Entity)
		cat.Entities = append(cat.Entities, buildEntity(entities[o.Name]))
	})
	r.alive(KindSource, func(o *object) {
		sources[o.Name], _ = o.newest().Definition.(*Source)
		cat.Sources = append(cat.Sources, buildSource(sources[o.Name], o.newest()))
	})
	var broken error
	r.alive(KindView, func(o *object) {
		for _, v := range r.live(o) {
			def, _ := v.Definition.(*View)
			if entities[def.Entity] == nil || sources[def.Source] == nil {
				broken = fmt.Errorf("view %s@%d needs entity %s and source %s, which are not there", o.Name, v.Version, def.Entity, def.Source)
				continue
			}
			built := buildView(def, v, entities[def.Entity], sources[def.Source])
			views[built.Ref()] = built
			cat.Views = append(cat.Views, built)
		}
		cat.Former = append(cat.Former, r.former(o, entities, sources)...)
	})
	r.alive(KindOnDemand, func(o *object) {
		for _, v := range r.live(o) {
			def, _ := v.Definition.(*OnDemand)
			cat.OnDemand = append(cat.OnDemand, buildOnDemand(def, v.Version))
		}
	})
	r.alive(KindService, func(o *object) {
		for _, v := range r.live(o) {
			pinned := pinned{map[string]*feature.View{}, map[string]*feature.OnDemand{}}
			for name, number := range v.Views {
				pinned.views[name] = views[feature.Ref{Name: name, Version: number}]
			}
			for name, number := range v.OnDemand {
				pinned.onDemand[name] = cat.OnDemandFeatures(name, number)
			}
			def, _ := v.Definition.(*Service)
			built, err := buildService(def, v.Version, pinned)
			if err != nil {
				broken = err
				continue
			}
			cat.Services = append(cat.Services, built)
			if len(v.OnDemand) == 0 {
				continue
			}
			if _, err := cat.PlanService(built.Ref().String()); err != nil {
				broken = err
			}
		}
	})
	if broken != nil {
		return nil, broken
	}
	return cat, nil
}
