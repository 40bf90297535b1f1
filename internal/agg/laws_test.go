package agg_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
)

// specs are all operators with all inputs that they take.
func specs() []agg.Spec {
	all := []agg.Spec{{Op: agg.Count}}
	inputs := []feature.Type{feature.Int64, feature.Float64, feature.Bool, feature.String, feature.Timestamp, feature.ListOf(feature.KindInt64)}
	for _, op := range agg.Operators() {
		for _, in := range inputs {
			s := agg.Spec{Op: op, Input: in, N: 3, Quantile: 0.9}
			if _, err := s.Output(); err == nil {
				all = append(all, s)
			}
		}
	}
	return all
}

func value(t feature.Type) *rapid.Generator[feature.Value] {
	if t.List {
		return rapid.Map(rapid.SliceOfN(value(feature.Type{Kind: t.Kind}), 0, 3), func(e []feature.Value) feature.Value { return feature.ListValue(t.Kind, e) })
	}
	switch t.Kind {
	case feature.KindInt64:
		return rapid.Map(rapid.OneOf(rapid.Int64Range(-3, 3), rapid.Int64()), feature.Int64Value)
	case feature.KindFloat64:
		return rapid.Map(rapid.OneOf(rapid.Float64Range(-4, 4), rapid.Float64Range(-1e150, 1e150)), feature.Float64Value)
	case feature.KindBool:
		return rapid.Map(rapid.Bool(), feature.BoolValue)
	case feature.KindString:
		return rapid.Map(rapid.StringN(0, 2, 8), feature.StringValue)
	case feature.KindTimestamp:
		return rapid.Map(rapid.Int64Range(-5, 5), func(n int64) feature.Value { return feature.TimestampValue(feature.Time(n)) })
	default:
		return rapid.Just(feature.Value{})
	}
}

func inputs(t *rapid.T, s agg.Spec) []feature.Value {
	one := rapid.OneOf(value(s.Input), value(s.Input), value(s.Input), rapid.Just(feature.Value{}))
	if s.Input == feature.Float64 { // sums and squares of which leave the range of float64
		one = rapid.OneOf(one, one, rapid.Map(rapid.SampledFrom([]float64{1.7e308, -1.7e308}), feature.Float64Value))
	}
	return rapid.SliceOfN(one, 0, 20).Draw(t, "values")
}

func state(s agg.Spec, values []feature.Value) agg.State {
	st := agg.New(s)
	for _, v := range values {
		st.Add(v)
	}
	return st
}

// TestLaws checks for every operator what the package comment promises.
func TestLaws(t *testing.T) {
	for _, s := range specs() {
		t.Run(fmt.Sprintf("%s/%s", s.Op, s.Input), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				values := inputs(t, s)
				i := rapid.IntRange(0, len(values)).Draw(t, "i")
				j := rapid.IntRange(i, len(values)).Draw(t, "j")
				a, b, c := values[:i], values[i:j], values[j:]
				whole := state(s, values).Value()

				left := state(s, a)
				left.Merge(state(s, b))
				left.Merge(state(s, c))
				same(t, s, values, whole, left.Value(), "(a·b)·c")

				later := state(s, b)
				later.Merge(state(s, c))
				right := state(s, a)
				right.Merge(later)
				same(t, s, values, whole, right.Value(), "a·(b·c)")

				column := feature.Column{Type: s.Input}
				for _, v := range values {
					column.Append(v)
				}
				if s.Input != (feature.Type{}) {
					ranged := agg.New(s)
					for _, r := range [][2]int{{0, i}, {i, j}, {j, len(values)}} {
						agg.AddRange(ranged, &column, r[0], r[1])
					}
					same(t, s, values, whole, ranged.Value(), "ranges of a column")
				}

				before := later.Value()
				right.Merge(state(s, a))
				right.Add(feature.Value{})
				if after := later.Value(); !after.Equal(before) {
					t.Fatalf("a State changed from %s to %s after it was merged into another", before, after)
				}

				decoded := state(s, c)
				bytes := left.Append([]byte("head"))[4:]
				rest, err := decoded.Decode(append(bytes, "tail"...))
				if err != nil || string(rest) != "tail" {
					t.Fatalf("Decode: rest %q, %v", rest, err)
				}
				if got := decoded.Value(); !got.Equal(left.Value()) {
					t.Fatalf("decoded: %s, want %s", got, left.Value())
				}
				decoded.Merge(state(s, a))
				left.Merge(state(s, a))
				if got := decoded.Value(); !got.Equal(left.Value()) {
					t.Fatalf("decoded, and merged: %s, want %s", got, left.Value())
				}

				left.Reset()
				for _, v := range values {
					left.Add(v)
				}
				same(t, s, values, whole, left.Value(), "after Reset")
			})
		})
	}
}

// same compares by rule V3.
func same(t *rapid.T, s agg.Spec, values []feature.Value, want, got feature.Value, how string) {
	t.Helper()
	if got.Equal(want) {
		return
	}
	var magnitude, mean, n float64
	for _, v := range values {
		if v.IsNull() {
			continue
		}
		x := v.Float64()
		if s.Input.Kind == feature.KindInt64 {
			x = float64(v.Int64())
		}
		magnitude += math.Abs(x)
		mean += x
		n++
	}
	mean /= n
	tolerance := math.Inf(-1)
	switch s.Op {
	case agg.Sum:
		if s.Input.Kind == feature.KindFloat64 {
			tolerance = 1e-9 * magnitude
		}
	case agg.Avg:
		tolerance = 1e-9 * magnitude / n
	case agg.VarPop, agg.VarSamp:
		tolerance = 1e-9 * (math.Abs(want.Float64()) + mean*mean)
	case agg.StddevPop, agg.StddevSamp:
		tolerance = 1e-9 * (math.Abs(want.Float64()) + math.Abs(mean)) * 1e5 // of the root, where the variance is near 0
	default:
	}
	if want.IsNull() || got.IsNull() || !(math.Abs(want.Float64()-got.Float64()) <= tolerance) {
		t.Fatalf("%s of %v, %s: %s, want %s", s.Op, values, how, got, want)
	}
}

// TestExact compares sums, averages and variances with big numbers.
func TestExact(t *testing.T) {
	for _, in := range []feature.Type{feature.Int64, feature.Float64} {
		rapid.Check(t, func(t *rapid.T) {
			var values []feature.Value
			sum, squares := new(big.Float).SetPrec(2000), new(big.Float).SetPrec(2000)
			for _, v := range rapid.SliceOfN(value(in), 1, 30).Draw(t, "values") {
				x := new(big.Float).SetPrec(2000)
				if in.Kind == feature.KindInt64 {
					x.SetInt64(v.Int64())
				} else {
					x.SetFloat64(v.Float64())
				}
				values = append(values, v)
				sum.Add(sum, x)
				squares.Add(squares, new(big.Float).SetPrec(2000).Mul(x, x))
			}
			n := new(big.Float).SetInt64(int64(len(values)))
			mean := new(big.Float).SetPrec(2000).Quo(sum, n)
			variance := new(big.Float).SetPrec(2000).Quo(squares, n)
			variance.Sub(variance, new(big.Float).SetPrec(2000).Mul(mean, mean))
			for op, want := range map[agg.Operator]*big.Float{agg.Avg: mean, agg.VarPop: variance} {
				f, _ := want.Float64()
				s := agg.Spec{Op: op, Input: in}
				same(t, s, values, feature.Float64Value(f), state(s, values).Value(), "in big numbers")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	all := specs()
	for i, s := range all {
		st := agg.New(s)
		f.Add(uint8(i), st.Append(nil))
		for _, text := range []string{"a", "bb", "a"} {
			switch {
			case s.Input.List:
				st.Add(feature.ListValue(feature.KindInt64, []feature.Value{feature.Int64Value(7)}))
			case s.Input.Kind == feature.KindString:
				st.Add(feature.StringValue(text))
			case s.Input.Kind == feature.KindFloat64:
				st.Add(feature.Float64Value(float64(len(text)) / 3))
			case s.Input.Kind == feature.KindBool:
				st.Add(feature.BoolValue(len(text) == 1))
			case s.Input.Kind == feature.KindTimestamp:
				st.Add(feature.TimestampValue(feature.Time(len(text))))
			default:
				st.Add(feature.Int64Value(int64(len(text))))
			}
		}
		f.Add(uint8(i), st.Append(nil))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		s := all[int(which)%len(all)]
		st := agg.New(s)
		if _, err := st.Decode(b); err != nil {
			return
		}
		again := agg.New(s)
		if rest, err := again.Decode(st.Append(nil)); err != nil || len(rest) > 0 {
			t.Fatalf("%s: decode what was encoded: %d bytes left, %v", s.Op, len(rest), err)
		}
		if !again.Value().Equal(st.Value()) {
			t.Fatalf("%s: %s, want %s", s.Op, again.Value(), st.Value())
		}
	})
}

// TestBins walks over bins in order of their numbers.
func TestBins(t *testing.T) {
	numbers := []float64{-math.MaxFloat64, -1e10, -2, -1.5, -1, -1e-300, 0, 1e-300, 0.5, 1, 1.5, 2, 3, 1000, math.MaxFloat64}
	for _, precision := range []int{1, 7, 12} {
		var found []uint32
		for _, x := range numbers {
			bin := agg.Bin(x, precision)
			found = append(found, bin)
			if got := agg.BinValue(bin, precision); math.Abs(got) > math.Abs(x) || math.Abs(got-x) > math.Abs(x)*math.Exp2(-float64(precision)) {
				t.Errorf("BinValue(Bin(%g, %d)) = %g", x, precision, got)
			}
		}
		if !slices.IsSorted(found) {
			t.Errorf("precision %d: bins %v of %v are not in order", precision, found, numbers)
		}
	}
	if agg.Bin(math.Copysign(0, -1), 7) != agg.Bin(0, 7) {
		t.Errorf("the bins of -0 and 0 differ")
	}
}
