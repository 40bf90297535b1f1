package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
)

// Aggregate is what a window feature computes, for each of its windows (rules W1 to W6).
type Aggregate struct {
	Operator  string
	Input     string // a column, or feature.AnyEvent
	Where     string
	Windows   []string // as written: spans, or lifetime
	Many      bool     // the windows are a list, which makes a feature of each
	Hop       feature.Span
	N         int // n, or k of top_k
	Quantile  float64
	Precision int
}

// lifetime is the window of all events.
const lifetime = "lifetime"

// parameter returns what n is called for the operator.
func (a *Aggregate) parameter() string {
	if a.Operator == string(agg.TopK) {
		return "k"
	}
	return "n"
}

// members returns the aggregate as a definition says it.
func (a *Aggregate) members() []jsonMember {
	var window any = a.Windows
	if !a.Many {
		window = a.Windows[0]
	}
	out := []jsonMember{{a.Operator, a.Input, true}, {"where", a.Where, a.Where != ""}, {"window", window, true}, {"hop", a.Hop, a.Hop != 0}}
	return append(out,
		jsonMember{a.parameter(), a.N, a.N != 0},
		jsonMember{"q", a.Quantile, a.Operator == string(agg.ApproxQuantile)},
		jsonMember{"precision", a.Precision, a.Precision != 0})
}

// jsonMember is a member of a JSON object, if it is there.
type jsonMember struct {
	name  string
	value any
	there bool
}

// MarshalJSON writes the feature as a definition, in the usual order.
func (f Feature) MarshalJSON() ([]byte, error) {
	members := []jsonMember{{"name", f.Name, true}, {"description", f.Description, f.Description != ""}, {"latest", f.Latest, f.Aggregate == nil}}
	if f.Aggregate != nil {
		members = append(members, f.Aggregate.members()...)
	}
	members = append(members, jsonMember{"ttl", f.TTL, f.TTL != 0}, jsonMember{"default", f.Default, f.Default != nil})
	out := []byte{'{'}
	for _, m := range members {
		if !m.there {
			continue
		}
		var value bytes.Buffer
		enc := json.NewEncoder(&value)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(m.value); err != nil {
			return nil, fmt.Errorf("feature %s: %w", f.Name, err)
		}
		out = append(fmt.Appendf(out, "%q:", m.name), bytes.TrimSpace(value.Bytes())...)
		out = append(out, ',')
	}
	out[len(out)-1] = '}'
	return out, nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Feature) UnmarshalJSON(data []byte) error {
	var in struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Latest      string          `json:"latest"`
		Where       string          `json:"where"`
		Window      json.RawMessage `json:"window"`
		Hop         feature.Span    `json:"hop"`
		N           int             `json:"n"`
		K           int             `json:"k"`
		Quantile    float64         `json:"q"`
		Precision   int             `json:"precision"`
		TTL         feature.Span    `json:"ttl"`
		Default     json.RawMessage `json:"default"`
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*f = Feature{Name: in.Name, Description: in.Description, Latest: in.Latest, TTL: in.TTL, Default: in.Default}
	if in.Window == nil {
		return nil
	}
	a := &Aggregate{Where: in.Where, Hop: in.Hop, N: max(in.N, in.K), Quantile: in.Quantile, Precision: in.Precision}
	var inputs map[string]json.RawMessage
	if err := json.Unmarshal(data, &inputs); err != nil {
		return err
	}
	for _, op := range agg.Operators() {
		if raw, ok := inputs[string(op)]; ok {
			a.Operator = string(op)
			if err := json.Unmarshal(raw, &a.Input); err != nil {
				return fmt.Errorf("%s: %w", op, err)
			}
		}
	}
	a.Many = in.Window[0] == '['
	into := any(&a.Windows)
	if !a.Many {
		a.Windows = make([]string, 1)
		into = &a.Windows[0]
	}
	if err := json.Unmarshal(in.Window, into); err != nil {
		return fmt.Errorf("window: %w", err)
	}
	if len(a.Windows) == 0 || a.Operator == "" {
		return fmt.Errorf("feature %s has no window or no operator", in.Name)
	}
	f.Aggregate = a
	return nil
}

// built returns the features that the aggregate makes, as far as it is right.
func (f *Feature) built(of columns) []feature.Feature {
	a := f.Aggregate
	input := feature.Bool
	if a.Input != feature.AnyEvent {
		var ok bool
		if input, ok = of.typeOf(a.Input); !ok {
			return nil
		}
	}
	w := feature.Window{Operator: a.Operator, Input: a.Input, Where: a.Where, Hop: a.Hop, N: a.N, Quantile: a.Quantile, Precision: a.Precision}
	var err error
	if a.Where != "" {
		if w.Where, w.Reads, _, err = of.where(a.Where); err != nil {
			return nil
		}
	}
	spec := agg.SpecOf(&w, input)
	output, err := spec.Output()
	if err != nil {
		return nil
	}
	w.Precision = spec.Precision
	var out []feature.Feature
	for _, text := range a.Windows {
		one := w
		if text != lifetime {
			if one.Width, err = feature.ParseSpan(text); err != nil {
				return nil
			}
		}
		out = append(out, feature.Feature{Name: f.nameOf(text), Window: &one, Type: output})
	}
	return out
}

// nameOf returns the name of the feature of one of the windows (W6).
func (f *Feature) nameOf(window string) string {
	if f.Aggregate == nil || !f.Aggregate.Many {
		return f.Name
	}
	return f.Name + "_" + window
}

// reads reports whether the feature reads a column of the source, by its name or in a column that is an expression.
func (f *Feature) reads(column string, of columns) bool {
	names := []string{f.Latest}
	if a := f.Aggregate; a != nil {
		names = []string{a.Input}
		if a.Where != "" {
			_, _, where, _ := of.where(a.Where) // it was checked
			names = append(names, where...)
		}
	}
	through := slices.ContainsFunc(of.computed, func(x feature.Computed) bool {
		return slices.Contains(names, x.Name) && slices.Contains(x.Reads, column)
	})
	return through || slices.Contains(names, column)
}

// aggregateMembers returns the keys of a feature that belong to windows; a gets what they say.
func (d *decoder) aggregateMembers(a *Aggregate, given *[]string) []member {
	members := []member{
		{name: "where", set: d.text(&a.Where)},
		{name: "window", set: d.windows(a)},
		{name: "hop", set: d.span(&a.Hop, feature.Microsecond)},
		{name: "n", set: d.whole(&a.N)},
		{name: "k", set: d.whole(&a.N)},
		{name: "q", set: d.real(&a.Quantile)},
		{name: "precision", set: d.whole(&a.Precision)},
	}
	for _, op := range agg.Operators() {
		members = append(members, member{name: string(op), set: func(n *node) {
			*given = append(*given, string(op))
			a.Operator = string(op)
			what := "a column"
			if op == agg.Count {
				what = `a column, or "*" for all events`
			}
			d.reference(&a.Input, what)(n)
		}})
	}
	return members
}

// windows decodes one window, or a list.
func (d *decoder) windows(a *Aggregate) func(*node) {
	one := func(n *node) {
		text := ""
		if n.shape == shapeText && n.text == lifetime {
			text = lifetime
		} else {
			var span feature.Span
			before := len(d.problems.details)
			if n.shape == shapeText || n.shape == shapeNumber {
				d.span(&span, feature.Microsecond)(n)
			} else if n.shape != shapeBad {
				d.problems.add(n.spot, "expected a window such as 24h, or lifetime, got %s", n.got())
			}
			if len(d.problems.details) == before && n.shape == shapeText {
				text = n.text
			}
		}
		if text == "" {
			return
		}
		if a.Many && !validName("w"+text, func(c byte) bool { return c >= 'a' && c <= 'z' }) {
			d.problems.add(n.spot, "the window %s ends the name of its feature: write it with a-z and 0-9 alone, such as 90m for 1.5h", quote(text))
			return
		}
		if !a.Many && text != lifetime {
			if span, err := feature.ParseSpan(text); err == nil {
				text = span.String()
			}
		}
		a.Windows = append(a.Windows, text)
	}
	return func(n *node) {
		if n.shape == shapeList {
			a.Many = true
			d.list("a list of windows, such as [3h, 24h]", one)(n)
			return
		}
		one(n)
	}
}

// whole decodes a whole number of at least 1 into p.
func (d *decoder) whole(p *int) func(*node) {
	return func(n *node) {
		v, ok := n.value.(int64)
		if n.shape == shapeBad {
			return
		}
		if n.shape != shapeNumber || !ok || v < 1 || v > 1<<31 {
			d.problems.add(n.spot, "expected a whole number of at least 1, got %s", n.got())
			return
		}
		*p = int(v)
	}
}

// real decodes a number into p.
func (d *decoder) real(p *float64) func(*node) {
	return func(n *node) {
		if n.shape == shapeBad {
			return
		}
		switch v := n.value.(type) {
		case int64:
			*p = float64(v)
		case float64:
			*p = v
		default:
			d.problems.add(n.spot, "expected a number, got %s", n.got())
		}
	}
}

// aggregate puts what was decoded of a window feature, or of a row feature with keys of one, into f.
func (d *decoder) aggregate(n *node, f *Feature, a *Aggregate, given []string) {
	latest := n.field("latest") != nil
	switch {
	case len(given) > 1, latest && len(given) == 1:
		names := given
		if latest {
			names = append([]string{"latest"}, given...)
		}
		d.problems.add(n.spot, "a feature is one thing: it has %s", strings.Join(names, " and "))
		return
	case latest:
		for _, name := range []string{"where", "window", "hop", "n", "k", "q", "precision"} {
			if p := n.field(name); p != nil {
				d.problems.add(p.key, "%s belongs to window features; latest takes the newest event whatever it says", name)
			}
		}
		return
	case len(given) == 0:
		d.problems.add(n.spot, "a feature has no latest: expected the name of a column, or an operator such as count with a window")
		return
	}
	f.Aggregate = a
	if n.field("window") == nil {
		d.problems.add(n.spot, "%s has no window: expected a span such as 24h, a list of them, or lifetime", a.Operator)
	}
	if p := n.field("ttl"); p != nil {
		d.problems.add(p.key, "ttl belongs to latest; a window forgets what is older than it is wide")
	}
	takes := map[string]bool{
		"n": a.Operator == string(agg.FirstN) || a.Operator == string(agg.LastN), "k": a.Operator == string(agg.TopK), "q": a.Operator == string(agg.ApproxQuantile),
		"precision": a.Operator == string(agg.ApproxQuantile) || a.Operator == string(agg.ApproxCountDistinct),
	}
	for _, name := range []string{"n", "k", "q", "precision"} {
		p := n.field(name)
		switch {
		case p != nil && !takes[name]:
			d.problems.add(p.key, "%s takes no %s", a.Operator, name)
		case p == nil && takes[name] && name != "precision":
			d.problems.add(n.spot, "%s has no %s", a.Operator, name)
		}
	}
}

// aggregate checks a window feature.
func (c *checker) aggregate(v *View, source *Source, f *Feature, path string) {
	a := f.Aggregate
	at := path + "." + a.Operator
	input, known := feature.Bool, true
	if a.Input != feature.AnyEvent {
		input, known = c.readable(v, source, at, a.Input)
	} else if a.Operator != string(agg.Count) {
		c.problems.add(v.value(at), `%s needs a column: only count takes "*"`, a.Operator)
		known = false
	}
	if a.Where != "" && source != nil && !source.broken {
		if _, _, _, err := readable(source).where(a.Where); err != nil {
			c.problems.add(v.value(path+".where"), "%v", err)
		}
	}
	for i, text := range a.Windows {
		where := path + ".window"
		if a.Many {
			where += fmt.Sprintf("[%d]", i)
		}
		c.window(v, a, text, where)
	}
	if !known {
		return
	}
	spec := agg.SpecOf(&feature.Window{Operator: a.Operator, Input: a.Input, Where: a.Where, N: a.N, Quantile: a.Quantile, Precision: a.Precision}, input)
	output, err := spec.Output()
	if err != nil {
		c.problems.add(v.value(at), "%v", err)
		return
	}
	c.constant(v, f, path, output, fmt.Sprintf("%s, which gives %s", a.Operator, output))
}

// window checks one window of an aggregate.
func (c *checker) window(v *View, a *Aggregate, text, path string) {
	if text == lifetime {
		if !agg.Operator(a.Operator).Bounded() {
			c.problems.add(v.value(path), "exact %s over lifetime would grow without end: give it a span, or take approx_count_distinct (W6)", a.Operator)
		}
		if a.Hop != 0 {
			c.problems.add(v.value(path), "a lifetime has no old edge, and so no hop")
		}
		return
	}
	width, err := feature.ParseSpan(text)
	if err == nil && a.Hop != 0 && width%a.Hop != 0 {
		c.problems.add(v.value(path), "the hop %s does not divide the window %s", a.Hop, text)
	}
}
