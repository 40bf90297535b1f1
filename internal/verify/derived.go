package verify

import (
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/derive"
)

// compareDerived compares the on-demand features of a plan, computed from what both paths answered to the lookup of its base plan. There
// is no request: each input is one fixed value of its type. Where the paths agree within rounding (V3) on all that a feature reads,
// they agree on the feature: a comparison in it may turn a difference in the last bit into another answer.
func (r *Report) compareDerived(p *feature.Plan, base *feature.Lookup, on, off *feature.Answer) {
	if p == base.Plan {
		return
	}
	l := &feature.Lookup{Plan: p, Keys: base.Keys, At: base.At, Inputs: standIns(p, base)}
	online, offline := derive.Cells(l, on.Cells), derive.Cells(l, off.Cells)
	wide, narrow := len(p.Slots), len(base.Plan.Slots)
	for column, slot := range p.Slots {
		if slot.Item != feature.OnDemandItem {
			continue
		}
		for row := range base.Rows() {
			a, b := online[row*wide+column], offline[row*wide+column]
			agree := a.Status == b.Status && a.Value.Equal(b.Value)
			if !agree {
				agree = true
				for _, at := range p.Derived[slot.Feature].Reads {
					agree = agree && (at < 0 || sameIn(base.Plan, at, on.Cells[row*narrow+at], off.Cells[row*narrow+at]))
				}
			}
			r.add(a, agree, func() Difference {
				return Difference{At: l.At, Key: key(base, row), Feature: p.Names[column], Online: a, Offline: b, Cut: on.Cut}
			})
		}
	}
}

// standIns are the inputs that no request brings.
func standIns(p *feature.Plan, l *feature.Lookup) [][]feature.Value {
	columns := make([][]feature.Value, len(p.Inputs))
	for i, f := range p.Inputs {
		columns[i] = make([]feature.Value, l.Rows())
		for row := range columns[i] {
			columns[i][row] = standIn(f.Type, l.At)
		}
	}
	return columns
}

// standIn is 1, true, "1", the instant of the read, or a list of one of these.
func standIn(t feature.Type, at feature.Time) feature.Value {
	if t.List {
		list := make([]feature.Value, max(1, t.Len))
		for i := range list {
			list[i] = standIn(feature.Type{Kind: t.Kind}, at)
		}
		return feature.ListValue(t.Kind, list)
	}
	switch t.Kind {
	case feature.KindInt64:
		return feature.Int64Value(1)
	case feature.KindFloat64:
		return feature.Float64Value(1)
	case feature.KindBool:
		return feature.BoolValue(true)
	case feature.KindString:
		return feature.StringValue("1")
	default:
		return feature.TimestampValue(at)
	}
}
