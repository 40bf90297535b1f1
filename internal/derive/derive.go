package derive

import (
	"github.com/lockstepfs/lockstep/feature"
)

// compute computes the on-demand features of a plan for some rows. read returns a value of a column of the base plan, after
// defaults (D1), or for ^i of input i; put takes the value of a column of the plan.
func compute(p *feature.Plan, rows int, read func(at, row int) feature.Value, put func(column, row int, v feature.Value)) {
	var values []feature.Value
	for column, slot := range p.Slots {
		if slot.Item != feature.OnDemandItem {
			continue
		}
		d := &p.Derived[slot.Feature]
		for row := range rows {
			values = values[:0]
			for _, at := range d.Reads {
				values = append(values, read(at, row))
			}
			put(column, row, d.Compute(values))
		}
	}
}

// kept returns for every column of the base plan that is one of the plan too, in order, which.
func kept(p *feature.Plan) []int {
	var columns []int
	for column, slot := range p.Slots {
		if slot.Item != feature.OnDemandItem {
			columns = append(columns, column)
		}
	}
	return columns
}

// Lookup answers l, whose plan may have on-demand features, by asking a store for what they are computed from. An input that is
// absent, or has fewer values than there are keys, is an error with feature.CodeInvalid.
func Lookup(l *feature.Lookup, ask func(*feature.Lookup) (*feature.Answer, error)) (*feature.Answer, error) {
	base := l.Plan.Base()
	if base == l.Plan {
		return ask(l)
	}
	if err := checkInputs(l); err != nil {
		return nil, err
	}
	below := *l
	below.Plan = base
	a, err := ask(&below)
	if err != nil {
		return nil, err
	}
	a.Cells = Cells(l, a.Cells)
	return a, nil
}

func checkInputs(l *feature.Lookup) error {
	var wrong []feature.Detail
	for i, f := range l.Plan.Inputs {
		if i >= len(l.Inputs) || l.Inputs[i] == nil {
			wrong = append(wrong, feature.Detail{Field: f.Name, Message: "the request does not bring this input: expected " + f.Type.String() + ", NULL where it is not known"})
			continue
		}
		switch n := len(l.Inputs[i]); {
		case n < l.Rows():
			wrong = append(wrong, feature.Detail{Row: &n, Field: f.Name, Message: "the request does not bring this input for every key: expected " + f.Type.String() + ", NULL where it is not known"})
		case n > l.Rows():
			first := l.Rows()
			wrong = append(wrong, feature.Detail{Row: &first, Field: f.Name, Message: "the request brings this input for more rows than it has keys"})
		}
	}
	if len(wrong) > 0 {
		return &feature.Error{Code: feature.CodeInvalid, Message: "the request lacks inputs of on-demand features", Details: wrong}
	}
	return nil
}

// Cells returns the cells of l's plan, given those of its base plan.
func Cells(l *feature.Lookup, base []feature.Cell) []feature.Cell {
	wide, narrow := len(l.Plan.Slots), len(l.Plan.Base().Slots)
	cells := make([]feature.Cell, l.Rows()*wide)
	for at, column := range kept(l.Plan) {
		for row := range l.Rows() {
			cells[row*wide+column] = base[row*narrow+at]
		}
	}
	read := func(at, row int) feature.Value {
		if at < 0 {
			return l.Inputs[^at][row]
		}
		return base[row*narrow+at].Value
	}
	compute(l.Plan, l.Rows(), read, func(column, row int, v feature.Value) { cells[row*wide+column] = cell(v) })
	return cells
}

// cell is an on-demand feature: it is there or it is NULL, and comes from no event.
func cell(v feature.Value) feature.Cell {
	if v.IsNull() {
		return feature.Cell{Status: feature.Null}
	}
	return feature.Cell{Value: v, Status: feature.Present}
}
