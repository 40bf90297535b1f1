package agg

import (
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// Operator names an operator of rule W4, as definitions write it.
type Operator string

// The operators.
const (
	Count               Operator = "count"
	Sum                 Operator = "sum"
	Avg                 Operator = "avg"
	Min                 Operator = "min"
	Max                 Operator = "max"
	VarPop              Operator = "var_pop"
	VarSamp             Operator = "var_samp"
	StddevPop           Operator = "stddev_pop"
	StddevSamp          Operator = "stddev_samp"
	First               Operator = "first"
	Last                Operator = "last"
	FirstN              Operator = "first_n"
	LastN               Operator = "last_n"
	CountDistinct       Operator = "count_distinct"
	TopK                Operator = "top_k"
	ApproxCountDistinct Operator = "approx_count_distinct"
	ApproxQuantile      Operator = "approx_quantile"
)

// Operators returns all operators, in the order of rule W4.
func Operators() []Operator {
	return []Operator{
		Count, Sum, Avg, Min, Max, VarPop, VarSamp, StddevPop, StddevSamp, First, Last, FirstN, LastN,
		CountDistinct, TopK, ApproxCountDistinct, ApproxQuantile,
	}
}

// Limits and defaults of parameters.
const (
	MaxN                = 1000 // of first_n, last_n and top_k
	MinRegisterBits     = 4    // precision of approx_count_distinct
	MaxRegisterBits     = 12
	DefaultRegisterBits = 11 // 2,048 registers: a standard error of 2.3 %
	MinMantissaBits     = 1  // precision of approx_quantile
	MaxMantissaBits     = 12
	DefaultMantissaBits = 7 // an error below 0.8 % of the value
)

// Spec is an operator with its input and parameters.
type Spec struct {
	Op        Operator
	Input     feature.Type // of the values added; the zero Type for count "*", which counts events
	N         int          // first_n, last_n: how many; top_k: k
	Quantile  float64      // approx_quantile: q, from 0 to 1
	Precision int          // approx_count_distinct, approx_quantile: bits; 0 means the default
}

// SpecOf returns the Spec of a window whose input column has a type; that of feature.AnyEvent is bool.
func SpecOf(w *feature.Window, input feature.Type) Spec {
	s := Spec{Op: Operator(w.Operator), Input: input, N: w.N, Quantile: w.Quantile, Precision: w.Precision}
	if w.Input == feature.AnyEvent && w.Where == "" {
		s.Input = feature.Type{}
	}
	return s.WithDefaults()
}

// WithDefaults returns s with the parameters that were left out.
func (s Spec) WithDefaults() Spec {
	if s.Precision != 0 {
		return s
	}
	switch s.Op {
	case ApproxCountDistinct:
		s.Precision = DefaultRegisterBits
	case ApproxQuantile:
		s.Precision = DefaultMantissaBits
	default:
	}
	return s
}

var (
	numbers = []feature.Kind{feature.KindInt64, feature.KindFloat64}
	scalars = []feature.Kind{feature.KindInt64, feature.KindFloat64, feature.KindBool, feature.KindString, feature.KindTimestamp}
)

// Output returns the type of the result, or an error with feature.CodeInvalid that says what the operator takes instead.
func (s Spec) Output() (feature.Type, error) {
	if err := s.parameters(); err != nil {
		return feature.Type{}, err
	}
	in := s.Input
	if in == (feature.Type{}) && s.Op != Count {
		return feature.Type{}, feature.Errorf(feature.CodeInvalid, `%s needs a column: only count takes "*"`, s.Op)
	}
	takes := func(kinds []feature.Kind, out feature.Type) (feature.Type, error) {
		if in.List || !slices.Contains(kinds, in.Kind) {
			return feature.Type{}, feature.Errorf(feature.CodeInvalid, "%s of %s: expected %s", s.Op, in, oneOf(kinds))
		}
		return out, nil
	}
	switch s.Op {
	case Count:
		return feature.Int64, nil
	case Sum:
		return takes(numbers, in)
	case Avg, VarPop, VarSamp, StddevPop, StddevSamp, ApproxQuantile:
		return takes(numbers, feature.Float64)
	case Min, Max:
		return takes(scalars, in)
	case First, Last:
		return in, nil
	case FirstN, LastN, TopK:
		return takes(scalars, feature.ListOf(in.Kind))
	case CountDistinct, ApproxCountDistinct:
		return takes(scalars, feature.Int64)
	default:
		return feature.Type{}, feature.Errorf(feature.CodeInvalid, "unknown operator %q", s.Op)
	}
}

func oneOf(kinds []feature.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

func (s Spec) parameters() error {
	s = s.WithDefaults()
	wrong := func(name string, low, high any) error {
		return feature.Errorf(feature.CodeInvalid, "%s needs %s from %v to %v", s.Op, name, low, high)
	}
	switch s.Op {
	case FirstN, LastN:
		if s.N < 1 || s.N > MaxN {
			return wrong("n", 1, MaxN)
		}
	case TopK:
		if s.N < 1 || s.N > MaxN {
			return wrong("k", 1, MaxN)
		}
	case ApproxCountDistinct:
		if s.Precision < MinRegisterBits || s.Precision > MaxRegisterBits {
			return wrong("precision", MinRegisterBits, MaxRegisterBits)
		}
	case ApproxQuantile:
		if !(s.Quantile >= 0 && s.Quantile <= 1) {
			return wrong("q", 0, 1)
		}
		if s.Precision < MinMantissaBits || s.Precision > MaxMantissaBits {
			return wrong("precision", MinMantissaBits, MaxMantissaBits)
		}
	default:
	}
	return nil
}

// Ordered reports whether the result depends on the order of events.
func (o Operator) Ordered() bool { return o == First || o == Last || o == FirstN || o == LastN }

// Bounded reports whether a State has a size that no number of events exceeds.
func (o Operator) Bounded() bool { return o != CountDistinct && o != TopK }
