package expr

import "github.com/lockstepfs/lockstep/feature"

func logic() []function {
	return []function{and(), or(), not(), conditional(), coalesce(), nullTest("isNull", true), nullTest("isNotNull", false)}
}

// and is false where either side is, NULL or not (three-valued logic, rule D2).
func and() function { return connective("and", "AND", false) }

// or is true where either side is.
func or() function { return connective("or", "OR", true) }

// connective is decided by either side being decisive; else it is NULL where either side is.
func connective(name, op string, decisive bool) function {
	return function{
		name: name, args: 2, operator: true, takes: "bool", check: boolish,
		lazy: func(args []Func) Func {
			a, b := args[0], args[1]
			return func(row []feature.Value) feature.Value {
				x := a(row)
				if !x.IsNull() && x.Bool() == decisive {
					return x
				}
				y := b(row)
				if x.IsNull() && (y.IsNull() || y.Bool() != decisive) {
					return feature.Value{}
				}
				return y
			}
		},
		sql: func(_ *renderer, args []string, _ []feature.Type) string {
			return "(" + args[0] + " " + op + " " + args[1] + ")"
		},
	}
}

func boolish(types []feature.Type) (feature.Type, bool) {
	for _, t := range types {
		if t != feature.Bool && t != (feature.Type{}) {
			return feature.Type{}, false
		}
	}
	return feature.Bool, true
}

func not() function {
	return function{
		name: "not", args: 1, operator: true, takes: "bool", check: all(feature.Bool, feature.Bool),
		eval: same(func(a, _ feature.Value) feature.Value { return feature.BoolValue(!a.Bool()) }),
		sql:  func(_ *renderer, args []string, _ []feature.Type) string { return "(NOT (" + args[0] + "))" },
	}
}

// conditional is a ? b : c; NULL is not true.
func conditional() function {
	return function{
		name: "?:", args: 3, operator: true, mixed: true, takes: "a bool, and two values of one type",
		check: func(t []feature.Type) (feature.Type, bool) {
			if t[0] != feature.Bool {
				return feature.Type{}, false
			}
			return either(t[1], t[2])
		},
		lazy: func(args []Func) Func {
			test, yes, no := args[0], args[1], args[2]
			return func(row []feature.Value) feature.Value {
				if v := test(row); !v.IsNull() && v.Bool() {
					return yes(row)
				}
				return no(row)
			}
		},
		sql: func(_ *renderer, args []string, t []feature.Type) string {
			return "if(ifNull(" + args[0] + ", false), " + nullable(args[1], t[1], t[2]) + ", " + nullable(args[2], t[2], t[1]) + ")"
		},
	}
}

// either is the type of what is one of two; NULL takes on the other's.
func either(a, b feature.Type) (feature.Type, bool) {
	switch {
	case a == (feature.Type{}):
		return b, true
	case b == (feature.Type{}), a == b:
		return a, true
	default:
		return feature.Type{}, false
	}
}

// nullable gives the literal NULL the type of the other side.
func nullable(sql string, t, other feature.Type) string {
	if t != (feature.Type{}) {
		return sql
	}
	return null(other)
}

// coalesce is a ?? b: b where a is NULL.
func coalesce() function {
	return function{
		name: "??", args: 2, operator: true, mixed: true, takes: "two values of one type",
		check: func(t []feature.Type) (feature.Type, bool) { return either(t[0], t[1]) },
		lazy: func(args []Func) Func {
			a, b := args[0], args[1]
			return func(row []feature.Value) feature.Value {
				if v := a(row); !v.IsNull() {
					return v
				}
				return b(row)
			}
		},
		sql: func(_ *renderer, args []string, t []feature.Type) string {
			return "coalesce(" + nullable(args[0], t[0], t[1]) + ", " + nullable(args[1], t[1], t[0]) + ")"
		},
	}
}

func nullTest(name string, want bool) function {
	return function{
		name: name, args: 1, lists: true, takes: "a value", check: func([]feature.Type) (feature.Type, bool) { return feature.Bool, true },
		lazy: func(args []Func) Func {
			a := args[0]
			return func(row []feature.Value) feature.Value { return feature.BoolValue(a(row).IsNull() == want) }
		},
		sql: func(_ *renderer, args []string, _ []feature.Type) string { return name + "(" + args[0] + ")" },
	}
}
