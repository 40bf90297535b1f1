package derive

import (
	"iter"

	"github.com/lockstepfs/lockstep/feature"
)

// Training turns the training set of a base plan into that of the plan itself.
type Training struct {
	// Fields are the columns: those of the spine, then the plan's.
	Fields []feature.Field

	plan   *feature.Plan
	own    int   // columns of the spine
	inputs []int // for each input its column in the spine
}

// NewTraining returns how the training set of p is made of one of p.Base() with the given columns. An input without a column in the
// spine, or with one of another type, is an error with feature.CodeInvalid.
func NewTraining(p *feature.Plan, fields []feature.Field) (*Training, error) {
	t := &Training{plan: p, own: len(fields) - len(p.Base().Slots)}
	spine := fields[:t.own]
	t.Fields = append(t.Fields, spine...)
	var wrong []feature.Detail
	for i, name := range p.Names {
		if p.Slots[i].Item == feature.OnDemandItem && feature.FieldIndex(spine, name) >= 0 {
			wrong = append(wrong, feature.Detail{Field: name, Message: "the spine has a column with the name of a feature: give it another name"})
		}
		t.Fields = append(t.Fields, feature.Field{Name: name, Type: p.Type(i)})
	}
	for _, f := range p.Inputs {
		at := feature.FieldIndex(spine, f.Name)
		switch {
		case at < 0:
			wrong = append(wrong, feature.Detail{Field: f.Name, Message: "the spine has no such column for the input of on-demand features: expected " + f.Type.String()})
		case spine[at].Type != f.Type:
			wrong = append(wrong, feature.Detail{Field: f.Name, Message: "the input of on-demand features must be " + f.Type.String() + ", not " + spine[at].Type.String()})
		}
		t.inputs = append(t.inputs, at)
	}
	if len(wrong) > 0 {
		return nil, &feature.Error{Code: feature.CodeInvalid, Message: "the spine does not fit", Details: wrong}
	}
	return t, nil
}

// Batches yields the rows of the training set, given those of the base plan's.
func (t *Training) Batches(base iter.Seq2[*feature.Batch, error]) iter.Seq2[*feature.Batch, error] {
	if t.plan.Base() == t.plan {
		return base
	}
	return func(yield func(*feature.Batch, error) bool) {
		for b, err := range base {
			if err == nil {
				b = t.batch(b)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// batch computes the on-demand features of some rows. Columns that stay as they are, are shared with b.
func (t *Training) batch(b *feature.Batch) *feature.Batch {
	out := &feature.Batch{Source: b.Source, Fields: t.Fields, Columns: make([]feature.Column, len(t.Fields)), Rows: b.Rows}
	copy(out.Columns, b.Columns[:t.own])
	features := out.Columns[t.own:]
	for i := range features {
		features[i].Type = t.plan.Type(i)
	}
	for at, column := range kept(t.plan) {
		features[column] = b.Columns[t.own+at]
	}
	read := func(at, row int) feature.Value {
		if at < 0 {
			return b.Columns[t.inputs[^at]].Value(row)
		}
		return b.Columns[t.own+at].Value(row)
	}
	compute(t.plan, b.Rows, read, func(column, _ int, v feature.Value) { features[column].Append(v) })
	return out
}
