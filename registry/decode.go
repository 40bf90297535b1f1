package registry

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// origin remembers where a definition was written. The zero origin is right for one that came from JSON.
type origin struct {
	root   *node
	nodes  map[string]*node // by path
	broken bool             // a part could not be read: what is missing in it may only be misspelt
}

func newOrigin(root *node) origin {
	o := origin{root: root, nodes: map[string]*node{}}
	o.index(root)
	return o
}

func (o *origin) index(n *node) {
	o.nodes[n.path] = n
	for _, i := range n.items {
		o.index(i)
	}
	for _, p := range n.pairs {
		o.index(p.value)
	}
}

// value returns the place of the value at path or, if it was not written, of what it would stand in.
func (o *origin) value(path string) spot {
	if o.root == nil {
		return spot{path: path}
	}
	for p := path; p != ""; p = p[:max(0, strings.LastIndexAny(p, ".["))] {
		if n := o.nodes[p]; n != nil {
			return spot{n.file, n.line, n.column, path}
		}
	}
	return spot{o.root.file, o.root.line, o.root.column, path}
}

// under returns the place of the key at path, or what value returns.
func (o *origin) under(path string) spot {
	if n := o.nodes[path]; n != nil {
		return n.key
	}
	return o.value(path)
}

// keysIn returns the keys of the map at path in the order in which they were written.
func (o *origin) keysIn(path string, m map[string]string) []string {
	n := o.nodes[path]
	if n == nil {
		return sortedKeys(m)
	}
	var keys []string
	for _, p := range n.pairs {
		if _, ok := m[p.name]; ok {
			keys = append(keys, p.name)
		}
	}
	return keys
}

// decoder turns nodes into definitions and reports what does not fit.
type decoder struct{ problems *problems }

// member is a key that a map may have.
type member struct {
	name  string
	need  string // what is expected under it, if it must be there
	later string // what it would mean, if it belongs to a later version
	set   func(*node)
}

// members decodes a map that is "a source", "a feature" and so on.
func (d *decoder) members(n *node, what string, known []member) {
	if !d.is(n, shapeMap, what+", a map with "+memberNames(known)) {
		return
	}
	later := false
	for _, p := range n.pairs {
		at := p.value.key
		m := findMember(known, p.name)
		switch {
		case m == nil:
			d.problems.add(at, "%s", unknownMember(what, p.name, known))
		case m.later != "":
			later = true
			d.problems.add(at, "not supported yet: %s", m.later)
		default:
			m.set(p.value)
		}
	}
	for _, m := range known {
		if m.need != "" && n.field(m.name) == nil && !later {
			d.problems.add(n.spot, "%s has no %s: expected %s", what, m.name, m.need)
		}
	}
}

func findMember(known []member, name string) *member {
	for i := range known {
		if known[i].name == name {
			return &known[i]
		}
	}
	return nil
}

func memberNames(known []member) string {
	var names []string
	for _, m := range known {
		if m.later == "" {
			names = append(names, m.name)
		}
	}
	return strings.Join(names, ", ")
}

func unknownMember(what, name string, known []member) string {
	var names []string
	for _, m := range known {
		if m.later == "" {
			names = append(names, m.name)
		}
	}
	hint := ""
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return fmt.Sprintf("unknown key %s in %s%s: expected one of %s", quote(name), what, hint, strings.Join(names, ", "))
}

// is reports whether n has the shape, else it says what was expected.
func (d *decoder) is(n *node, s shape, expected string) bool {
	if n.shape != s && n.shape != shapeBad {
		d.problems.add(n.spot, "expected %s, got %s", expected, n.got())
	}
	return n.shape == s
}

// text decodes text into p.
func (d *decoder) text(p *string) func(*node) {
	return func(n *node) {
		if d.is(n, shapeText, "text") {
			*p = n.text
		}
	}
}

// named decodes a name that is given here into p. It keeps a bad name, so that what refers to it is not
// reported as well. wrong says what is wrong with a name, or returns "".
func (d *decoder) named(p *string, what string, wrong func(what, name string) string) func(*node) {
	return func(n *node) {
		if !d.is(n, shapeText, "a name") {
			return
		}
		*p = n.text
		if w := wrong(what, n.text); w != "" {
			d.problems.add(n.spot, "%s", w)
		}
	}
}

// reference decodes the name of something that is defined elsewhere into p.
func (d *decoder) reference(p *string, what string) func(*node) {
	return func(n *node) {
		if d.is(n, shapeText, "the name of "+what) {
			*p = n.text
			if n.text == "" {
				d.problems.add(n.spot, "expected the name of %s, got %s", what, n.got())
			}
		}
	}
}

// dataType decodes a type into p.
func (d *decoder) dataType(p *feature.Type) func(*node) {
	return func(n *node) {
		if !d.is(n, shapeText, "a type such as int64") {
			return
		}
		t, err := feature.ParseType(n.text)
		if err != nil {
			d.problems.add(n.spot, "%s", typeError(short(n.text), err))
			return
		}
		*p = t
	}
}

// span decodes a span of time that is at least least into p.
func (d *decoder) span(p *feature.Span, least feature.Span) func(*node) {
	return func(n *node) {
		switch {
		case n.shape == shapeNumber && n.text == "0", n.shape == shapeText && n.text != "":
		case n.shape == shapeNumber:
			d.problems.add(n.spot, "expected a span of time such as 7d, 3h30m or 1us, got %s: give it a unit", n.got())
			return
		default:
			if n.shape != shapeBad {
				d.problems.add(n.spot, "expected a span of time such as 7d, 3h30m or 1us, got %s", n.got())
			}
			return
		}
		if strings.HasPrefix(n.text, "-") {
			d.problems.add(n.spot, "expected a span of time of at least %s, got %s", least, n.got())
			return
		}
		s, err := feature.ParseSpan(n.text)
		switch {
		case err != nil:
			d.problems.add(n.spot, "%v", err)
		case s < least:
			d.problems.add(n.spot, "expected a span of time of at least %s, got %s", least, n.got())
		default:
			*p = s
		}
	}
}

// constant decodes a scalar or a list of scalars into p, as JSON.
func (d *decoder) constant(p *json.RawMessage) func(*node) {
	return func(n *node) {
		v, ok := d.plain(n)
		if !ok {
			return
		}
		parsed, err := feature.ValueOf(v)
		if err != nil {
			d.problems.add(n.spot, "%v", err)
			return
		}
		*p = parsed.AppendJSON(nil)
	}
}

// plain returns the Go value of a scalar or a list, or reports why there is none.
func (d *decoder) plain(n *node) (any, bool) {
	switch n.shape {
	case shapeBad:
		return nil, false
	case shapeNull:
		d.problems.add(n.spot, "expected a value, got nothing: leave the default out if there is none")
		return nil, false
	case shapeMap:
		d.problems.add(n.spot, "expected a value, got a map: put text that contains a colon in quotes")
		return nil, false
	case shapeText, shapeBool:
	case shapeNumber:
		if n.value == nil {
			d.problems.add(n.spot, "expected a decimal number in range, got %s: put it in quotes if it is meant as text", short(n.text))
			return nil, false
		}
	case shapeList:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			v, ok := d.plain(item)
			if !ok {
				return nil, false
			}
			list[i] = v
		}
		return list, true
	}
	return n.value, true
}

// list calls each with every item of a list.
func (d *decoder) list(expected string, each func(*node)) func(*node) {
	return func(n *node) {
		if !d.is(n, shapeList, expected) {
			return
		}
		if len(n.items) == 0 {
			d.problems.add(n.spot, "expected %s, got an empty list", expected)
		}
		for _, item := range n.items {
			each(item)
		}
	}
}

// texts decodes a map of text into p. check, if not nil, says what is wrong with a key or a value, or "".
func (d *decoder) texts(p *map[string]string, expected string, check func(key, value string) string) func(*node) {
	return func(n *node) {
		if !d.is(n, shapeMap, expected) {
			return
		}
		m := make(map[string]string, len(n.pairs))
		for _, e := range n.pairs {
			if !d.is(e.value, shapeText, "text") {
				continue
			}
			if check != nil {
				if wrong := check(e.name, e.value.text); wrong != "" {
					d.problems.add(e.value.spot, "%s", wrong)
				}
			}
			m[e.name] = e.value.text
		}
		*p = m
	}
}
