package agg_test

import (
	"math"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
)

func ints(values ...int64) []feature.Value {
	var out []feature.Value
	for _, v := range values {
		out = append(out, feature.Int64Value(v))
	}
	return out
}

func floats(values ...float64) []feature.Value {
	var out []feature.Value
	for _, v := range values {
		out = append(out, feature.Float64Value(v))
	}
	return out
}

func TestValue(t *testing.T) {
	null := feature.Value{}
	i, f := feature.Int64, feature.Float64
	list := func(values ...int64) feature.Value { return feature.ListValue(feature.KindInt64, ints(values...)) }
	number, float := feature.Int64Value, feature.Float64Value
	for _, test := range []struct {
		name   string
		spec   agg.Spec
		values []feature.Value
		want   feature.Value
	}{
		{"W3: count of nothing", agg.Spec{Op: agg.Count, Input: i}, nil, number(0)},
		{"W2: count of a column leaves out NULL", agg.Spec{Op: agg.Count, Input: i}, append(ints(1), null), number(1)},
		{"W2: count of events does not", agg.Spec{Op: agg.Count}, []feature.Value{null, null}, number(2)},
		{"W3: sum of nothing", agg.Spec{Op: agg.Sum, Input: f}, nil, float(0)},
		{"W3: sum of NULL", agg.Spec{Op: agg.Sum, Input: i}, []feature.Value{null}, number(0)},
		{"V3: int64 sums wrap", agg.Spec{Op: agg.Sum, Input: i}, ints(math.MaxInt64, 1), number(math.MinInt64)},
		{"V2: a sum that overflows is NULL", agg.Spec{Op: agg.Sum, Input: f}, floats(1e308, 1e308), null},
		{"V3: a sum that overflows on its way is not", agg.Spec{Op: agg.Sum, Input: f}, floats(1e308, 1e308, -1e308), float(1e308)},
		{"V3: nor is the average of what overflows", agg.Spec{Op: agg.Avg, Input: f}, floats(1e308, 1e308), float(1e308)},
		{"V2: a variance that overflows is NULL", agg.Spec{Op: agg.VarPop, Input: f}, floats(1e308, 1e308, -1e308), null},
		{"V3: what rounding loses is kept", agg.Spec{Op: agg.Sum, Input: f}, floats(1e17, 0.6, -1e17), float(0.6)},
		{"W3: avg of nothing", agg.Spec{Op: agg.Avg, Input: i}, nil, null},
		{"V3: avg of huge ints", agg.Spec{Op: agg.Avg, Input: i}, ints(math.MaxInt64, math.MaxInt64, math.MaxInt64), float(math.MaxInt64)},
		{"V3: avg of huge negative ints", agg.Spec{Op: agg.Avg, Input: i}, ints(math.MinInt64, math.MinInt64), float(math.MinInt64)},
		{"min", agg.Spec{Op: agg.Min, Input: i}, ints(3, -1, 2), number(-1)},
		{"max", agg.Spec{Op: agg.Max, Input: f}, floats(-3, -1.5), float(-1.5)},
		{"W3: max of nothing", agg.Spec{Op: agg.Max, Input: f}, nil, null},
		{"V3: a variance far from 0", agg.Spec{Op: agg.VarPop, Input: f}, floats(1e9+4, 1e9+7, 1e9+13, 1e9+16), float(22.5)},
		{"V3: the same of int64", agg.Spec{Op: agg.VarPop, Input: i}, ints(1e9+4, 1e9+7, 1e9+13, 1e9+16), float(22.5)},
		{"W4: the sample variance", agg.Spec{Op: agg.VarSamp, Input: i}, ints(1e9+4, 1e9+7, 1e9+13, 1e9+16), float(30)},
		{"W4: of one value there is none", agg.Spec{Op: agg.VarSamp, Input: i}, ints(5), null},
		{"var_pop of one value", agg.Spec{Op: agg.VarPop, Input: i}, ints(5), float(0)},
		{"stddev_pop", agg.Spec{Op: agg.StddevPop, Input: i}, ints(1, 5), float(2)},
		{"stddev_samp of one value", agg.Spec{Op: agg.StddevSamp, Input: i}, ints(1), null},
		{"first that is not NULL", agg.Spec{Op: agg.First, Input: i}, append([]feature.Value{null}, ints(2, 3)...), number(2)},
		{"last that is not NULL", agg.Spec{Op: agg.Last, Input: i}, append(ints(2, 3), null), number(3)},
		{"first_n, oldest first", agg.Spec{Op: agg.FirstN, N: 2, Input: i}, ints(5, 4, 3), list(5, 4)},
		{"last_n, oldest first", agg.Spec{Op: agg.LastN, N: 2, Input: i}, ints(5, 4, 3), list(4, 3)},
		{"W3: last_n of nothing", agg.Spec{Op: agg.LastN, N: 2, Input: i}, nil, list()},
		{"count_distinct", agg.Spec{Op: agg.CountDistinct, Input: i}, ints(1, 2, 1, 0), number(3)},
		{"top_k: ties to the smaller value", agg.Spec{Op: agg.TopK, N: 3, Input: i}, ints(9, 1, 7, 7, 9, 5, 3), list(7, 9, 1)},
		{"approx_count_distinct of nothing", agg.Spec{Op: agg.ApproxCountDistinct, Input: i}, nil, number(0)},
		{"approx_count_distinct of few", agg.Spec{Op: agg.ApproxCountDistinct, Input: i}, ints(1, 2, 3, 3, 2, 1), number(3)},
		{"approx_quantile of whole numbers", agg.Spec{Op: agg.ApproxQuantile, Quantile: 0.5, Input: i}, ints(4, 1, 2, 3), float(2)},
		{"approx_quantile 0 is the least", agg.Spec{Op: agg.ApproxQuantile, Quantile: 0, Input: i}, ints(4, 1, 2, 3), float(1)},
		{"approx_quantile 1 is the greatest", agg.Spec{Op: agg.ApproxQuantile, Quantile: 1, Input: i}, ints(4, 1, -2, 3), float(4)},
		{"W3: approx_quantile of nothing", agg.Spec{Op: agg.ApproxQuantile, Quantile: 0.5, Input: f}, nil, null},
	} {
		st := agg.New(test.spec)
		for _, v := range test.values {
			st.Add(v)
		}
		if got := st.Value(); !got.Equal(test.want) {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestApproxCountDistinct(t *testing.T) {
	for _, n := range []int{100, 5_000, 200_000} {
		st := agg.New(agg.Spec{Op: agg.ApproxCountDistinct, Input: feature.Int64})
		for i := range n {
			st.Add(feature.Int64Value(int64(i)))
		}
		if got := float64(st.Value().Int64()); math.Abs(got-float64(n)) > 0.08*float64(n) {
			t.Errorf("of %d values: %g", n, got)
		}
	}
}

func TestOutput(t *testing.T) {
	for _, test := range []struct {
		spec agg.Spec
		want string
	}{
		{agg.Spec{Op: agg.Sum, Input: feature.String}, "sum of string: expected int64 or float64"},
		{agg.Spec{Op: agg.Sum}, `sum needs a column: only count takes "*"`},
		{agg.Spec{Op: agg.Min, Input: feature.ListOf(feature.KindInt64)}, "min of list<int64>: expected int64, float64, bool, string or timestamp"},
		{agg.Spec{Op: agg.LastN, Input: feature.Int64}, "last_n needs n from 1 to 1000"},
		{agg.Spec{Op: agg.TopK, N: 1001, Input: feature.Int64}, "top_k needs k from 1 to 1000"},
		{agg.Spec{Op: agg.ApproxQuantile, Quantile: math.NaN(), Input: feature.Int64}, "approx_quantile needs q from 0 to 1"},
		{agg.Spec{Op: agg.ApproxCountDistinct, Precision: 13, Input: feature.Int64}, "approx_count_distinct needs precision from 4 to 12"},
		{agg.Spec{Op: "median", Input: feature.Int64}, `unknown operator "median"`},
	} {
		if _, err := test.spec.Output(); err == nil || err.Error() != test.want {
			t.Errorf("Output(%+v): %v, want %s", test.spec, err, test.want)
		}
	}
	if got, err := (agg.Spec{Op: agg.TopK, N: 3, Input: feature.String}).Output(); err != nil || got != feature.ListOf(feature.KindString) {
		t.Errorf("Output of top_k = %v, %v", got, err)
	}
}
