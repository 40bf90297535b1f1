package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/expr"
)

// columns are what the features of a view can read: the stored columns of a source, and those that are expressions over them (rule D2).
type columns struct {
	stored   []feature.Field
	computed []feature.Computed
}

// readable returns the columns of a source; none for nil.
func readable(s *Source) columns {
	if s == nil {
		return columns{}
	}
	return columns{s.Columns, s.Computed}
}

// typeOf returns the type of a column, or false.
func (c columns) typeOf(name string) (feature.Type, bool) {
	for _, x := range c.computed {
		if x.Name == name {
			return x.Type, true
		}
	}
	return feature.TypeIn(c.stored)(name)
}

// names returns the names of all columns.
func (c columns) names() []string {
	names := fieldNames(c.stored)
	for _, x := range c.computed {
		names = append(names, x.Name)
	}
	return names
}

// where checks a condition. It returns it as an expression over stored columns alone, those that it reads, and the names in the text.
func (c columns) where(text string) (over string, reads, names []string, err error) {
	e, err := expr.Parse(text, c.typeOf)
	if err != nil {
		return "", nil, nil, err
	}
	if e.Type() != feature.Bool {
		return "", nil, nil, feature.Errorf(feature.CodeInvalid, "expected a condition, which is true or false; %s is %s", quote(text), e.Type())
	}
	over, err = expr.Inline(text, func(name string) (string, bool) {
		at := slices.IndexFunc(c.computed, func(x feature.Computed) bool { return x.Name == name })
		if at < 0 {
			return "", false
		}
		return c.computed[at].Expr, true
	})
	if err != nil {
		return "", nil, nil, err
	}
	if reads, err = storedReads(over, c.stored); err != nil {
		return "", nil, nil, err
	}
	return over, reads, slices.Clone(e.Names()), nil
}

// storedReads returns what an expression over stored columns reads. Such expressions are evaluated by ClickHouse too.
func storedReads(text string, stored []feature.Field) ([]string, error) {
	e, err := expr.Parse(text, feature.TypeIn(stored))
	if err != nil {
		return nil, err
	}
	if _, err := e.SQL("_", func(name string) string { return name }); err != nil {
		return nil, err
	}
	return slices.Clone(e.Names()), nil
}

// computed returns the columns of the source that are expressions and that features of the view read: what a version of it keeps.
func (v *View) computed(s *Source) []feature.Computed {
	var out []feature.Computed
	for _, x := range readable(s).computed {
		if slices.ContainsFunc(v.Features, func(f Feature) bool { return f.reads(x.Name, readable(s)) }) {
			out = append(out, x)
		}
	}
	return out
}

// computed returns what computed returns of a definition that is a view, with the source as it is in r.
func (r *record) computed(def definition) []feature.Computed {
	v, ok := def.(*View)
	if !ok {
		return nil
	}
	o := r.find(KindSource, v.Source)
	if o == nil {
		return nil
	}
	s, _ := o.newest().Definition.(*Source)
	return v.computed(s)
}

// computedDiff says in words how the expressions of columns that a view reads have changed.
func computedDiff(source string, was, now []feature.Computed) []string {
	var out []string
	for _, x := range now {
		at := slices.IndexFunc(was, func(w feature.Computed) bool { return w.Name == x.Name })
		if at >= 0 && was[at].Expr != x.Expr {
			out = append(out, fmt.Sprintf("column %s of source %s: %s, was %s", x.Name, source, x.Expr, was[at].Expr))
		}
		if at < 0 {
			out = append(out, fmt.Sprintf("column %s of source %s: %s, was stored", x.Name, source, x.Expr))
		}
	}
	for _, w := range was {
		if !slices.ContainsFunc(now, func(x feature.Computed) bool { return x.Name == w.Name }) {
			out = append(out, fmt.Sprintf("column %s of source %s: stored, was %s", w.Name, source, w.Expr))
		}
	}
	return out
}

// computed makes new versions of views that are not in the definitions and read columns whose expression changed.
func (p *planner) computed(o *object) {
	was := o.newest()
	def, _ := was.Definition.(*View)
	s := p.next.find(KindSource, def.Source)
	if s == nil || s.Deleted || p.defined[s] == nil {
		return
	}
	source, _ := s.newest().Definition.(*Source)
	for _, x := range was.Computed {
		if _, there := readable(source).typeOf(x.Name); !there {
			p.problems.add(source.value("columns"), "column %q of source %s cannot be removed; it is read by view %s@%d", x.Name, source.Name, o.Name, was.Version)
			return
		}
	}
	if notes := computedDiff(def.Source, was.Computed, def.computed(source)); len(notes) > 0 {
		o.add(version{Since: p.now, Definition: def, Edition: was.Edition, Computed: def.computed(source)})
		p.note(Change, o, was.Version, notes...)
	}
}

// computedColumn decodes a column that is an expression.
func (d *decoder) computedColumn(n *node, name string) feature.Computed {
	x := feature.Computed{Name: name}
	d.members(n, "a column that is an expression", []member{
		{name: "expr", need: "an expression over other columns", set: d.text(&x.Expr)},
		{name: "type", need: "the type of what the expression gives", set: d.dataType(&x.Type)},
	})
	x.Reads, _ = expr.Names(x.Expr) // what is wrong with it is said where it is checked
	return x
}

// computedColumns checks the columns of a source that are expressions.
func (c *checker) computedColumns(s *Source) {
	for i := range s.Computed {
		x := &s.Computed[i]
		if x.Expr == "" || (x.Type == feature.Type{}) {
			continue // reported where it was read
		}
		at := s.value("columns." + x.Name + ".expr")
		f := OnDemandFeature{Name: x.Name, Expr: x.Expr, Type: x.Type}
		if _, _, err := f.compile(feature.TypeIn(s.Columns)); err != nil {
			hint := ""
			for _, name := range x.Reads {
				if slices.ContainsFunc(s.Computed, func(y feature.Computed) bool { return y.Name == name }) {
					hint = fmt.Sprintf("; %q is an expression itself, and reads stored columns only", name)
				}
			}
			c.problems.add(at, "%v%s", err, hint)
			continue
		}
		if _, err := storedReads(x.Expr, s.Columns); err != nil {
			c.problems.add(at, "%v", err)
		}
	}
}

// sourceColumns are all columns of a source; their JSON is an object of names and types, or expressions.
type sourceColumns columns

// MarshalJSON writes stored columns first.
func (c sourceColumns) MarshalJSON() ([]byte, error) {
	out, err := Columns(c.stored).MarshalJSON()
	if err != nil {
		return nil, err
	}
	for _, x := range c.computed {
		var value bytes.Buffer
		enc := json.NewEncoder(&value)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(map[string]any{"expr": x.Expr, "type": x.Type}); err != nil {
			return nil, err
		}
		out = fmt.Appendf(out[:len(out)-1], ",%q:%s}", x.Name, bytes.TrimSpace(value.Bytes()))
	}
	return out, nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *sourceColumns) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("columns: expected an object, got %s", data)
	}
	*c = sourceColumns{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the key of an object is a string
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		if raw[0] != '{' {
			f := feature.Field{Name: name}
			if err := json.Unmarshal(raw, &f.Type); err != nil {
				return fmt.Errorf("column %s: %w", name, err)
			}
			c.stored = append(c.stored, f)
			continue
		}
		x := feature.Computed{Name: name}
		if err := json.Unmarshal(raw, &x); err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		if x.Reads, err = expr.Names(x.Expr); err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		c.computed = append(c.computed, x)
	}
	return nil
}
