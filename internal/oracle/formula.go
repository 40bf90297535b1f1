package oracle

import (
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// Formula evaluates an expression. read returns the value and the type of a name in it; the type is the zero Type where there is no
// such name.
type Formula func(expression string, read func(name string) (feature.Value, feature.Type)) feature.Value

// derived is an on-demand feature (D3): its expression over the features and inputs that it names.
func (o *Oracle) derived(l *feature.Lookup, row int, d *feature.Derivation, cell func(*feature.Item, int) feature.Cell) feature.Cell {
	definition := o.catalog.OnDemandFeatures(d.From.Name, d.From.Version)
	out := definition.Features[definition.Feature(d.Name)]
	value := o.Formula(out.Expr, func(name string) (feature.Value, feature.Type) {
		role, of, dotted := strings.Cut(name, ".")
		for i, f := range l.Plan.Inputs {
			if !dotted && f.Name == name {
				return l.Inputs[i][row], f.Type
			}
		}
		for i := range l.Plan.Items {
			it := &l.Plan.Items[i]
			for index := range it.View.Features {
				if f := &it.View.Features[index]; it.Role == role && f.Name == of {
					return cell(it, index).Value, f.Type
				}
			}
		}
		return feature.Value{}, feature.Type{}
	})
	if value.IsNull() {
		return feature.Cell{Status: feature.Null}
	}
	return feature.Cell{Status: feature.Present, Value: value}
}

// value returns a column of an event, which may be an expression over the others (D2).
func (o *Oracle) value(v *feature.View, e *Event, column string) feature.Value {
	for _, x := range v.Computed {
		if x.Name == column {
			src := o.catalog.Source(v.Source)
			return o.Formula(x.Expr, func(name string) (feature.Value, feature.Type) {
				t, _ := feature.TypeIn(src.Columns)(name)
				return e.Values[name], t
			})
		}
	}
	return e.Values[column]
}
