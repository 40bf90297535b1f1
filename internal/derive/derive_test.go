package derive_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/derive"
	"github.com/lockstepfs/lockstep/internal/semtest"
)

const definitions = `
kind: entity
name: user
key: [{name: user, type: int64}]
---
kind: source
name: e
columns: {user: int64, ts: timestamp, n: int64, s: string}
event_time: ts
---
kind: view
name: v
entity: user
source: e
features: [{name: a, latest: n, default: 7}, {name: b, latest: n}, {name: s, latest: s}]
---
kind: view
name: w
entity: user
source: e
features: [{name: c, latest: n}]
---
kind: ondemand
name: d
inputs: {i: int64, t: string}
features:
  - {name: sum, expr: "v.a + i", type: int64}
  - {name: hidden, expr: "w.c * 2", type: int64}
  - {name: none, expr: "isNull(v.b)", type: bool}
  - {name: text, expr: "concat(v.s, t)", type: string}
---
kind: service
name: model
features: [d.sum, v.s, d.hidden, v.a, d.none, d.text]
---
kind: service
name: plain
features: [v]
`

// planOf returns the plan of a service.
func planOf(t testing.TB, service string) *feature.Plan {
	t.Helper()
	c, err := semtest.Define(definitions)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.PlanService(service)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// row is what a store answers for a key, and what a request brings besides; nil is NULL.
type row struct{ s, a, c, b, i, t any }

func value(x any) feature.Value {
	switch x := x.(type) {
	case int:
		return feature.Int64Value(int64(x))
	case string:
		return feature.StringValue(x)
	case bool:
		return feature.BoolValue(x)
	default:
		return feature.Value{}
	}
}

// The rows of the tests, and what the model's columns are for them.
var (
	rows = []row{
		{s: "x", a: 1, c: 10, b: 5, i: 100, t: "y"},
		{s: nil, a: 7, c: nil, b: nil, i: 100, t: "y"}, // 7 is the default
		{s: "x", a: 2, c: 0, b: 0, i: nil, t: nil},
	}
	derived = [][]any{
		{101, "x", 20, 1, false, "xy"},
		{107, nil, nil, 7, true, nil},
		{nil, "x", 0, 2, false, nil},
	}
)

func base(p *feature.Plan, r row) []feature.Value {
	of := map[string]any{"v.s": r.s, "v.a": r.a, "w.c": r.c, "v.b": r.b}
	var values []feature.Value
	for _, name := range p.Base().Names {
		values = append(values, value(of[name]))
	}
	return values
}

func lookup(p *feature.Plan) *feature.Lookup {
	l := &feature.Lookup{Plan: p, Keys: make([][]feature.Value, 1), Inputs: make([][]feature.Value, 2), At: 5}
	for i, r := range rows {
		l.Keys[0] = append(l.Keys[0], value(i))
		l.Inputs[0], l.Inputs[1] = append(l.Inputs[0], value(r.i)), append(l.Inputs[1], value(r.t))
	}
	return l
}

// TestLookup asks a store for the base plan, and computes the rest from its answer, defaults included.
func TestLookup(t *testing.T) {
	p := planOf(t, "model")
	if got, want := fmt.Sprint(p.Base().Names, p.Inputs), "[v.s v.a w.c v.b] [{i int64} {t string}]"; got != want {
		t.Fatalf("the base plan is %s, want %s", got, want)
	}
	l := lookup(p)
	before := *l
	var cells []feature.Cell
	for i, r := range rows {
		for _, v := range base(p, r) {
			c := feature.Cell{Value: v, Status: feature.Present, EventTime: feature.Time(i), HasTime: true}
			if i == 1 { // what has no value has its default, and is missing all the same
				c = feature.Cell{Value: v, Status: feature.Missing}
			}
			cells = append(cells, c)
		}
	}
	answer := &feature.Answer{Cells: slices.Clone(cells), Path: feature.PathOffline, Cut: feature.Cut{Seq: 9}}
	given := answer.Cells
	a, err := derive.Lookup(l, func(b *feature.Lookup) (*feature.Answer, error) {
		if b.Plan != p.Base() || b.At != 5 || b.Rows() != len(rows) {
			t.Errorf("the store is asked for %v at %d", b.Plan.Names, b.At)
		}
		return answer, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.Plan != before.Plan || a.Path != feature.PathOffline || a.Cut.Seq != 9 {
		t.Errorf("the lookup is of %v now, the answer of %s, %v", l.Plan.Names, a.Path, a.Cut)
	}
	if diff := cmp.Diff(cells, given); diff != "" {
		t.Errorf("the store's cells have changed (-want +got):\n%s", diff)
	}
	width := len(p.Slots)
	for i := range rows {
		for column, want := range derived[i] {
			got, status := a.Cells[i*width+column], feature.Present
			onDemand := p.Slots[column].Item == feature.OnDemandItem
			switch {
			case !onDemand && i == 1:
				status = feature.Missing
			case onDemand && want == nil:
				status = feature.Null
			}
			if !got.Value.Equal(value(want)) || got.Status != status || got.HasTime != (!onDemand && i != 1) {
				t.Errorf("row %d, %s = %+v, want %v %s", i, p.Names[column], got, want, status)
			}
		}
	}
	clear(a.Cells)
	if diff := cmp.Diff(cells, given); diff != "" {
		t.Error("the answer shares the store's cells")
	}
}

// TestLookupPlain leaves a lookup without on-demand features to the store.
func TestLookupPlain(t *testing.T) {
	l, want := &feature.Lookup{Plan: planOf(t, "plain")}, &feature.Answer{}
	got, err := derive.Lookup(l, func(b *feature.Lookup) (*feature.Answer, error) {
		if b != l {
			t.Error("the store is asked for something else")
		}
		return want, nil
	})
	if got != want || err != nil {
		t.Errorf("Lookup = %v, %v, want the store's answer", got, err)
	}
}

// TestLookupInputs refuses a lookup that lacks inputs before a store is asked, and names them.
func TestLookupInputs(t *testing.T) {
	p := planOf(t, "model")
	for _, c := range []struct {
		name   string
		change func(l *feature.Lookup)
		want   []string
	}{
		{"none", func(l *feature.Lookup) { l.Inputs = nil }, []string{"i", "t"}},
		{"one", func(l *feature.Lookup) { l.Inputs = l.Inputs[:1] }, []string{"t"}},
		{"nil", func(l *feature.Lookup) { l.Inputs[0] = nil }, []string{"i"}},
		{"too few", func(l *feature.Lookup) { l.Inputs[1] = l.Inputs[1][:1] }, []string{"t 1"}},
		{"too many", func(l *feature.Lookup) { l.Inputs[0] = append(l.Inputs[0], value(1)) }, []string{"i 3"}},
	} {
		l := lookup(p)
		c.change(l)
		_, err := derive.Lookup(l, func(*feature.Lookup) (*feature.Answer, error) {
			t.Errorf("%s: the store is asked", c.name)
			return nil, errors.New("asked")
		})
		if got := places(err); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, which names %q, want %q", c.name, err, got, c.want)
		}
	}
	failed := errors.New("away")
	if _, err := derive.Lookup(lookup(p), func(*feature.Lookup) (*feature.Answer, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("the store fails: %v, want its error", err)
	}
}

// places returns fields and rows that an error with CodeInvalid names.
func places(err error) (out []string) {
	e, ok := errors.AsType[*feature.Error](err)
	if !ok || e.Code != feature.CodeInvalid {
		return nil
	}
	for _, d := range e.Details {
		if d.Row != nil {
			out = append(out, fmt.Sprint(d.Field, " ", *d.Row))
		} else {
			out = append(out, d.Field)
		}
	}
	return out
}

// fields returns the columns of a training set of the base plan: those of the spine, among them the inputs, and the features.
func fields(p *feature.Plan) []feature.Field {
	out := []feature.Field{{Name: "label", Type: feature.Bool}, {Name: "t", Type: feature.String}, {Name: "user", Type: feature.Int64}, {Name: "i", Type: feature.Int64}}
	for i, name := range p.Base().Names {
		out = append(out, feature.Field{Name: name, Type: p.Base().Type(i)})
	}
	return out
}

// trained returns rows of that training set, the test's over and over, from the given one on.
func trained(p *feature.Plan, from, n int) *feature.Batch {
	b := &feature.Batch{Fields: fields(p)}
	for _, f := range b.Fields {
		b.Columns = append(b.Columns, feature.Column{Type: f.Type})
	}
	for i := range n {
		r := rows[(from+i)%len(rows)]
		b.Append(append([]feature.Value{value(i%2 == 0), value(r.t), value(from + i), value(r.i)}, base(p, r)...))
	}
	return b
}

// TestBatches turns batches of several sizes into the training set of the model: spine columns stay, what was only read for
// expressions goes, and what comes in stays as it was.
func TestBatches(t *testing.T) {
	p := planOf(t, "model")
	given := fields(p)
	set, err := derive.NewTraining(p, given)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range set.Fields {
		names = append(names, f.Name+" "+f.Type.String())
	}
	want := []string{"label bool", "t string", "user int64", "i int64", "d.sum int64", "v.s string", "d.hidden int64", "v.a int64", "d.none bool", "d.text string"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Fatalf("columns (-want +got):\n%s", diff)
	}
	failed := errors.New("away")
	var ins []*feature.Batch
	in := func(yield func(*feature.Batch, error) bool) {
		from := 0
		for _, n := range []int{1, 0, 2, 500, 3} {
			ins = append(ins, trained(p, from, n))
			if !yield(ins[len(ins)-1], nil) {
				return
			}
			from += n
		}
		yield(nil, failed)
	}
	at := 0
	for b, err := range set.Batches(in) {
		if err != nil {
			if !errors.Is(err, failed) || at != 506 {
				t.Errorf("after %d rows: %v, want %v after 506", at, err, failed)
			}
			break
		}
		for i := range b.Rows {
			r := rows[at%len(rows)]
			want := []feature.Value{value(i%2 == 0), value(r.t), value(at), value(r.i)}
			for _, x := range derived[at%len(rows)] {
				want = append(want, value(x))
			}
			if got := b.Row(i); !slices.EqualFunc(got, want, feature.Value.Equal) {
				t.Fatalf("row %d is %v, want %v", at, got, want)
			}
			at++
		}
	}
	from := 0
	for _, b := range ins {
		if diff := cmp.Diff(trained(p, from, b.Rows), b); diff != "" {
			t.Errorf("a batch that came in has changed (-want +got):\n%s", diff)
		}
		from += b.Rows
	}
	set.Fields[0].Name = "another"
	if given[0].Name != "label" {
		t.Error("the columns are those that came in, want a copy")
	}
	n := 0
	for range set.Batches(in) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d batches after the reader has left", n)
	}
}

// TestTrainingInputs names the inputs that a spine lacks or has in another type, and columns that have the name of a feature.
func TestTrainingInputs(t *testing.T) {
	p := planOf(t, "model")
	for _, c := range []struct {
		name   string
		change func(fields []feature.Field)
		want   []string
	}{
		{"lacks both", func(f []feature.Field) { f[1].Name, f[3].Name = "x", "y" }, []string{"i", "t"}},
		{"another type", func(f []feature.Field) { f[3].Type = feature.Float64 }, []string{"i"}},
		{"a feature's name", func(f []feature.Field) { f[0].Name = "d.none" }, []string{"d.none"}},
	} {
		given := fields(p)
		c.change(given)
		_, err := derive.NewTraining(p, given)
		if got := places(err); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, which names %q, want %q", c.name, err, got, c.want)
		}
	}
}

// TestPlainTraining leaves the training set of a plan without on-demand features as it is.
func TestPlainTraining(t *testing.T) {
	p := planOf(t, "plain")
	b := &feature.Batch{Rows: 1}
	given := append([]feature.Field{{Name: "user", Type: feature.Int64}}, make([]feature.Field, len(p.Slots))...)
	set, err := derive.NewTraining(p, given)
	if err != nil {
		t.Fatal(err)
	}
	for got, err := range set.Batches(one(b)) {
		if got != b || err != nil {
			t.Errorf("%v, %v, want the batch that came in", got, err)
		}
	}
}

func one(b *feature.Batch) iter.Seq2[*feature.Batch, error] {
	return func(yield func(*feature.Batch, error) bool) { yield(b, nil) }
}

// BenchmarkBatches computes one on-demand feature of an input and a feature for a batch of a training set.
func BenchmarkBatches(b *testing.B) {
	c, err := semtest.Define(definitions)
	if err != nil {
		b.Fatal(err)
	}
	for _, names := range [][]string{{"d.sum"}, {"d.text"}} {
		p, err := c.PlanFeatures(names)
		if err != nil {
			b.Fatal(err)
		}
		const n = 8192
		in := trained(p, 0, n)
		set, err := derive.NewTraining(p, in.Fields)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("feature="+names[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for range set.Batches(one(in)) {
				}
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
