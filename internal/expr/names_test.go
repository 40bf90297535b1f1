package expr_test

import (
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/internal/expr"
)

func TestNamesOfText(t *testing.T) {
	for text, want := range map[string]string{
		"a + b.c * a":                       "a b.c",
		"lower(s) == 'x' ? nil : -v.x ?? y": "s v.x y",
		"NULL ?? (n in [1, m])":             "n m",
		"not (p and q) or len(list) > 3":    "p q list",
		"1 + 2":                             "",
	} {
		got, err := expr.Names(text)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("Names(%s) = %v, %v; want %s", text, got, err, want)
		}
	}
	if _, err := expr.Names("a +"); err == nil {
		t.Error("Names takes what is no expression")
	}
}

// TestInline replaces whole names: not parts of others, functions, members or text, and also behind characters of several bytes.
func TestInline(t *testing.T) {
	by := func(name string) (string, bool) {
		with, ok := map[string]string{"m": "p - c", "len": "1", "v.x": "a ?? b"}[name]
		return with, ok
	}
	for text, want := range map[string]string{
		"m":                                  "(p - c)",
		"not m or mm > m":                    "not (p - c) or mm > (p - c)",
		"s == 'größer m' and m > len":        "s == 'größer m' and (p - c) > (1)",
		"len(s) + len":                       "len(s) + (1)",
		"x in [m, 'm'] ? v.x : v.m":          "x in [(p - c), 'm'] ? (a ?? b) : v.m",
		"\n  m\n  + m":                       "\n  (p - c)\n  + (p - c)",
		"nothing here":                       "",
		"concat(lower(m), m) ?? 'm(m)' ?? m": "concat(lower((p - c)), (p - c)) ?? 'm(m)' ?? (p - c)",
	} {
		got, err := expr.Inline(text, by)
		if (err != nil) != (want == "") || got != want {
			t.Errorf("Inline(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}
