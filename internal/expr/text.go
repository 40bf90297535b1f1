package expr

import (
	"strings"
	"unicode/utf8"

	"github.com/lockstepfs/lockstep/feature"
)

func texts() []function {
	text := func(name, sql string, f func(string) string) function {
		return function{
			name: name, args: 1, takes: "string", check: all(feature.String, feature.String),
			eval: same(func(a, _ feature.Value) feature.Value { return feature.StringValue(f(a.Str())) }),
			sql:  func(_ *renderer, args []string, _ []feature.Type) string { return sql + "(" + args[0] + ")" },
		}
	}
	test := func(name string, holds func(s, part string) bool, sql func(s, part string) string) function {
		return function{
			name: name, args: 2, operator: true, takes: "string", check: all(feature.Bool, feature.String),
			eval: same(func(a, b feature.Value) feature.Value { return feature.BoolValue(holds(a.Str(), b.Str())) }),
			sql:  func(_ *renderer, args []string, _ []feature.Type) string { return sql(args[0], args[1]) },
		}
	}
	return []function{
		text("lower", "lower", func(s string) string { return mapASCII(s, 'A', 'a') }),
		text("upper", "upper", func(s string) string { return mapASCII(s, 'a', 'A') }),
		test("contains", strings.Contains, func(s, part string) string { return "(position(" + s + ", " + part + ") > 0)" }),
		test("startsWith", strings.HasPrefix, func(s, part string) string { return "startsWith(" + s + ", " + part + ")" }),
		test("endsWith", strings.HasSuffix, func(s, part string) string { return "endsWith(" + s + ", " + part + ")" }),
		{
			name: "concat", args: 2, takes: "string", check: all(feature.String, feature.String),
			eval: same(func(a, b feature.Value) feature.Value { return feature.StringValue(a.Str() + b.Str()) }),
			sql: func(_ *renderer, args []string, _ []feature.Type) string {
				return "concat(" + args[0] + ", " + args[1] + ")"
			},
		},
		length(), toString(),
	}
}

// mapASCII moves the 26 letters from one case to the other and leaves every other character alone (rule D2).
func mapASCII(s string, from, to byte) string {
	return strings.Map(func(r rune) rune {
		if r >= rune(from) && r < rune(from)+26 {
			return r - rune(from) + rune(to)
		}
		return r
	}, s)
}

// length counts the characters of a string, or the elements of a list.
func length() function {
	return function{
		name: "len", args: 1, lists: true, takes: "a string or a list",
		check: func(t []feature.Type) (feature.Type, bool) { return feature.Int64, t[0] == feature.String || t[0].List },
		eval: func(types []feature.Type) func(a, b feature.Value) feature.Value {
			if types[0].List {
				return func(a, _ feature.Value) feature.Value { return feature.Int64Value(int64(len(a.List()))) }
			}
			return func(a, _ feature.Value) feature.Value {
				return feature.Int64Value(int64(utf8.RuneCountInString(a.Str())))
			}
		},
		sql: func(_ *renderer, args []string, _ []feature.Type) string {
			return "toInt64(lengthUTF8(" + args[0] + "))"
		},
	}
}

func toString() function {
	return function{
		name: "toString", args: 1, takes: "int64, bool or string", check: all(feature.String, feature.Int64, feature.Bool, feature.String),
		eval: same(func(a, _ feature.Value) feature.Value { return feature.StringValue(a.Text()) }),
		sql: func(r *renderer, args []string, types []feature.Type) string {
			if types[0] == feature.Bool {
				a, again := r.twice(args[0])
				return "multiIf(isNull(" + a + "), " + null(feature.String) + ", " + again + ", 'true', 'false')"
			}
			return "toString(" + args[0] + ")"
		},
	}
}
