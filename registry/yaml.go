package registry

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/lockstepfs/lockstep/feature"
)

// spot is a place in a file and the path of what stands there, such as features[1].ttl.
type spot struct {
	file         string
	line, column int
	path         string
}

// String returns the place as file:line:column.
func (s spot) String() string { return fmt.Sprintf("%s:%d:%d", s.file, s.line, s.column) }

// maxDetails is how many errors are told at once.
const maxDetails = 500

// problems gathers everything that is wrong, so that an author sees it at once.
type problems struct{ details []feature.Detail }

func (p *problems) add(at spot, format string, args ...any) {
	p.details = append(p.details, feature.Detail{
		File: at.file, Line: at.line, Column: at.column, Field: at.path, Message: fmt.Sprintf(format, args...),
	})
}

// err returns nil, or an error of the code with the details in the order of the files.
func (p *problems) err(code feature.Code, what string) error {
	n := len(p.details)
	if n == 0 {
		return nil
	}
	slices.SortStableFunc(p.details, func(a, b feature.Detail) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	e := feature.Errorf(code, "%s: %d errors", what, n)
	switch {
	case n == 1:
		e = feature.Errorf(code, "%s: 1 error", what)
	case n > maxDetails:
		e = feature.Errorf(code, "%s: %d errors, the first %d are", what, n, maxDetails)
	}
	e.Details = p.details[:min(n, maxDetails)]
	return e
}

// shape is what a YAML node is.
type shape int

const (
	shapeNull shape = iota
	shapeText
	shapeNumber
	shapeBool
	shapeList
	shapeMap
	shapeBad // already reported
)

var shapeNames = [...]string{"nothing", "text", "a number", "true or false", "a list", "a map", "something unreadable"}

// String returns the shape for error messages, such as "a list".
func (s shape) String() string { return shapeNames[s] }

// node is a part of a YAML document, with its place.
type node struct {
	spot
	key   spot // of the key it stands under; the same as spot outside of maps
	shape shape
	text  string // of a scalar, as written, without quotes
	value any    // of a scalar: string, int64, float64, bool or nil
	items []*node
	pairs []pair
}

type pair struct {
	name  string
	value *node
}

// got says what the node is, for "expected ..., got ...".
func (n *node) got() string {
	switch n.shape {
	case shapeText:
		return quote(n.text)
	case shapeNumber:
		return "the number " + short(n.text)
	case shapeBool:
		return n.text
	default:
		return n.shape.String()
	}
}

// field returns the value under a key of a map, or nil.
func (n *node) field(name string) *node {
	for i := range n.pairs {
		if n.pairs[i].name == name {
			return n.pairs[i].value
		}
	}
	return nil
}

// Limits of what is read, so that a hostile file costs little: the parser's time is quadratic in the lines of
// one block.
const (
	maxFile  = 1 << 20
	maxLines = 5000
	maxDepth = 100
)

// reader turns the files into nodes.
type reader struct {
	problems *problems
	file     string
	line     int // lines before the document
	partial  bool
}

// documents returns the documents of a file. A document that cannot be read is reported and left out, and
// sets partial; the others are still read, so that one slip does not hide the rest.
func (r *reader) documents(data []byte) []*node {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > maxFile {
		r.fail(1, 1, "the file is larger than %d MiB", maxFile>>20)
		return nil
	}
	if valid := bytes.ToValidUTF8(data, nil); len(valid) < len(data) {
		at := 0
		for at < len(valid) && valid[at] == data[at] {
			at++
		}
		before := data[:at]
		r.fail(bytes.Count(before, []byte("\n"))+1, at-bytes.LastIndexByte(before, '\n'), "the file is not text in UTF-8 here")
		return nil
	}
	var docs []*node
	for _, chunk := range splitDocuments(data) {
		r.line = chunk.line
		docs = append(docs, r.document(chunk.text)...)
	}
	return docs
}

func (r *reader) fail(line, column int, format string, args ...any) {
	r.partial = true
	r.problems.add(spot{file: r.file, line: r.line + line, column: column}, format, args...)
}

type chunk struct {
	line int // lines before it
	text []byte
}

// splitDocuments cuts before each line that begins with "---", which YAML allows nowhere inside a document.
func splitDocuments(data []byte) []chunk {
	chunks := []chunk{{}}
	for i, line := range bytes.SplitAfter(data, []byte("\n")) {
		last := &chunks[len(chunks)-1]
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok && i > 0 && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0]))) {
			chunks = append(chunks, chunk{line: i})
			last = &chunks[len(chunks)-1]
		}
		last.text = append(last.text, line...)
	}
	return chunks
}

func (r *reader) document(text []byte) []*node {
	if line, ok := tooDeep(text); ok {
		r.fail(line, 1, "YAML nests more than %d levels deep here", maxDepth)
		return nil
	}
	if bytes.Count(text, []byte("\n")) > maxLines {
		r.fail(1, 1, "the document is longer than %d lines: split it with ---", maxLines)
		return nil
	}
	file, err := parseYAML(text)
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil {
			at := syntax.Token.Position
			r.fail(at.Line, at.Column, "not YAML: %s", syntax.Message)
		} else {
			r.fail(1, 1, "not YAML: %v", err)
		}
		return nil
	}
	var docs []*node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if n := r.node(doc.Body, spot{}, ""); n.shape != shapeNull {
			docs = append(docs, n)
		}
	}
	return docs
}

// parseYAML shields us from panics of the parser, which has had some on input that is not YAML.
func parseYAML(text []byte) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			file, err = nil, fmt.Errorf("the parser gave up: %v", p)
		}
	}()
	return parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
}

// tooDeep finds nesting that could exhaust the stack of a recursive parser. It counts brackets and, within a
// line, the marks that open a level; it may count some that stand in text, but not hundreds.
func tooDeep(text []byte) (line int, found bool) {
	depth := 0
	for i, l := range bytes.Split(text, []byte("\n")) {
		marks := 0
		for j, c := range l {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(0, depth-1)
			case '-', '?', ':', '!', '&':
				if j+1 == len(l) || l[j+1] == ' ' || l[j+1] == '\t' || c == '!' || c == '&' {
					marks++
				}
			case ',':
				marks = 0
			}
			if depth > maxDepth || marks > maxDepth {
				return i + 1, true
			}
		}
		if text := bytes.TrimLeft(l, " "); len(text) > 0 && len(l)-len(text) > 20*maxDepth {
			return i + 1, true
		}
	}
	return 0, false
}

// at returns the place of a token.
func (r *reader) at(t *token.Token, path string) spot {
	s := spot{file: r.file, line: r.line + 1, column: 1, path: path}
	if t != nil && t.Position != nil {
		s.line, s.column = r.line+t.Position.Line, max(1, t.Position.Column)
	}
	return s
}

// node converts a YAML node that stands under key (the zero spot if under none) at path.
func (r *reader) node(y ast.Node, key spot, path string) *node {
	n := &node{spot: r.at(y.GetToken(), path), key: key}
	switch y := y.(type) {
	case *ast.MappingNode:
		r.mapping(n, y)
	case *ast.MappingValueNode:
		r.mapping(n, y)
	case *ast.SequenceNode:
		n.shape = shapeList
		for i, v := range y.Values {
			n.items = append(n.items, r.node(v, spot{}, fmt.Sprintf("%s[%d]", path, i)))
		}
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		n.shape = shapeBad
		r.problems.add(n.spot, "YAML anchors and aliases are not supported: write the value out")
	case *ast.TagNode:
		n.shape = shapeBad
		r.problems.add(n.spot, "YAML tags such as %s are not supported: leave it out", short(y.Start.Value))
	default:
		n.scalar(y)
	}
	if n.key == (spot{}) {
		n.key = n.spot
	}
	return n
}

func (r *reader) mapping(n *node, m ast.MapNode) {
	n.shape = shapeMap
	first := map[string]spot{}
	for it := m.MapRange(); it.Next(); {
		y := it.Key()
		at := r.at(y.GetToken(), n.path)
		if len(n.pairs) == 0 && at.line > 0 && y.GetToken().Position != nil && n.isBlock(m) {
			n.line, n.column = at.line, at.column
		}
		name, ok := y.(*ast.StringNode)
		if !ok {
			r.problems.add(at, "expected a name as key, got %s: put it in quotes if it is meant as text", short(y.GetToken().Value))
			continue
		}
		at.path = join(n.path, name.Value)
		value := r.node(it.Value(), at, at.path)
		if was, twice := first[name.Value]; twice {
			r.problems.add(at, "key %s stands twice in one map, first at line %d", quote(name.Value), was.line)
			continue
		}
		first[name.Value] = at
		n.pairs = append(n.pairs, pair{name.Value, value})
	}
}

// isBlock reports whether a map is written without braces; its token is then the first colon, not its start.
func (n *node) isBlock(m ast.MapNode) bool {
	flow, ok := m.(*ast.MappingNode)
	return !ok || !flow.IsFlowStyle
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func (n *node) scalar(y ast.Node) {
	t := y.GetToken()
	n.text = t.Value
	switch y := y.(type) {
	case *ast.NullNode:
		n.shape = shapeNull
	case *ast.BoolNode:
		n.shape, n.value = shapeBool, y.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		n.shape = shapeNumber
		n.value = number(t.Value)
	case *ast.LiteralNode:
		n.shape, n.text, n.value = shapeText, y.Value.Value, y.Value.Value
	case *ast.StringNode:
		n.shape, n.text, n.value = shapeText, y.Value, y.Value
		// What is too large or has an exponent is text to the parser, but a number to its author.
		if t.Type == token.StringType {
			if _, err := strconv.ParseFloat(y.Value, 64); (err == nil || errors.Is(err, strconv.ErrRange)) && y.Value[0] <= '9' {
				n.shape, n.value = shapeNumber, number(y.Value)
			}
		}
	default:
		n.shape, n.value = shapeText, t.Value
	}
}

// number reads a decimal number as int64 or float64; nil for anything else, such as 0x1F, 017, 1_000, .inf or
// what is out of range: different readers of YAML take these for different values.
func number(s string) any {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789.eE+-") != "" || digits[0] < '0' || digits[0] > '9' {
		return nil
	}
	if len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		return nil
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && strings.ContainsAny(s, ".eE") {
		return f
	}
	return nil
}
