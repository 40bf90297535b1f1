package semtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"

	"github.com/lockstepfs/lockstep/internal/gate"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/internal/semtest"
)

const scripts = "../../testdata/semantics"

// testExecution runs the scripts and then n random histories.
func testExecution(t *testing.T, x semtest.Execution) {
	t.Run("scripts", func(t *testing.T) { semtest.Run(t, scripts, x) })
	t.Run("histories", func(t *testing.T) { testHistories(t, x) })
}

// The oracle agrees with itself on histories; that test shows that they can be drawn and how hard they are.
func TestOracle(t *testing.T) { testExecution(t, oracleExecution) }

var oracleExecution = semtest.Execution{Name: "oracle", ForcesTaken: true, Open: func(_ context.Context, c *feature.Catalog) (semtest.Engine, error) {
	return newOracle(c), nil
}}

func newOracle(c *feature.Catalog) *oracleEngine {
	law := oracle.New(c)
	law.Holds, law.Formula = semtest.Holds, semtest.Formula
	return &oracleEngine{catalog: c, law: law}
}

// oracleEngine is the oracle as a Replica and as an Archive.
type oracleEngine struct {
	catalog *feature.Catalog
	law     *oracle.Oracle
	seq     uint64
}

// admit passes rows through the gate; any that it refuses refuse all.
func admit(src *feature.Source, m semtest.Message) (*feature.Batch, error) {
	b := gate.NewBuilder(src, m.Taken)
	refused := feature.Errorf(feature.CodeInvalid, "refused rows of source %s", src.Name)
	for i, row := range m.Rows {
		err := b.AddJSON(row)
		if e, ok := errors.AsType[*feature.Error](err); ok {
			for _, d := range e.Details {
				d.Row = &i
				refused.Details = append(refused.Details, d)
			}
		}
	}
	if len(refused.Details) > 0 {
		return nil, refused
	}
	return b.Batch(), nil
}

func (e *oracleEngine) Push(_ context.Context, m semtest.Message) (semtest.Receipt, error) {
	rows, err := admit(e.catalog.Source(m.Source), m)
	if err != nil {
		return semtest.Receipt{}, err
	}
	e.seq++
	c := e.law.Push(rows, e.seq, m.Taken)
	return semtest.Receipt{Seq: e.seq, Taken: m.Taken, Duplicates: c.Duplicates, Conflicts: c.Conflicts}, nil
}

func (e *oracleEngine) Import(_ context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.load(m, e.catalog.Source(m.Source).Edition)
}

func (e *oracleEngine) Replace(_ context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.load(m, feature.Edition{Number: e.seq + 1, Seq: e.seq + 1})
}

func (e *oracleEngine) load(m semtest.Message, edition feature.Edition) (semtest.Receipt, error) {
	rows, err := admit(e.catalog.Source(m.Source), m)
	if err != nil {
		return semtest.Receipt{}, err
	}
	e.seq++
	c := e.law.Replace(rows, edition.Number, e.seq)
	return semtest.Receipt{Seq: e.seq, Taken: m.Taken, Duplicates: c.Duplicates, Conflicts: c.Conflicts, Edition: edition}, nil
}

func (e *oracleEngine) Erase(_ context.Context, entity string, key feature.Key) (semtest.Receipt, error) {
	e.seq++
	e.law.Erase(entity, key)
	return semtest.Receipt{Seq: e.seq}, nil
}

func (e *oracleEngine) Asked(m semtest.Message) (*feature.Batch, error) {
	return admit(e.catalog.Source(m.Source), m)
}

func (e *oracleEngine) Read(ctx context.Context, l *feature.Lookup) ([]feature.Cell, error) {
	if e.law.Below(l.Plan, l.At, oracle.Now) {
		return nil, feature.ErrBelowFloor
	}
	return e.ReadAt(ctx, l, 0)
}

func (e *oracleEngine) ReadAt(_ context.Context, l *feature.Lookup, cut uint64) ([]feature.Cell, error) {
	for i, f := range l.Plan.Inputs {
		if l.Inputs[i] == nil {
			return nil, bad(nil, f.Name, "the request does not bring it")
		}
	}
	return e.law.Lookup(l, feature.ClockEvent, cutOf(cut)), nil
}

func (e *oracleEngine) Change(_ context.Context, c *feature.Catalog) error {
	e.catalog = c
	e.law.Change(c)
	return nil
}

func (e *oracleEngine) Close() error { return nil }

func cutOf(cut uint64) oracle.Cut {
	if cut == 0 {
		return oracle.Now
	}
	return oracle.Cut(cut)
}

func (e *oracleEngine) Train(_ context.Context, r semtest.Training) (*feature.Batch, error) {
	set, _, err := e.train(r)
	return set, err
}

// train returns a training set and the slack of its feature columns, row by row.
func (e *oracleEngine) train(r semtest.Training) (*feature.Batch, []float64, error) {
	spine := r.Spine
	if spine == nil {
		spine = e.allKeys(r)
	}
	rows, err := spineRows(r, spine)
	if err != nil {
		return nil, nil, err
	}
	cells, slack := e.law.Train(r.Plan, rows, r.Clock, cutOf(r.Cut))
	return withFeatures(spine, r.Plan, cells), slack, nil
}

// spineRows returns keys and times of the spine, converted (K4).
func spineRows(r semtest.Training, spine *feature.Batch) ([]oracle.SpineRow, error) {
	for _, name := range r.Plan.Names {
		if feature.FieldIndex(spine.Fields, name) >= 0 {
			return nil, bad(nil, name, "the spine has a column with the name of a feature: give it another name")
		}
	}
	rows := make([]oracle.SpineRow, spine.Rows)
	for _, in := range r.Plan.Inputs {
		c := spine.Column(in.Name)
		if c == nil || c.Type != in.Type {
			return nil, bad(nil, in.Name, "the spine has no such input")
		}
		for i := range rows {
			rows[i].Inputs = append(rows[i].Inputs, c.Value(i))
		}
	}
	for _, k := range append(slices.Clone(r.Plan.Keys), feature.Field{Name: r.Time, Type: feature.Timestamp}) {
		c := spine.Column(k.Name)
		if c == nil {
			names := make([]string, len(spine.Fields))
			for i, f := range spine.Fields {
				names[i] = f.Name
			}
			return nil, bad(nil, k.Name, fmt.Sprintf("the spine has no such column for key %s: it has %s", k.Name, strings.Join(names, ", ")))
		}
		for i := range rows {
			v, err := feature.Convert(c.Value(i), k.Type)
			switch {
			case err != nil:
				return nil, bad(&i, k.Name, err.Error())
			case k.Name != r.Time:
				rows[i].Keys = append(rows[i].Keys, v)
			case v.IsNull():
				return nil, bad(&i, k.Name, "the time of a spine row must not be NULL")
			default:
				rows[i].At = v.Time()
			}
		}
	}
	return rows, nil
}

func bad(row *int, field, message string) error {
	return &feature.Error{Code: feature.CodeInvalid, Details: []feature.Detail{{Row: row, Field: field, Message: message}}}
}

// allKeys returns the spine of keys: all.
func (e *oracleEngine) allKeys(r semtest.Training) *feature.Batch {
	spine := &feature.Batch{Fields: append(slices.Clone(r.Plan.Keys), feature.Field{Name: r.Time, Type: feature.Timestamp})}
	for _, f := range spine.Fields {
		spine.Columns = append(spine.Columns, feature.Column{Type: f.Type})
	}
	for _, k := range e.law.Keys(r.Plan, r.At, r.Clock, cutOf(r.Cut)) {
		spine.Append(append(slices.Clone(k), feature.TimestampValue(r.At)))
	}
	return spine
}

// withFeatures returns the spine with the plan's columns after its own.
func withFeatures(spine *feature.Batch, plan *feature.Plan, cells []feature.Cell) *feature.Batch {
	n := len(plan.Slots)
	if len(cells) != n*spine.Rows {
		panic(fmt.Sprintf("%d cells for %d rows", len(cells), spine.Rows))
	}
	out := &feature.Batch{Fields: slices.Clone(spine.Fields), Columns: slices.Clone(spine.Columns), Rows: spine.Rows}
	for i := range plan.Slots {
		c := feature.Column{Type: plan.Type(i)}
		for row := range spine.Rows {
			c.Append(cells[row*n+i].Value)
		}
		out.Fields = append(out.Fields, feature.Field{Name: plan.Names[i], Type: c.Type})
		out.Columns = append(out.Columns, c)
	}
	return out
}
