package expr

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// node is a part of a checked expression. The zero Type is that of the literal nil.
type node interface {
	typ() feature.Type
	compile(index func(name string) int) Func
	sql(r *renderer) string
}

// renderer collects what rendering needs.
type renderer struct {
	prefix  string
	column  func(string) string
	aliases int
	err     error
}

// twice gives sql a name, so that it can be used again without being computed or written again.
func (r *renderer) twice(sql string) (first, again string) {
	r.aliases++
	name := r.prefix + strconv.Itoa(r.aliases)
	return "(" + sql + " AS " + name + ")", name
}

// name reads a column, a feature or an input.
type name struct {
	text string
	t    feature.Type
}

func (n name) typ() feature.Type { return n.t }

func (n name) compile(index func(string) int) Func {
	i := index(n.text)
	return func(row []feature.Value) feature.Value { return row[i] }
}

func (n name) sql(r *renderer) string {
	if n.t.List && r.err == nil {
		r.err = feature.Errorf(feature.CodeInvalid, "%s is a list: lists can be read in on-demand features only", n.text)
	}
	return r.column(n.text)
}

// literal is a constant.
type literal struct{ v feature.Value }

func (n literal) typ() feature.Type { return n.v.Type() }

func (n literal) compile(func(string) int) Func {
	return func([]feature.Value) feature.Value { return n.v }
}

func (n literal) sql(*renderer) string {
	switch n.v.Type().Kind {
	case feature.KindNull:
		return "NULL"
	case feature.KindInt64:
		if n.v.Int64() < 0 {
			return fmt.Sprintf("toInt64(%d)", n.v.Int64())
		}
		return fmt.Sprintf("toInt64('%d')", n.v.Int64())
	case feature.KindFloat64:
		return "toFloat64('" + strconv.FormatFloat(n.v.Float64(), 'g', -1, 64) + "')"
	case feature.KindBool:
		return n.v.Text()
	case feature.KindTimestamp:
		return fmt.Sprintf("fromUnixTimestamp64Micro(toInt64('%d'), 'UTC')", int64(n.v.Time()))
	default:
		return quote(n.v.Str())
	}
}

// quote writes a string for ClickHouse.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'' || c == '\\' || c < ' ' || c == '?' || c == '{' || c == '}':
			fmt.Fprintf(&b, `\x%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// call is a function or an operator with its arguments.
type call struct {
	fn   *function
	args []node
	t    feature.Type
}

func (n call) typ() feature.Type { return n.t }

func (n call) types() []feature.Type {
	types := make([]feature.Type, len(n.args))
	for i, a := range n.args {
		types[i] = a.typ()
	}
	return types
}

func (n call) compile(index func(string) int) Func {
	args := make([]Func, len(n.args))
	for i, a := range n.args {
		args[i] = a.compile(index)
	}
	if n.fn.lazy != nil {
		return n.fn.lazy(args)
	}
	eval := n.fn.eval(n.types())
	switch len(args) {
	case 1:
		a := args[0]
		return func(row []feature.Value) feature.Value {
			x := a(row)
			if x.IsNull() {
				return feature.Value{}
			}
			return eval(x, feature.Value{})
		}
	default:
		a, b := args[0], args[1]
		return func(row []feature.Value) feature.Value {
			x := a(row)
			if x.IsNull() {
				return feature.Value{}
			}
			y := b(row)
			if y.IsNull() {
				return feature.Value{}
			}
			return eval(x, y)
		}
	}
}

func (n call) sql(r *renderer) string {
	args := make([]string, len(n.args))
	for i, a := range n.args {
		args[i] = a.sql(r)
	}
	if n.fn.sql == nil {
		if r.err == nil {
			r.err = feature.Errorf(feature.CodeInvalid, "%s is not the same to the last bit in every engine: it can be used in on-demand features only", n.fn.name)
		}
		return "NULL"
	}
	return n.fn.sql(r, args, n.types())
}

// convert makes a float64 of an int64.
type convert struct{ of node }

func (n convert) typ() feature.Type { return feature.Float64 }

func (n convert) compile(index func(string) int) Func {
	of := n.of.compile(index)
	return func(row []feature.Value) feature.Value {
		v := of(row)
		if v.IsNull() {
			return v
		}
		return feature.Float64Value(float64(v.Int64()))
	}
}

func (n convert) sql(r *renderer) string { return "toFloat64(" + n.of.sql(r) + ")" }
