package feature

// Field is a named, typed column.
type Field struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
}

// FieldIndex returns the index of the field called name, or -1.
func FieldIndex(fields []Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}

// TypeIn returns what knows the type of a field by its name.
func TypeIn(fields []Field) func(name string) (Type, bool) {
	return func(name string) (Type, bool) {
		at := FieldIndex(fields, name)
		if at < 0 {
			return Type{}, false
		}
		return fields[at].Type, true
	}
}

// DefaultMaxFuture is a source's max_future where its definition names none (rule T1).
const DefaultMaxFuture = Hour

// DefaultDedup is a source's dedup where its definition names an id and no dedup (rule E1).
const DefaultDedup = 7 * Day

// DefaultHistory is a view's history where its definition names none (rule C4).
const DefaultHistory = Minute

// Entity is what features describe; its key is a tuple of typed columns (rule K1).
type Entity struct {
	Name string  `json:"name"`
	Key  []Field `json:"key"`
}

// Source is a named kind of event. The named columns below are "" when not declared.
type Source struct {
	Name        string  `json:"name"`
	Version     int     `json:"version"`
	Columns     []Field `json:"columns"`                // that are stored
	EventTime   string  `json:"event_time"`             // a timestamp column; NULL in it is refused
	AvailableAt string  `json:"available_at,omitempty"` // a timestamp column: when an imported event could be known (T2)
	Tiebreak    string  `json:"tiebreak,omitempty"`     // an int64 or timestamp column (O1)
	Deleted     string  `json:"deleted,omitempty"`      // a bool column (R2)
	MaxFuture   Span    `json:"max_future"`             // how far past its arrival an event time may lie (T1)

	// ID names the columns whose values say which event a row is (E1); none: every row is an event. NULL in one
	// of them is refused.
	ID    []string `json:"id,omitempty"`
	Dedup Span     `json:"dedup,omitempty"` // rows of one id whose event times are at most so far apart are one event (E1)

	Retention Span       `json:"retention,omitempty"` // how long an event is kept from its event time on; 0: for ever (E4)
	Computed  []Computed `json:"computed,omitempty"`  // columns that are not stored

	From *From `json:"from,omitempty"` // nil: its events are pushed and imported alone

	Edition Edition `json:"edition,omitzero"` // that imports go into
}

// Computed is a column of a source that is an expression over its stored columns (rule D2). It is computed where an event enters a view,
// and a view version keeps the expression that it was made with.
type Computed struct {
	Name  string   `json:"name"`
	Type  Type     `json:"type"`
	Expr  string   `json:"expr"`
	Reads []string `json:"reads"` // the columns that Expr reads, in order of first use
}

// Edition is a set of imported events of a source (rule E2). The zero Edition is the first one; every other began with an
// import that replaced what had been imported before.
type Edition struct {
	Number uint64 `json:"number"` // the generation that it began with; the greater is the later one
	Seq    uint64 `json:"seq"`    // of that generation's record in the log
}

// View is features of one entity computed from one source. A view version never changes: a changed
// definition is a new version (rule G1).
type View struct {
	Name     string    `json:"name"`
	Version  int       `json:"version"`
	Entity   Entity    `json:"entity"`
	Keys     []string  `json:"keys"` // the source column of each part of the entity's key (K5)
	Source   string    `json:"source"`
	Delay    Span      `json:"delay,omitempty"` // T3
	History  Span      `json:"history"`         // C4
	Features []Feature `json:"features"`

	Computed []Computed `json:"computed,omitempty"` // columns of the source that features read and that are not stored (D2)

	Edition Edition `json:"edition,omitzero"` // the imported events that it sees, besides all that were pushed (rule E2)
}

// Feature is one feature of a view: a row feature has Latest, a window feature has Window.
type Feature struct {
	Name    string  `json:"name"`
	Latest  string  `json:"latest"`           // the source column whose newest value it is (R1); "" of a window feature
	Window  *Window `json:"window,omitempty"` // nil of a row feature
	Type    Type    `json:"type"`
	TTL     Span    `json:"ttl,omitempty"` // of a row feature; 0: never expires (R2)
	Default Value   `json:"-"`             // replaces the value where there is none (D1); NULL: no default
}

// Ref names a view version.
type Ref struct {
	Name    string
	Version int
}

// Ref returns the name and version of v.
func (v *View) Ref() Ref { return Ref{v.Name, v.Version} }

// String returns "name@version".
func (r Ref) String() string { return r.Name + "@" + itoa(r.Version) }

// Feature returns the index of the feature called name, or -1.
func (v *View) Feature(name string) int {
	for i := range v.Features {
		if v.Features[i].Name == name {
			return i
		}
	}
	return -1
}

// Service is a named, ordered list of features that one model reads. A service version pins its view
// versions (rule G1).
type Service struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Items   []Item `json:"items"`
}

// Ref returns the name and version of s.
func (s *Service) Ref() Ref { return Ref{s.Name, s.Version} }

// Item is some features of one view in one role or, in a service, some on-demand features.
type Item struct {
	View     *View     // pinned; nil of on-demand features
	OnDemand *OnDemand // pinned; nil of features of a view. Items of a Plan have none
	Role     string    // prefix of the feature names: the view's name, the name given with "as", or that of the on-demand definition
	Keys     []string  // the name under which requests and spines give each part of the entity's key (K5)
	Features []int     // indexes into View.Features or OnDemand.Features, in the order of the service; none of a view that only on-demand features read
}
