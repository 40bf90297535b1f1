package expr_test

import (
	"math"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/expr"
)

func TestCompile(t *testing.T) {
	i, x, b, s := feature.Int64Value, feature.Float64Value, feature.BoolValue, feature.StringValue
	null := feature.Value{}
	row := []feature.Value{i(7), null, x(2.5), null, b(true), null, s("Zürich"), null, feature.TimestampValue(-1), feature.TimestampValue(86_400_000_000)}
	for _, test := range []struct {
		text string
		want feature.Value
	}{
		{"7 / 2", x(3.5)},
		{"i / 0", null},
		{"i % 0", null},
		{"intDiv(-7, 2)", i(-3)},
		{"-7 % 3", i(-1)},
		{"intDiv(-9223372036854775807 - 1, -1)", i(math.MinInt64)},
		{"9223372036854775807 + 1", i(math.MinInt64)},
		{"9007199254740993 == 9007199254740992.0", b(false)},
		{"1 == 1.0", b(true)},
		{"j + 1", null},
		{"j == 1", null},
		{"j == 1 or true", b(true)},
		{"j == 1 and false", b(false)},
		{"j == 1 and true", null},
		{"not c", null},
		{"isNull(j)", b(true)},
		{"j ?? 5", i(5)},
		{"y ?? i", x(7)},
		{"c ? 1 : 2", i(2)},
		{"b ? nil : 2", null},
		{"b ? x : 1", x(2.5)},
		{"round(x)", x(2)},
		{"round(3.5)", x(4)},
		{"1e308 * 10", null},
		{"-0.0", x(0)},
		{"len(s)", i(6)},
		{"lower(s)", s("zürich")},
		{"upper('zÜ')", s("ZÜ")},
		{"s contains 'ric'", b(true)},
		{"s in ['Bern', 'Zürich']", b(true)},
		{"i not in [1, 2]", b(true)},
		{"1 < x && x < 3", b(true)},
		{"v - t", i(86_400_000_001)},
		{"hour(t)", i(23)},
		{"year(t)", i(1969)},
		{"dayOfWeek(v)", i(5)},
		{"pow(2, 10)", x(1024)},
		{"ln(0)", null},
		{"NULL ?? 3", i(3)},
	} {
		e, err := expr.Parse(test.text, typeOf)
		if err != nil {
			t.Errorf("Parse(%s): %v", test.text, err)
			continue
		}
		got := e.Compile(names())(row)
		if !got.Equal(test.want) {
			t.Errorf("%s = %s, want %s", test.text, got, test.want)
		}
		if !got.IsNull() && got.Type() != e.Type() {
			t.Errorf("%s is a %s: its type says %s", test.text, got.Type(), e.Type())
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "the expression is empty"},
		{"i +", "line 1, column 3: unexpected token EOF"},
		{"i +\n  nope", "line 2, column 3: unknown name nope"},
		{"i + s", "line 1, column 3: + of int64 and string: expected int64 or float64"},
		{"s > 1", "line 1, column 3: > of string and int64: expected two values of one type, or two numbers"},
		{"i ? 1 : 2", "line 1, column 9: ?: of int64 and int64 and int64: expected a bool, and two values of one type"},
		{"now()", "line 1, column 1: unknown function now: expected one of abs, ceil"},
		{"intDiv(i)", "line 1, column 1: intDiv takes 2 arguments, not 1"},
		{"j == nil", "line 1, column 3: == of NULL is always NULL: to ask whether x is NULL write isNull(x)"},
		{"nil", "the expression is always NULL"},
		{"a.b.c", "line 1, column 5: expected a name, or two joined by a dot"},
		{"i matches 'x'", "line 1, column 3: operator matches is not part of the language"},
		{"[1, 2]", "line 1, column 1: this is not part of the language"},
		{"filter([1], # > 0)", "line 1, column 1: this is not part of the language"},
		{"i in j", "line 1, column 6: expected a list after in"},
		{"let q = 1; q", "this is not part of the language"},
		{strings.Repeat("(", 5000), "at most 4096 are taken"},
		{strings.Repeat("i+", 600) + "i", "exceeds maximum allowed nodes"},
	} {
		_, err := expr.Parse(test.text, typeOf)
		if feature.CodeOf(err) != feature.CodeInvalid || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Parse(%.40q): %v, want %s", test.text, err, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	views := func(name string) (feature.Type, bool) {
		return feature.Int64, name == "departures.flights_3h" || name == "planned"
	}
	e, err := expr.Parse("departures.flights_3h > 100 and planned > departures.flights_3h", views)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(e.Names(), " "); got != "departures.flights_3h planned" || e.Type() != feature.Bool {
		t.Errorf("reads %s and is a %s", got, e.Type())
	}
	row := []feature.Value{feature.Int64Value(150), feature.Int64Value(101)}
	if got := e.Compile([]string{"planned", "departures.flights_3h"})(row); !got.Bool() {
		t.Errorf("of planned 150 and flights 101: %s", got)
	}
}

func TestOnlyGo(t *testing.T) {
	e, err := expr.Parse("ln(x) > 1", typeOf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.SQL("_e", func(n string) string { return n }); feature.CodeOf(err) != feature.CodeInvalid {
		t.Errorf("SQL of ln: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"i + 1", "x > 2.5 and not b", "s in ['a', \"b\"]", "c ? i : nil", "(((", "a.b ?? 1", "v - t", "`", "i not in [1]", "1 < i < 3", "\xff", "let a = 1; a"} {
		f.Add(text)
	}
	row := make([]feature.Value, len(columns))
	f.Fuzz(func(t *testing.T, text string) {
		e, err := expr.Parse(text, typeOf)
		if err != nil {
			if feature.CodeOf(err) != feature.CodeInvalid {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		e.Compile(names())(row)
		_, _ = e.SQL("_e", func(n string) string { return n })
	})
}

func BenchmarkCompiled(b *testing.B) {
	e, err := expr.Parse("i > 5 and x < 100 or s == 'Bern'", typeOf)
	if err != nil {
		b.Fatal(err)
	}
	f := e.Compile(names())
	row := make([]feature.Value, len(columns))
	row[0], row[2] = feature.Int64Value(7), feature.Float64Value(3)
	b.ReportAllocs()
	for b.Loop() {
		f(row)
	}
}
