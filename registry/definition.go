package registry

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
)

// Kind is the kind of a definition, as `kind:` says it.
type Kind string

// The kinds, in the order in which definitions build on each other.
const (
	KindEntity   Kind = "entity"
	KindSource   Kind = "source"
	KindView     Kind = "view"
	KindOnDemand Kind = "ondemand"
	KindService  Kind = "service"
)

// Definitions is what a set of files defines, checked as a whole and in normal form. It is immutable.
type Definitions struct {
	Entities []*Entity
	Sources  []*Source
	Views    []*View
	OnDemand []*OnDemand
	Services []*Service
}

// definition is what the kinds have in common.
type definition interface {
	kind() Kind
	name() string
	about() *About
	// meaning returns the definition without what changes nothing that is computed.
	meaning() any
	place() *origin
}

// all returns every definition, each after those it builds on; none for nil.
func (d *Definitions) all() []definition {
	var all []definition
	if d == nil {
		return nil
	}
	for _, e := range d.Entities {
		all = append(all, e)
	}
	for _, s := range d.Sources {
		all = append(all, s)
	}
	for _, v := range d.Views {
		all = append(all, v)
	}
	for _, o := range d.OnDemand {
		all = append(all, o)
	}
	for _, s := range d.Services {
		all = append(all, s)
	}
	return all
}

// About is what people say about a definition. It changes nothing that is computed, and so makes no version.
type About struct {
	Description string            `json:"description,omitempty"`
	Owner       string            `json:"owner,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// Entity is what features describe. Its JSON, like that of the other kinds, reads back as YAML.
type Entity struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	About
	Key []KeyPart `json:"key"`
	origin
}

// KeyPart is one part of an entity's key.
type KeyPart struct {
	Name        string       `json:"name"`
	Type        feature.Type `json:"type"`
	Description string       `json:"description,omitempty"`
}

// Source is a named kind of event.
type Source struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	About
	Columns     Columns      `json:"columns"` // that are stored; the JSON has those of Computed too
	EventTime   string       `json:"event_time"`
	AvailableAt string       `json:"available_at,omitempty"`
	Tiebreak    string       `json:"tiebreak,omitempty"`
	Deleted     string       `json:"deleted,omitempty"`
	MaxFuture   feature.Span `json:"max_future"`
	ID          []string     `json:"id,omitempty"`
	Dedup       feature.Span `json:"dedup,omitempty"` // 0 without an ID

	Retention feature.Span       `json:"retention,omitempty"` // 0: for ever (E4)
	Computed  []feature.Computed `json:"-"`                   // columns that are expressions (D2)

	From *feature.From `json:"from,omitempty"`
	origin
}

// MarshalJSON writes the source as a definition, all its columns under one key.
func (s Source) MarshalJSON() ([]byte, error) {
	type plain Source // without this method
	out, err := json.Marshal(plain(s))
	if err != nil || len(s.Computed) == 0 {
		return out, err
	}
	stored, err := json.Marshal(s.Columns)
	if err != nil {
		return nil, err
	}
	all, err := json.Marshal(sourceColumns(readable(&s)))
	return bytes.Replace(out, append([]byte(`"columns":`), stored...), append([]byte(`"columns":`), all...), 1), err
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Source) UnmarshalJSON(data []byte) error {
	type plain Source // without this method
	var in struct {
		plain
		Columns sourceColumns `json:"columns"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*s = Source(in.plain)
	s.Columns, s.Computed = in.Columns.stored, in.Columns.computed
	return nil
}

// View is the features of one entity that are computed from one source.
type View struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	About
	Entity   string            `json:"entity"`
	Keys     map[string]string `json:"keys"` // part of the entity's key -> column of the source (K5)
	Source   string            `json:"source"`
	Delay    feature.Span      `json:"delay,omitempty"`
	History  feature.Span      `json:"history"`
	Features []Feature         `json:"features"`
	origin
}

// Feature is a feature of a view, or several of one aggregate over different windows.
type Feature struct {
	Name        string
	Description string
	Latest      string          // of a row feature
	TTL         feature.Span    // of a row feature
	Aggregate   *Aggregate      // of a window feature
	Default     json.RawMessage // a JSON value that converts to the feature's type
}

// Service is a named, ordered list of features that one model reads.
type Service struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	About
	Features []Use `json:"features"`
	origin
}

// Use is an entry of a service: some features of a view, in a role, or some on-demand features.
type Use struct {
	View     string            `json:"view,omitempty"`
	OnDemand string            `json:"ondemand,omitempty"` // instead of View, As and Keys
	As       string            `json:"as,omitempty"`       // the role; the view's name when ""
	Keys     map[string]string `json:"keys,omitempty"`     // part of the entity's key -> name in requests; others keep theirs
	Features []string          `json:"features,omitempty"` // all when empty
}

// role returns the prefix of the entry's feature names.
func (u *Use) role() string { return cmp.Or(u.As, u.View, u.OnDemand) }

func (e *Entity) kind() Kind  { return KindEntity }
func (s *Source) kind() Kind  { return KindSource }
func (v *View) kind() Kind    { return KindView }
func (s *Service) kind() Kind { return KindService }

func (e *Entity) name() string  { return e.Name }
func (s *Source) name() string  { return s.Name }
func (v *View) name() string    { return v.Name }
func (s *Service) name() string { return s.Name }

func (e *Entity) about() *About  { return &e.About }
func (s *Source) about() *About  { return &s.About }
func (v *View) about() *About    { return &v.About }
func (s *Service) about() *About { return &s.About }

func (e *Entity) place() *origin  { return &e.origin }
func (s *Source) place() *origin  { return &s.origin }
func (v *View) place() *origin    { return &v.origin }
func (s *Service) place() *origin { return &s.origin }

func (e *Entity) meaning() any {
	m := *e
	m.About = About{}
	m.Key = append([]KeyPart(nil), e.Key...)
	for i := range m.Key {
		m.Key[i].Description = ""
	}
	return m
}

func (s *Source) meaning() any {
	m := *s
	m.About = About{}
	if s.From != nil {
		from := *s.From
		from.Schedule = "" // when to copy changes nothing about what
		m.From = &from
	}
	return m
}

func (v *View) meaning() any {
	m := *v
	m.About = About{}
	m.Features = append([]Feature(nil), v.Features...)
	for i := range m.Features {
		m.Features[i].Description = ""
	}
	return m
}

func (s *Service) meaning() any {
	m := *s
	m.About = About{}
	return m
}

// Columns is a source's columns in the order of its definition; its JSON is an object of name and type.
type Columns []feature.Field

// MarshalJSON writes the object in the order of the columns.
func (c Columns) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range c {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.Name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s:%q", name, f.Type)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Columns) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("columns: expected an object, got %s", data)
	}
	*c = nil
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		var f feature.Field
		if err := dec.Decode(&f.Type); err != nil {
			return fmt.Errorf("column %v: %w", name, err)
		}
		f.Name, _ = name.(string) // the key of an object is a string
		*c = append(*c, f)
	}
	return nil
}
