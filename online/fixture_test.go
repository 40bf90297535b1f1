package online_test

import (
	"context"
	"iter"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/internal/semtest"
	"github.com/lockstepfs/lockstep/internal/wire"
	"github.com/lockstepfs/lockstep/online"
)

// clicks is the source of most tests: users and items as keys, a tiebreak and a deleted column.
func clicks() *feature.Source {
	return &feature.Source{
		Name: "clicks", Version: 1, EventTime: "ts", AvailableAt: "known", Tiebreak: "tie", Deleted: "gone",
		Columns: []feature.Field{
			{Name: "u", Type: feature.String},
			{Name: "i", Type: feature.Int64},
			{Name: "ts", Type: feature.Timestamp},
			{Name: "known", Type: feature.Timestamp},
			{Name: "tie", Type: feature.Int64},
			{Name: "gone", Type: feature.Bool},
			{Name: "a", Type: feature.Int64},
			{Name: "b", Type: feature.String},
			{Name: "l", Type: feature.ListOf(feature.KindFloat64)},
		},
	}
}

var (
	user     = feature.Entity{Name: "user", Key: []feature.Field{{Name: "user", Type: feature.String}}}
	pair     = feature.Entity{Name: "pair", Key: []feature.Field{{Name: "user", Type: feature.String}, {Name: "item", Type: feature.Int64}}}
	features = []feature.Feature{
		{Name: "a", Latest: "a", Type: feature.Int64, TTL: 7, Default: feature.Int64Value(-1)},
		{Name: "b", Latest: "b", Type: feature.String},
		{Name: "a_again", Latest: "a", Type: feature.Int64},
		{Name: "l", Latest: "l", Type: feature.ListOf(feature.KindFloat64)},
	}
)

func byUser() *feature.View {
	return &feature.View{Name: "by_user", Version: 1, Entity: user, Keys: []string{"u"}, Source: "clicks", History: 5, Features: features}
}

func byPair() *feature.View {
	return &feature.View{Name: "by_pair", Version: 3, Entity: pair, Keys: []string{"u", "i"}, Source: "clicks", Delay: 2, History: 9, Features: features[:2]}
}

func byItem() *feature.View {
	item := feature.Entity{Name: "item", Key: []feature.Field{{Name: "item", Type: feature.Int64}}}
	return &feature.View{Name: "by_item", Version: 1, Entity: item, Keys: []string{"i"}, Source: "clicks", History: 0, Features: features[1:3]}
}

func catalogOf(views ...*feature.View) *feature.Catalog {
	return &feature.Catalog{Sources: []*feature.Source{clicks()}, Views: views}
}

// planOf returns the plan of all features of the views.
func planOf(t interface{ Fatal(...any) }, views ...*feature.View) *feature.Plan {
	var names []string
	for _, v := range views {
		for _, f := range v.Features {
			names = append(names, v.Ref().String()+"."+f.Name)
		}
	}
	p, err := catalogOf(views...).PlanFeatures(names)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// row is an event of clicks; nil pointers are NULL.
type row struct {
	u       *string
	i       *int64
	ts      feature.Time
	known   feature.Time
	tie     *int64
	gone    bool
	a       *int64
	b       *string
	l       []float64
	hasList bool
}

func ptr[T any](v T) *T { return &v }

func batchOf(rows ...row) *feature.Batch {
	b := feature.NewBatch(clicks())
	for _, r := range rows {
		list := feature.Value{}
		if r.hasList {
			elem := []feature.Value{}
			for _, f := range r.l {
				elem = append(elem, feature.Float64Value(f))
			}
			list = feature.ListValue(feature.KindFloat64, elem)
		}
		b.Append([]feature.Value{
			str(r.u), num(r.i), feature.TimestampValue(r.ts), feature.TimestampValue(r.known), num(r.tie), feature.BoolValue(r.gone),
			num(r.a), str(r.b), list,
		})
	}
	return b
}

func str(p *string) feature.Value {
	if p == nil {
		return feature.Value{}
	}
	return feature.StringValue(*p)
}

func num(p *int64) feature.Value {
	if p == nil {
		return feature.Value{}
	}
	return feature.Int64Value(*p)
}

// kept returns the rows of an import, which is a generation (seq 0), or those that the log took, as a view's events, with the view's
// clock over them.
func kept(v *feature.View, b *feature.Batch, seq, generation uint64, taken feature.Time) (feature.Time, []asof.Kept) {
	clock, rows := asof.NoClock, []asof.Kept(nil)
	for i := range b.Rows {
		k, available := asof.Kept{}, taken
		for _, c := range v.Keys {
			k.Key = append(k.Key, b.Column(c).Value(i))
		}
		if k.Key.HasNull() {
			continue
		}
		k.Event.EventTime = b.Column("ts").Value(i).Time()
		tie := b.Column("tie").Value(i)
		k.Event.TieNull, k.Event.Tie = tie.IsNull(), tie.Int64()
		k.Event.Deleted = b.Column("gone").Value(i).Bool()
		k.Event.Values = inputsOf(v, b, i)
		if seq > 0 {
			k.Event.Seq, k.Event.Idx = seq, uint32(i)
		} else {
			available = b.Column("known").Value(i).Time()
			k.Event.Columns = string(wire.AppendRowPlace(order(b, i), generation, uint64(i)))
		}
		clock = max(clock, asof.Clock(k.Event.EventTime, available))
		rows = append(rows, k)
	}
	return clock, rows
}

// inputsOf returns what the view reads of row i, as the offline store sends it.
func inputsOf(v *feature.View, b *feature.Batch, i int) []feature.Value {
	var values []feature.Value
	for _, in := range v.Inputs() {
		value := feature.BoolValue(true)
		if in.Column != feature.AnyEvent {
			value = b.Column(in.Column).Value(i)
		}
		if in.Where != "" && !holds(in.Where, b, i) {
			value = feature.Value{}
		}
		values = append(values, value)
	}
	return values
}

func holds(where string, b *feature.Batch, i int) bool {
	values := map[string]feature.Value{}
	for _, f := range b.Fields {
		values[f.Name] = b.Column(f.Name).Value(i)
	}
	return semtest.Holds(clicks(), where, values)
}

// truthOf returns an oracle that knows the views.
func truthOf(views ...*feature.View) *oracle.Oracle {
	o := oracle.New(catalogOf(views...))
	o.Holds = semtest.Holds
	return o
}

// order returns what orders row i among imported ones of equal position (O2).
func order(b *feature.Batch, i int) []byte {
	return wire.AppendRowOrder(nil, b, i, wire.ColumnOrder(b.Fields))
}

func each(rows []asof.Kept) iter.Seq2[asof.Kept, error] {
	return func(yield func(asof.Kept, error) bool) {
		for _, k := range rows {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// open opens a store that is closed with the test.
func open(t testing.TB, cfg online.Config) *online.Store {
	t.Helper()
	s, err := online.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// follow follows the views and makes those that join ready, without history.
func follow(t testing.TB, s *online.Store, views ...*feature.View) {
	t.Helper()
	joining, err := s.Follow(catalogOf(views...))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range joining {
		if err := s.SetReady(v.Ref()); err != nil {
			t.Fatal(err)
		}
	}
}

func apply(t testing.TB, s *online.Store, seq uint64, taken feature.Time, rows ...row) {
	t.Helper()
	if err := s.Apply(seq, taken, batchOf(rows...)); err != nil {
		t.Fatal(err)
	}
}

// keysOf returns the columns of a lookup of plan: every pair of users and items that it asks for.
func keysOf(plan *feature.Plan, users []feature.Value, items []feature.Value) [][]feature.Value {
	columns := make([][]feature.Value, len(plan.Keys))
	for _, u := range users {
		for _, i := range items {
			for c, f := range plan.Keys {
				if f.Name == "user" {
					columns[c] = append(columns[c], u)
				} else {
					columns[c] = append(columns[c], i)
				}
			}
		}
	}
	return columns
}

func lookup(t testing.TB, s *online.Store, l *feature.Lookup) *feature.Answer {
	t.Helper()
	a, err := s.Lookup(l)
	if err != nil {
		t.Fatalf("Lookup at %d: %v", l.At, err)
	}
	return a
}

// compare fails unless the cells are what the oracle says about the lookup at a cut.
func compare(t interface{ Fatalf(string, ...any) }, o *oracle.Oracle, l *feature.Lookup, got *feature.Answer) {
	want := o.Lookup(l, feature.ClockEvent, oracle.Cut(got.Cut.Seq))
	if diff := cmp.Diff(want, normal(got.Cells), cmp.Comparer(same)); diff != "" {
		t.Fatalf("Lookup at %d, cut %d (-oracle +store):\n%s", l.At, got.Cut.Seq, diff)
	}
}

// same compares by rule V3.
func same(a, b feature.Value) bool {
	if a.Equal(b) {
		return true
	}
	x, y := a.Float64(), b.Float64()
	return a.Type() == feature.Float64 && b.Type() == feature.Float64 && math.Abs(x-y) <= 1e-9*(math.Abs(x)+x*x)
}

// normal clears what Cell says is meaningless.
func normal(cells []feature.Cell) []feature.Cell {
	cells = slices.Clone(cells)
	for i := range cells {
		if !cells[i].HasTime {
			cells[i].EventTime = 0
		}
	}
	return cells
}

// running runs the store until the test ends.
func running(t testing.TB, s *online.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
