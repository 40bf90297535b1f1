package online

import (
	"fmt"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/expr"
)

// conditions are the different ones of a view's inputs (rule W2). They belong to the applier.
type conditions struct {
	of    []int // for each input its index in all, or -1
	all   []condition
	holds []bool
}

// condition is one where.
type condition struct {
	fn      expr.Func
	names   []string
	columns []*feature.Column // of the batch, in the order of names; nil: not there
	row     []feature.Value
}

// newConditions compiles the conditions of the inputs. The registry has checked them.
func newConditions(inputs []feature.Input, src *feature.Source) (conditions, error) {
	var c conditions
	var texts []string
	for _, in := range inputs {
		if in.Where == "" {
			c.of = append(c.of, -1)
			continue
		}
		at := slices.Index(texts, in.Where)
		if at < 0 {
			e, err := expr.Parse(in.Where, feature.TypeIn(src.Columns))
			if err != nil {
				return c, fmt.Errorf("where %q: %w", in.Where, err)
			}
			names := e.Names()
			at = len(texts)
			texts = append(texts, in.Where)
			c.all = append(c.all, condition{fn: e.Compile(names), names: names, columns: make([]*feature.Column, len(names)), row: make([]feature.Value, len(names))})
		}
		c.of = append(c.of, at)
	}
	c.holds = make([]bool, len(c.all))
	return c, nil
}

// clone returns conditions for another goroutine.
func (c *conditions) clone() conditions {
	out := conditions{of: c.of, all: slices.Clone(c.all), holds: make([]bool, len(c.all))}
	for i := range out.all {
		x := &out.all[i]
		x.columns, x.row = make([]*feature.Column, len(x.names)), make([]feature.Value, len(x.names))
	}
	return out
}

// set points the conditions at the columns of a batch.
func (c *conditions) set(find func(name string) *feature.Column) {
	for i := range c.all {
		for j, name := range c.all[i].names {
			c.all[i].columns[j] = find(name)
		}
	}
}

// eval returns which conditions are true in row i; it is good until the next call.
func (c *conditions) eval(i int) []bool {
	for k := range c.all {
		x := &c.all[k]
		for j, column := range x.columns {
			x.row[j] = feature.Value{}
			if column != nil {
				x.row[j] = column.Value(i)
			}
		}
		v := x.fn(x.row)
		c.holds[k] = !v.IsNull() && v.Bool()
	}
	return c.holds
}
