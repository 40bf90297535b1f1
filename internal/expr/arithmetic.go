package expr

import (
	"math"

	"github.com/lockstepfs/lockstep/feature"
)

const numbers = "int64 or float64"

// numeric is an operator that exists for int64 and for float64.
func numeric(name, op string, whole func(a, b int64) int64, float func(a, b float64) float64) function {
	return function{
		name: name, args: 2, operator: true, mixed: true, takes: numbers, check: all(feature.Type{}, feature.Int64, feature.Float64),
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			if types[0] == feature.Int64 {
				return func(a, b feature.Value) feature.Value { return feature.Int64Value(whole(a.Int64(), b.Int64())) }
			}
			return func(a, b feature.Value) feature.Value { return feature.Float64Value(float(a.Float64(), b.Float64())) }
		},
		sql: func(r *renderer, args []string, types []feature.Type) string {
			sql := "(" + args[0] + " " + op + " " + args[1] + ")"
			if types[0] == feature.Int64 {
				return sql
			}
			return finite(r, sql)
		},
	}
}

// floating is a function of float64, to which int64 is converted.
func floating(name string, f func(float64) float64, sql string) function {
	fn := function{
		name: name, args: 1, takes: numbers, check: all(feature.Float64, feature.Int64, feature.Float64),
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			if types[0] == feature.Int64 {
				return func(a, _ feature.Value) feature.Value { return feature.Float64Value(f(float64(a.Int64()))) }
			}
			return func(a, _ feature.Value) feature.Value { return feature.Float64Value(f(a.Float64())) }
		},
	}
	if sql != "" {
		fn.sql = func(r *renderer, args []string, _ []feature.Type) string {
			return finite(r, sql+"(toFloat64("+args[0]+"))")
		}
	}
	return fn
}

// pick is min or max of two.
func pick(name, op string, second func(c int) bool) function {
	return function{
		name: name, args: 2, mixed: true, takes: "two numbers, two strings or two timestamps", check: all(feature.Type{}, feature.Int64, feature.Float64, feature.String, feature.Timestamp),
		eval: same(func(a, b feature.Value) feature.Value {
			if second(feature.Compare(a, b)) {
				return b
			}
			return a
		}),
		sql: func(r *renderer, args []string, types []feature.Type) string {
			a, again := r.twice(args[0])
			b, other := r.twice(args[1])
			return "if(isNull(" + a + " " + op + " " + b + "), " + null(types[0]) + ", if(" + again + " " + op + " " + other + ", " + other + ", " + again + "))"
		},
	}
}

func arithmetic() []function {
	return []function{
		numeric("+", "+", func(a, b int64) int64 { return a + b }, func(a, b float64) float64 { return a + b }),
		subtraction(),
		numeric("*", "*", func(a, b int64) int64 { return a * b }, func(a, b float64) float64 { return a * b }),
		division(), remainder(), wholeDivision(), negation(), absolute(),
		floating("sqrt", math.Sqrt, "sqrt"), floating("floor", math.Floor, "floor"), floating("ceil", math.Ceil, "ceil"),
		floating("round", math.RoundToEven, "roundBankers"),
		pick("min", ">", func(c int) bool { return c > 0 }), pick("max", "<", func(c int) bool { return c < 0 }),
		toInt64(), toFloat64(),
	}
}

// division is of float64 always (rule D2).
func division() function {
	return function{
		name: "/", args: 2, operator: true, takes: numbers,
		check: func(t []feature.Type) (feature.Type, bool) {
			_, first := all(feature.Float64, feature.Int64, feature.Float64)(t[:1])
			_, second := all(feature.Float64, feature.Int64, feature.Float64)(t[1:])
			return feature.Float64, first && second
		},
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			x, y := asFloat(types[0]), asFloat(types[1])
			return func(a, b feature.Value) feature.Value { return feature.Float64Value(x(a) / y(b)) }
		},
		sql: func(r *renderer, args []string, _ []feature.Type) string {
			return finite(r, "toFloat64("+args[0]+") / toFloat64("+args[1]+")")
		},
	}
}

func asFloat(t feature.Type) func(feature.Value) float64 {
	if t == feature.Int64 {
		return func(v feature.Value) float64 { return float64(v.Int64()) }
	}
	return feature.Value.Float64
}

const minInt64 = "toInt64('-9223372036854775808')"

// divided is an operation on int64 that is NULL for a divisor of 0. The engine refuses the divisors −1 and MinInt64, at least
// for some dividends: minusOne and lowest give the results of these from the dividend.
func divided(sqlName string, minusOne, lowest func(a string) string) func(*renderer, []string, []feature.Type) string {
	return func(r *renderer, args []string, _ []feature.Type) string {
		a, again := r.twice(args[0])
		b, divisor := r.twice(args[1])
		safe := "if(" + divisor + " IN (0, -1, " + minInt64 + "), toInt64(1), " + divisor + ")"
		return "multiIf(isNull(" + a + ") OR isNull(" + b + ") OR " + divisor + " = 0, " + null(feature.Int64) + ", " +
			divisor + " = -1, " + minusOne(again) + ", " +
			divisor + " = " + minInt64 + ", " + lowest(again) + ", toInt64(" + sqlName + "(" + again + ", " + safe + ")))"
	}
}

func remainder() function {
	return function{
		name: "%", args: 2, operator: true, takes: "int64", check: all(feature.Int64, feature.Int64),
		eval: same(func(a, b feature.Value) feature.Value {
			if b.Int64() == 0 {
				return feature.Value{}
			}
			return feature.Int64Value(a.Int64() % b.Int64())
		}),
		sql: divided("modulo", func(a string) string { return "0 * " + a },
			func(a string) string { return "if(" + a + " = " + minInt64 + ", toInt64(0), " + a + ")" }),
	}
}

func wholeDivision() function {
	return function{
		name: "intDiv", args: 2, takes: "int64", check: all(feature.Int64, feature.Int64),
		eval: same(func(a, b feature.Value) feature.Value {
			switch b.Int64() {
			case 0:
				return feature.Value{}
			case -1:
				return feature.Int64Value(-a.Int64()) // MinInt64 wraps
			default:
				return feature.Int64Value(a.Int64() / b.Int64())
			}
		}),
		sql: divided("intDiv", func(a string) string { return "negate(" + a + ")" },
			func(a string) string { return "toInt64(" + a + " = " + minInt64 + ")" }),
	}
}

func negation() function {
	return function{
		name: "neg", args: 1, operator: true, takes: numbers, check: all(feature.Type{}, feature.Int64, feature.Float64),
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			if types[0] == feature.Int64 {
				return func(a, _ feature.Value) feature.Value { return feature.Int64Value(-a.Int64()) }
			}
			return func(a, _ feature.Value) feature.Value { return feature.Float64Value(-a.Float64()) }
		},
		sql: func(_ *renderer, args []string, types []feature.Type) string {
			if types[0] == feature.Int64 {
				return "negate(" + args[0] + ")"
			}
			return "(negate(" + args[0] + ") + toFloat64(0))"
		},
	}
}

func absolute() function {
	return function{
		name: "abs", args: 1, takes: numbers, check: all(feature.Type{}, feature.Int64, feature.Float64),
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			if types[0] == feature.Int64 {
				return func(a, _ feature.Value) feature.Value { return feature.Int64Value(max(a.Int64(), -a.Int64())) }
			}
			return func(a, _ feature.Value) feature.Value { return feature.Float64Value(math.Abs(a.Float64())) }
		},
		sql: func(_ *renderer, args []string, types []feature.Type) string {
			if types[0] == feature.Int64 {
				return "toInt64(abs(" + args[0] + "))" // abs is a UInt64, which wraps back
			}
			return "abs(" + args[0] + ")"
		},
	}
}

func toInt64() function {
	return function{
		name: "toInt64", args: 1, takes: "int64, float64 or bool", check: all(feature.Int64, feature.Int64, feature.Float64, feature.Bool),
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			switch types[0] {
			case feature.Float64:
				return func(a, _ feature.Value) feature.Value {
					if x := a.Float64(); x >= -(1<<63) && x < 1<<63 {
						return feature.Int64Value(int64(x))
					}
					return feature.Value{}
				}
			case feature.Bool:
				return func(a, _ feature.Value) feature.Value {
					if a.Bool() {
						return feature.Int64Value(1)
					}
					return feature.Int64Value(0)
				}
			default:
				return func(a, _ feature.Value) feature.Value { return a }
			}
		},
		sql: func(r *renderer, args []string, types []feature.Type) string {
			if types[0] != feature.Float64 {
				return "toInt64(" + args[0] + ")"
			}
			a, again := r.twice(args[0])
			return "if(" + a + " >= -9223372036854775808. AND " + again + " < 9223372036854775808., toInt64(if(abs(" + again + ") <= 9223372036854775808., " + again + ", 0.)), " + null(feature.Int64) + ")"
		},
	}
}

func toFloat64() function {
	return function{
		name: "toFloat64", args: 1, takes: numbers, check: all(feature.Float64, feature.Int64, feature.Float64),
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			x := asFloat(types[0])
			return func(a, _ feature.Value) feature.Value { return feature.Float64Value(x(a)) }
		},
		sql: func(_ *renderer, args []string, _ []feature.Type) string { return "toFloat64(" + args[0] + ")" },
	}
}

// transcendental functions are computed by Go alone: libraries differ in their last bit.
func transcendental() []function {
	return []function{
		floating("exp", math.Exp, ""), floating("ln", math.Log, ""), floating("log2", math.Log2, ""), floating("log10", math.Log10, ""),
		{
			name: "pow", args: 2, mixed: true, takes: numbers, check: all(feature.Float64, feature.Int64, feature.Float64),
			eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
				x := asFloat(types[0])
				return func(a, b feature.Value) feature.Value { return feature.Float64Value(math.Pow(x(a), x(b))) }
			},
		},
	}
}
