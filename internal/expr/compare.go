package expr

import (
	"math"

	"github.com/lockstepfs/lockstep/feature"
)

func comparisons() []function {
	return []function{
		comparison("==", "=", func(c int) bool { return c == 0 }),
		comparison("!=", "!=", func(c int) bool { return c != 0 }),
		comparison("<", "<", func(c int) bool { return c < 0 }),
		comparison("<=", "<=", func(c int) bool { return c <= 0 }),
		comparison(">", ">", func(c int) bool { return c > 0 }),
		comparison(">=", ">=", func(c int) bool { return c >= 0 }),
	}
}

// comparison is of two values of one type, or of int64 and float64, which is exact (rule D2). Strings compare by bytes, false
// is below true.
func comparison(name, op string, holds func(c int) bool) function {
	alike := all(feature.Bool, feature.Int64, feature.Float64, feature.Bool, feature.String, feature.Timestamp)
	return function{
		name: name, args: 2, operator: true, takes: "two values of one type, or two numbers",
		check: func(t []feature.Type) (feature.Type, bool) {
			if t[0] == feature.Int64 && t[1] == feature.Float64 || t[0] == feature.Float64 && t[1] == feature.Int64 {
				return feature.Bool, true
			}
			return alike(t)
		},
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			compare := feature.Compare
			switch types[0] {
			case types[1]:
			case feature.Int64:
				compare = func(a, b feature.Value) int { return compareMixed(a.Int64(), b.Float64()) }
			default:
				compare = func(a, b feature.Value) int { return -compareMixed(b.Int64(), a.Float64()) }
			}
			return func(a, b feature.Value) feature.Value { return feature.BoolValue(holds(compare(a, b))) }
		},
		sql: func(_ *renderer, args []string, _ []feature.Type) string {
			return "(" + args[0] + " " + op + " " + args[1] + ")"
		},
	}
}

// compareMixed compares without rounding.
func compareMixed(a int64, b float64) int {
	switch {
	case b >= 1<<63:
		return -1
	case b < -(1 << 63):
		return 1
	}
	whole, fraction := math.Modf(b)
	switch w := int64(whole); {
	case a < w:
		return -1
	case a > w:
		return 1
	case fraction > 0:
		return -1
	case fraction < 0:
		return 1
	default:
		return 0
	}
}
