package oracle

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lockstepfs/lockstep/feature"
)

// Evaluate is a Formula for a part of the language (D2): names, numbers, strings in single quotes and nil; the operators of
// levels, unary not of what stands in parentheses, a ? b : c; and the functions isNull, len, toFloat64 and toString. It panics on
// anything else.
func Evaluate(expression string, read func(name string) (feature.Value, feature.Type)) feature.Value {
	e := &evaluation{words(expression), read}
	v := e.choice()
	if len(e.words) > 0 {
		panic(fmt.Sprintf("oracle: %q goes on with %q", expression, e.words))
	}
	return v
}

// evaluation is an expression that is read word by word, and worth what stands before the next one.
type evaluation struct {
	words []string
	read  func(name string) (feature.Value, feature.Type)
}

// words splits an expression.
func words(text string) (out []string) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		n := strings.IndexFunc(text, func(r rune) bool { return !partOfName(r) })
		switch {
		case n < 0:
			n = len(text)
		case n == 0 && text[0] == '\'':
			n = 2 + strings.IndexByte(text[1:], '\'')
		case n == 0 && len(text) > 1 && slices.Contains([]string{"==", "!=", "<=", ">=", "??"}, text[:2]):
			n = 2
		case n == 0:
			n = 1
		}
		out, text = append(out, text[:n]), text[n:]
	}
	return out
}

// partOfName reports whether a name or a number may have the rune in it.
func partOfName(r rune) bool {
	return r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

func (e *evaluation) next() string {
	if len(e.words) == 0 {
		panic("oracle: an expression ends too early")
	}
	word := e.words[0]
	e.words = e.words[1:]
	return word
}

// took reports whether the next word is the given one, which is then behind.
func (e *evaluation) took(word string) bool {
	if len(e.words) == 0 || e.words[0] != word {
		return false
	}
	e.words = e.words[1:]
	return true
}

func (e *evaluation) expect(word string) {
	if !e.took(word) {
		panic(fmt.Sprintf("oracle: expected %s before %q", word, e.words))
	}
}

// choice is a ? b : c, in which NULL is not true, or less.
func (e *evaluation) choice() feature.Value {
	v := e.operation(0)
	if !e.took("?") {
		return v
	}
	yes := e.choice()
	e.expect(":")
	no := e.choice()
	if isTrue(v) {
		return yes
	}
	return no
}

// levels are the operators between two values, those that bind closer later.
var levels = [][]string{{"or"}, {"and"}, {"==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/", "%"}, {"??"}}

func (e *evaluation) operation(level int) feature.Value {
	if level == len(levels) {
		return e.term()
	}
	v := e.operation(level + 1)
	for len(e.words) > 0 && slices.Contains(levels[level], e.words[0]) {
		op := e.next()
		v = apply(op, v, e.operation(level+1))
	}
	return v
}

func (e *evaluation) term() feature.Value {
	switch word := e.next(); {
	case word == "(":
		v := e.choice()
		e.expect(")")
		return v
	case word == "not":
		v := e.term()
		if v.IsNull() {
			return v
		}
		return feature.BoolValue(!v.Bool())
	case word == "nil":
		return feature.Value{}
	case word[0] == '\'':
		return feature.StringValue(word[1 : len(word)-1])
	case '0' <= word[0] && word[0] <= '9':
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			return feature.Int64Value(n)
		}
		x, err := strconv.ParseFloat(word, 64)
		if err != nil {
			panic(err)
		}
		return feature.Float64Value(x)
	case e.took("("):
		v := e.choice()
		e.expect(")")
		return call(word, v)
	default:
		v, t := e.read(word)
		if t == (feature.Type{}) {
			panic("oracle: there is no " + word)
		}
		return v
	}
}

func isTrue(v feature.Value) bool { return !v.IsNull() && v.Bool() }

func isFalse(v feature.Value) bool { return !v.IsNull() && !v.Bool() }

func call(name string, v feature.Value) feature.Value {
	switch {
	case name == "isNull":
		return feature.BoolValue(v.IsNull())
	case v.IsNull():
		return v
	case name == "len" && v.Type().List:
		return feature.Int64Value(int64(len(v.List())))
	case name == "len":
		return feature.Int64Value(int64(utf8.RuneCountInString(v.Str())))
	case name == "toFloat64":
		return feature.Float64Value(float(v))
	case name == "toString" && v.Type() == feature.Int64:
		return feature.StringValue(strconv.FormatInt(v.Int64(), 10))
	default:
		panic("oracle: there is no function " + name)
	}
}

// apply is what an operator makes of two values.
func apply(op string, a, b feature.Value) feature.Value {
	switch {
	case op == "??" && a.IsNull():
		return b
	case op == "??":
		return a
	case op == "and" && (isFalse(a) || isFalse(b)):
		return feature.BoolValue(false)
	case op == "or" && (isTrue(a) || isTrue(b)):
		return feature.BoolValue(true)
	case a.IsNull() || b.IsNull():
		return feature.Value{}
	case op == "and":
		return feature.BoolValue(true)
	case op == "or":
		return feature.BoolValue(false)
	case slices.Contains(levels[2], op):
		return feature.BoolValue(compared(op, a, b))
	case op == "/":
		return real64(float(a) / float(b))
	case a.Type() == feature.Timestamp && op == "-":
		return feature.Int64Value(int64(a.Time()) - int64(b.Time()))
	case a.Type() == feature.Int64 && b.Type() == feature.Int64:
		return whole(op, a.Int64(), b.Int64())
	}
	x, y := float(a), float(b)
	switch op {
	case "+":
		return real64(x + y)
	case "-":
		return real64(x - y)
	case "*":
		return real64(x * y)
	default:
		panic("oracle: there is no " + op + " of float64")
	}
}

func whole(op string, a, b int64) feature.Value {
	switch {
	case op == "+":
		return feature.Int64Value(a + b)
	case op == "-":
		return feature.Int64Value(a - b)
	case op == "*":
		return feature.Int64Value(a * b)
	case b == 0:
		return feature.Value{}
	default:
		return feature.Int64Value(a % b)
	}
}

// real64 is a float64 as values are: not finite ones are NULL, and there is one zero (V2).
func real64(x float64) feature.Value {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return feature.Value{}
	}
	return feature.Float64Value(x + 0)
}

func float(v feature.Value) float64 {
	if v.Type() == feature.Int64 {
		return float64(v.Int64())
	}
	return v.Float64()
}

// compared compares two values of one type, or two numbers, exactly.
func compared(op string, a, b feature.Value) bool {
	c := 0
	if a.Type() == b.Type() {
		c = order(a, b)
	} else {
		c = rational(a).Cmp(rational(b))
	}
	switch op {
	case "==":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	default:
		return c >= 0
	}
}

func rational(v feature.Value) *big.Rat {
	if v.Type() == feature.Int64 {
		return new(big.Rat).SetInt64(v.Int64())
	}
	return new(big.Rat).SetFloat64(v.Float64())
}
