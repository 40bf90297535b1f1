package online_test

import (
	"math/rand/v2"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/online"
)

// windowFeature returns a feature over clicks.
func windowFeature(name string, w feature.Window) feature.Feature {
	in := feature.Bool
	if at := feature.FieldIndex(clicks().Columns, w.Input); at >= 0 {
		in = clicks().Columns[at].Type
	}
	w.Precision = agg.SpecOf(&w, in).Precision
	out, err := agg.SpecOf(&w, in).Output()
	if err != nil {
		panic(err)
	}
	return feature.Feature{Name: name, Window: &w, Type: out}
}

// windowViews are all operators over windows of all kinds, alone and beside latest features.
func windowViews() []*feature.View {
	exact, mixed, tiled := byUser(), byPair(), byItem()
	exact.Name, exact.Features = "user_windows", nil
	for _, op := range agg.Operators() {
		for _, input := range []string{"a", "b"} {
			w := feature.Window{Operator: string(op), Input: input, Width: 7, N: 2, Quantile: 0.5}
			if _, err := agg.SpecOf(&w, clicks().Columns[feature.FieldIndex(clicks().Columns, input)].Type).Output(); err != nil {
				continue
			}
			wide := w
			wide.Width = 12
			exact.Features = append(exact.Features, windowFeature(string(op)+"_"+input, w), windowFeature(string(op)+"_"+input+"_wide", wide))
		}
	}
	mixed.Name = "pair_windows"
	mixed.Features = append(features[:2:2],
		windowFeature("n", feature.Window{Operator: "count", Input: "*", Width: 7}),
		windowFeature("n_positive", feature.Window{Operator: "count", Input: "*", Where: "a > 0", Reads: []string{"a"}, Width: 12}),
		windowFeature("first_l", feature.Window{Operator: "first", Input: "l", Width: 7, Hop: 7}),
		windowFeature("max_b", feature.Window{Operator: "max", Input: "b", Where: "a < 2 or b == 'q'", Reads: []string{"a", "b"}, Width: 12, Hop: 3}),
		windowFeature("sum_ever", feature.Window{Operator: "sum", Input: "a"}))
	tiled.Name, tiled.Features, tiled.History = "item_tiles", nil, 4
	for _, op := range agg.Operators() {
		w := feature.Window{Operator: string(op), Input: "a", Width: 9, Hop: 3, N: 2, Quantile: 0.5}
		tiled.Features = append(tiled.Features, windowFeature(string(op)+"_9", w))
		if w.Width, w.Hop = 12, 4; op == agg.LastN {
			w.N = 3
		}
		tiled.Features = append(tiled.Features, windowFeature(string(op)+"_12", w))
		if w.Width, w.Hop = 0, 0; op != agg.CountDistinct && op != agg.TopK { // W6
			tiled.Features = append(tiled.Features, windowFeature(string(op)+"_ever", w))
		}
	}
	tiled.Features = append(tiled.Features, windowFeature("n", feature.Window{Operator: "count", Input: "*", Width: 12, Hop: 4}))
	return []*feature.View{exact, mixed, tiled}
}

// A key whose leaf is full gets an event that is too old for its windows with exact edges: all its events go, and a tile grows.
func TestLateAfterAllExpired(t *testing.T) {
	v := cardViews()[0]
	v.Features = []feature.Feature{
		{Name: "hour", Type: feature.Int64, Window: &feature.Window{Operator: "count", Input: "*", Width: feature.Hour}},
		{Name: "ever", Type: feature.Int64, Window: &feature.Window{Operator: "count", Input: "*"}},
	}
	for _, leaf := range []int{1, 2, 128} {
		s := open(t, online.Config{LeafEvents: leaf})
		c := &feature.Catalog{Sources: []*feature.Source{cards()}, Views: []*feature.View{v}}
		mustFollow(t, s, c)
		plan, err := c.PlanFeatures([]string{v.Name + ".hour", v.Name + ".ever"})
		if err != nil {
			t.Fatal(err)
		}
		seq := uint64(0)
		push := func(customer int64, rows int, at feature.Time) {
			b := &feature.Batch{}
			cardBatch(rand.New(rand.NewPCG(1, 2)), b, rows, at, feature.Second)
			for i := range rows {
				b.Columns[0].Ints[i] = customer
			}
			seq++
			if err := s.Apply(seq, at.Add(feature.Minute), b); err != nil {
				t.Fatal(err)
			}
		}
		const noon = feature.Time(12 * feature.Hour)
		push(1, 128, noon)
		own := &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.Int64Value(1)}}, At: noon.Add(feature.Hour)}
		lookup(t, s, own)                 // its events are in memory now
		push(2, 1, noon.Add(feature.Day)) // the clock goes on
		push(1, 1, noon.Add(-feature.Hour))
		own.At = noon.Add(feature.Day)
		got := lookup(t, s, own)
		if hour, ever := got.Cells[0].Value, got.Cells[1].Value; hour.Int64() != 0 || ever.Int64() != 129 {
			t.Errorf("leaves of %d: %s in the last hour, %s ever, want 0 and 129", leaf, hour, ever)
		}
	}
}
