package expr

import (
	"errors"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/lockstepfs/lockstep/feature"
)

// maxNodes bounds the work that an expression makes.
const maxNodes = 500

func parse(text string) (ast.Node, error) {
	if len(text) > MaxLength {
		return nil, feature.Errorf(feature.CodeInvalid, "an expression of %d bytes: at most %d are taken", len(text), MaxLength)
	}
	if strings.TrimSpace(text) == "" {
		return nil, feature.Errorf(feature.CodeInvalid, "the expression is empty")
	}
	config := &conf.Config{MaxNodes: maxNodes, Disabled: map[string]bool{}, DisableIfOperator: true}
	for name := range builtin.Index {
		config.Disabled[name] = true // they are functions like any other here
	}
	tree, err := parser.ParseWithConfig(text, config)
	if wrong, ok := errors.AsType[*file.Error](err); ok {
		return nil, feature.Errorf(feature.CodeInvalid, "line %d, column %d: %s", wrong.Line, wrong.Column+1, wrong.Message)
	}
	if err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "%s", err)
	}
	return tree.Node, nil
}

// checker turns a syntax tree into nodes; it keeps the first error.
type checker struct {
	source string
	typeOf func(string) (feature.Type, bool)
	names  []string
	err    error
}

func (c *checker) fail(at ast.Node, format string, args ...any) node {
	if c.err == nil {
		line, column := 1, 1
		for i, r := range []rune(c.source) {
			if i == at.Location().From {
				break
			}
			if column++; r == '\n' {
				line, column = line+1, 1
			}
		}
		c.err = feature.Errorf(feature.CodeInvalid, "line %d, column %d: %s", line, column, feature.Errorf(feature.CodeInvalid, format, args...).Message)
	}
	return literal{}
}

func (c *checker) check(n ast.Node) node {
	switch n := n.(type) {
	case *ast.NilNode:
		return literal{}
	case *ast.IntegerNode:
		return literal{feature.Int64Value(int64(n.Value))}
	case *ast.FloatNode:
		return literal{feature.Float64Value(n.Value)}
	case *ast.BoolNode:
		return literal{feature.BoolValue(n.Value)}
	case *ast.StringNode:
		return literal{feature.StringValue(n.Value)}
	case *ast.IdentifierNode:
		return c.name(n, n.Value)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.call(n, "?:", []node{c.check(n.Cond), c.check(n.Exp1), c.check(n.Exp2)})
	case *ast.CallNode:
		callee, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return c.fail(n, "only functions can be called: %s", strings.Join(functionNames(), ", "))
		}
		args := make([]node, len(n.Arguments))
		for i, a := range n.Arguments {
			args[i] = c.check(a)
		}
		if f := functions[callee.Value]; f == nil || f.operator {
			return c.fail(n, "unknown function %s: expected one of %s", callee.Value, strings.Join(functionNames(), ", "))
		}
		return c.call(n, callee.Value, args)
	default:
		return c.fail(n, "this is not part of the language: expected names, numbers, strings, operators, functions or a ? b : c")
	}
}

func (c *checker) name(at ast.Node, text string) node {
	t, ok := c.typeOf(text)
	if !ok {
		if strings.EqualFold(text, "null") {
			return literal{}
		}
		return c.fail(at, "unknown name %s", text)
	}
	if !slices.Contains(c.names, text) {
		c.names = append(c.names, text)
	}
	return name{text, t}
}

// member is view.feature.
func (c *checker) member(n *ast.MemberNode) node {
	of, ok := n.Node.(*ast.IdentifierNode)
	property, also := n.Property.(*ast.StringNode)
	if !ok || !also || n.Optional {
		return c.fail(n, "expected a name, or two joined by a dot")
	}
	return c.name(of, of.Value+"."+property.Value)
}

func (c *checker) unary(n *ast.UnaryNode) node {
	switch n.Operator {
	case "-":
		if lit, ok := n.Node.(*ast.IntegerNode); ok {
			return literal{feature.Int64Value(-int64(lit.Value))}
		}
		return c.call(n, "neg", []node{c.check(n.Node)})
	case "+":
		return c.check(n.Node)
	case "!", "not":
		return c.call(n, "not", []node{c.check(n.Node)})
	default:
		return c.fail(n, "unknown operator %s", n.Operator)
	}
}

var synonyms = map[string]string{"&&": "and", "||": "or"}

func (c *checker) binary(n *ast.BinaryNode) node {
	op := n.Operator
	if s, ok := synonyms[op]; ok {
		op = s
	}
	if op == "in" {
		return c.in(n)
	}
	if f := functions[op]; f == nil || !f.operator {
		return c.fail(n, "operator %s is not part of the language", n.Operator)
	}
	return c.call(n, op, []node{c.check(n.Left), c.check(n.Right)})
}

// in is x == a or x == b for every element of the list written down.
func (c *checker) in(n *ast.BinaryNode) node {
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok || len(list.Nodes) == 0 {
		return c.fail(n.Right, "expected a list after in, such as [1, 2]")
	}
	x := c.check(n.Left)
	var found node
	for _, e := range list.Nodes {
		is := c.call(n, "==", []node{x, c.check(e)})
		if found == nil {
			found = is
		} else {
			found = c.call(n, "or", []node{found, is})
		}
	}
	return found
}

// call checks the arguments of a function and converts int64 to float64 where the other side is one.
func (c *checker) call(at ast.Node, fn string, args []node) node {
	if c.err != nil {
		return literal{}
	}
	f := functions[fn]
	if len(args) != f.args {
		return c.fail(at, "%s takes %d arguments, not %d", fn, f.args, len(args))
	}
	n := call{fn: f, args: args}
	if f.mixed {
		n.args = balance(args)
	}
	for i, a := range n.args {
		if a.typ() == (feature.Type{}) && f.lazy == nil {
			return c.fail(at, "%s of NULL is always NULL: to ask whether x is NULL write isNull(x)", fn)
		}
		if a.typ().List && !f.lists {
			return c.fail(at, "argument %d of %s is a list", i+1, fn)
		}
	}
	t, ok := f.check(n.types())
	if !ok {
		texts := make([]string, len(args))
		for i, a := range args {
			texts[i] = a.typ().String()
		}
		return c.fail(at, "%s of %s: expected %s", fn, strings.Join(texts, " and "), f.takes)
	}
	n.t = t
	return n
}

// balance converts int64 arguments where another is float64.
func balance(args []node) []node {
	ints, floats := false, false
	for _, a := range args {
		ints = ints || a.typ() == feature.Int64
		floats = floats || a.typ() == feature.Float64
	}
	if !ints || !floats {
		return args
	}
	out := slices.Clone(args)
	for i, a := range out {
		if a.typ() == feature.Int64 {
			out[i] = convert{a}
		}
	}
	return out
}
