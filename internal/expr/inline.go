package expr

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Inline returns the text with every name for which by has an expression replaced by that, in parentheses. Text and replacements
// must be expressions.
func Inline(text string, by func(name string) (string, bool)) (string, error) {
	tree, err := parse(text)
	if err != nil {
		return "", err
	}
	type place struct {
		at   int
		name string
	}
	var places []place
	walk(tree, func(n ast.Node, name string) {
		if _, ok := by(name); ok {
			places = append(places, place{n.Location().From, name})
		}
	})
	slices.SortFunc(places, func(a, b place) int { return a.at - b.at })
	runes, from := []rune(text), 0 // locations count characters
	var b strings.Builder
	for _, p := range places {
		with, _ := by(p.name)
		b.WriteString(string(runes[from:p.at]) + "(" + with + ")")
		from = p.at + len([]rune(p.name))
	}
	return b.String() + string(runes[from:]), nil
}
