package feature

// OnDemand is a version of a definition of on-demand features (rule D3). A version never changes.
type OnDemand struct {
	Name     string
	Version  int
	Inputs   []Field // what requests and spines bring, by name
	Features []Output
}

// Ref returns the name and version of d.
func (d *OnDemand) Ref() Ref { return Ref{d.Name, d.Version} }

// Feature returns the index of the feature called name, or -1.
func (d *OnDemand) Feature(name string) int {
	for i := range d.Features {
		if d.Features[i].Name == name {
			return i
		}
	}
	return -1
}

// Output is an on-demand feature: an expression over features and inputs.
type Output struct {
	Name  string
	Type  Type
	Expr  string
	Roles []string // whose features it reads
	// Compile checks the expression against the types of what it names, features as "role.feature" and inputs, and returns
	// it as Go, with the names that it reads in order of first use. typeOf returns false for what is not there.
	Compile func(typeOf func(name string) (Type, bool)) (Formula, []string, error)
}

// Formula computes an on-demand feature from the values of the names that it reads, each of its type or NULL. It is pure, and
// safe for concurrent use.
type Formula func(row []Value) Value
