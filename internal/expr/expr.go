package expr

import (
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// MaxLength is the most bytes of an expression.
const MaxLength = 4096

// Expr is an expression that was checked. It is immutable and safe for concurrent use.
type Expr struct {
	text  string
	root  node
	names []string
}

// Func computes an expression from a row: the values of the names it reads, each of its type or NULL. It allocates nothing
// but strings, and is safe for concurrent use.
type Func func(row []feature.Value) feature.Value

// Parse reads an expression. typeOf gives the type of a name, or false where there is none; a name is an identifier or two
// joined by a dot. Errors have feature.CodeInvalid and name line and column in the text, both from 1.
func Parse(text string, typeOf func(name string) (feature.Type, bool)) (*Expr, error) {
	tree, err := parse(text)
	if err != nil {
		return nil, err
	}
	c := checker{source: text, typeOf: typeOf}
	root := c.check(tree)
	if c.err != nil {
		return nil, c.err
	}
	if root.typ() == (feature.Type{}) {
		return nil, feature.Errorf(feature.CodeInvalid, "the expression is always NULL")
	}
	return &Expr{text: text, root: root, names: c.names}, nil
}

// String returns the text that was parsed.
func (e *Expr) String() string { return e.text }

// Type returns the type of the result.
func (e *Expr) Type() feature.Type { return e.root.typ() }

// Names returns the names that the expression reads, in order of first use; the caller must not change them.
func (e *Expr) Names() []string { return e.names }

// Compile returns the expression as Go. names are those of the rows it will be given; all of Names must be among them.
func (e *Expr) Compile(names []string) Func {
	return e.root.compile(func(name string) int { return slices.Index(names, name) })
}

// SQL returns the expression as ClickHouse SQL. column renders a name: as Nullable(Int64), Nullable(Float64), Nullable(Bool),
// Nullable(String) or Nullable(DateTime64(6, 'UTC')), and so is the result. prefix begins every alias that the SQL gives, so
// that two expressions of one query do not meet. The error, with feature.CodeInvalid, names what only Go can compute.
func (e *Expr) SQL(prefix string, column func(name string) string) (string, error) {
	r := renderer{prefix: prefix, column: column}
	sql := e.root.sql(&r)
	return sql, r.err
}
