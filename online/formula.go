package online

import (
	"fmt"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/expr"
)

// formulas are the different expressions of a view's inputs: conditions (rule W2) and computed columns (rule D2). They belong to the
// applier.
type formulas struct {
	where    []int // for each input the index in all of its condition, or -1
	computed []int // for each input the index in all of its column, or -1
	all      []formula
	values   []feature.Value
}

// formula is one expression.
type formula struct {
	text    string
	fn      expr.Func
	names   []string
	columns []*feature.Column // of the batch, in the order of names; nil: not there
	row     []feature.Value
}

// newFormulas compiles the expressions of the inputs. The registry has checked them.
func newFormulas(inputs []feature.Input, src *feature.Source) (formulas, error) {
	var f formulas
	for _, in := range inputs {
		where, err := f.add(in.Where, src)
		if err != nil {
			return f, fmt.Errorf("where %q: %w", in.Where, err)
		}
		column := ""
		if in.Computed != nil {
			column = in.Computed.Expr
		}
		computed, err := f.add(column, src)
		if err != nil {
			return f, fmt.Errorf("column %s: %w", in.Column, err)
		}
		f.where, f.computed = append(f.where, where), append(f.computed, computed)
	}
	f.values = make([]feature.Value, len(f.all))
	return f, nil
}

// add returns the index of an expression; -1 for "".
func (f *formulas) add(text string, src *feature.Source) (int, error) {
	if text == "" {
		return -1, nil
	}
	if at := slices.IndexFunc(f.all, func(x formula) bool { return x.text == text }); at >= 0 {
		return at, nil
	}
	e, err := expr.Parse(text, feature.TypeIn(src.Columns))
	if err != nil {
		return 0, err
	}
	names := e.Names()
	f.all = append(f.all, formula{text: text, fn: e.Compile(names), names: names, columns: make([]*feature.Column, len(names)), row: make([]feature.Value, len(names))})
	return len(f.all) - 1, nil
}

// clone returns formulas for another goroutine.
func (f *formulas) clone() formulas {
	out := formulas{where: f.where, computed: f.computed, all: slices.Clone(f.all), values: make([]feature.Value, len(f.all))}
	for i := range out.all {
		x := &out.all[i]
		x.columns, x.row = make([]*feature.Column, len(x.names)), make([]feature.Value, len(x.names))
	}
	return out
}

// set points the formulas at the columns of a batch.
func (f *formulas) set(find func(name string) *feature.Column) {
	for i := range f.all {
		for j, name := range f.all[i].names {
			f.all[i].columns[j] = find(name)
		}
	}
}

// eval returns what the expressions are worth in row i; it is good until the next call.
func (f *formulas) eval(i int) []feature.Value {
	for k := range f.all {
		x := &f.all[k]
		for j, column := range x.columns {
			x.row[j] = feature.Value{}
			if column != nil {
				x.row[j] = column.Value(i)
			}
		}
		f.values[k] = x.fn(x.row)
	}
	return f.values
}
