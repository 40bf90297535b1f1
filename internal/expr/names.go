package expr

import (
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Names returns the names that an expression reads, in order of first use, whatever their types; they need not be there. It fails
// for a text that is not an expression at all.
func Names(text string) ([]string, error) {
	tree, err := parse(text)
	if err != nil {
		return nil, err
	}
	var names []string
	walk(tree, func(_ ast.Node, name string) {
		if !slices.Contains(names, name) && !strings.EqualFold(name, "null") {
			names = append(names, name)
		}
	})
	return names, nil
}

// walk calls f with every name below n, and where it begins.
func walk(n ast.Node, f func(ast.Node, string)) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		f(n, n.Value)
	case *ast.MemberNode:
		of, ok := n.Node.(*ast.IdentifierNode)
		property, also := n.Property.(*ast.StringNode)
		if ok && also {
			f(of, of.Value+"."+property.Value)
		}
	case *ast.UnaryNode:
		walk(n.Node, f)
	case *ast.BinaryNode:
		walk(n.Left, f)
		walk(n.Right, f)
	case *ast.ConditionalNode:
		walk(n.Cond, f)
		walk(n.Exp1, f)
		walk(n.Exp2, f)
	case *ast.CallNode:
		for _, a := range n.Arguments {
			walk(a, f)
		}
	case *ast.ArrayNode:
		for _, e := range n.Nodes {
			walk(e, f)
		}
	}
}
