package semtest

import (
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

// derived is the on-demand features of a world (D3), an input that they read, and where the service lists them.
type derived struct {
	features []string // YAML; none as a rule
	input    feature.Field
	first    bool
}

// operand is something that an expression reads.
type operand struct {
	name string
	typ  feature.Type
}

// drawDerived draws on-demand features over those of the views for every third world.
func (w *world) drawDerived(t *rapid.T) {
	if rapid.IntRange(0, 2).Draw(t, "on demand") < 2 {
		return
	}
	var all []operand
	for i, name := range w.plan.Names {
		slot := w.plan.Slots[i]
		if f := &w.plan.Items[slot.Item].View.Features[slot.Feature]; exact(f) {
			all = append(all, operand{name, f.Type})
		}
	}
	if len(all) == 0 {
		return
	}
	if rapid.Bool().Draw(t, "on demand input") {
		w.derived.input = feature.Field{Name: "i", Type: rapid.SampledFrom([]feature.Type{feature.Int64, feature.Float64, feature.Bool, feature.String, feature.Timestamp}).Draw(t, "on demand input type")}
	}
	w.derived.first = rapid.Bool().Draw(t, "on demand first")
	for i := range rapid.IntRange(1, 2).Draw(t, "on demand features") {
		label := fmt.Sprintf("on demand %d", i)
		reads := rapid.SliceOfN(rapid.SampledFrom(all), 1, 3).Draw(t, label+" reads")
		if w.derived.input.Name != "" && (i == 0 || rapid.Bool().Draw(t, label+" input")) {
			reads = append(reads, operand{w.derived.input.Name, w.derived.input.Type})
		}
		text, typ := drawExpression(t, label, reads)
		w.derived.features = append(w.derived.features, fmt.Sprintf("{name: y%d, expr: %q, type: %s}", i, text, typ))
	}
}

// exact reports whether all right values of a feature are equal (V3): what is computed from others may differ by anything.
func exact(f *feature.Feature) bool {
	return f.Window == nil || f.Type != feature.Float64 || !slices.Contains([]string{"sum", "avg", "var_pop", "var_samp", "stddev_pop", "stddev_samp"}, f.Window.Operator)
}

// drawExpression draws an expression that reads all of the operands.
func drawExpression(t *rapid.T, label string, reads []operand) (text string, typ feature.Type) {
	text, typ = number(reads, 0)
	for i := 1; i < len(reads); i++ {
		next, other := number(reads, i)
		ops := []string{"+", "-", "*", "/"}
		if typ == feature.Int64 && other == feature.Int64 {
			ops = append(ops, "%")
		}
		op := rapid.SampledFrom(ops).Draw(t, fmt.Sprintf("%s operator %d", label, i))
		if op == "/" || other == feature.Float64 {
			typ = feature.Float64
		}
		text = "(" + text + " " + op + " " + next + ")"
	}
	last, _ := number(reads, len(reads)-1)
	other := map[feature.Type]string{feature.Int64: "7", feature.Float64: "0.5"}[typ]
	switch rapid.IntRange(0, 6).Draw(t, label+" form") {
	case 1:
		return "isNull" + "(" + text + ")", feature.Bool
	case 2:
		return text + " ?? " + other, typ
	case 3:
		return text + " > 0.5", feature.Bool
	case 4:
		return "not (" + text + " >= 1) or isNull(" + reads[0].name + ")", feature.Bool
	case 5:
		return text + " == " + last + " ? 1 : 0 - 1", feature.Int64
	case 6:
		return text + " < 11 and " + last + " != 0", feature.Bool
	default:
		return text, typ
	}
}

// number makes a number of an operand.
func number(reads []operand, i int) (string, feature.Type) {
	o := reads[i]
	switch {
	case o.typ.List || o.typ.Kind == feature.KindString:
		return "len(" + o.name + ")", feature.Int64
	case o.typ == feature.Bool:
		return "(" + o.name + " ? 3 : 5)", feature.Int64
	case o.typ == feature.Timestamp:
		first := slices.IndexFunc(reads, func(o operand) bool { return o.typ == feature.Timestamp })
		return "(" + o.name + " - " + reads[first].name + ")", feature.Int64
	default:
		return o.name, o.typ
	}
}

// yaml writes the definition, if there is one.
func (d *derived) yaml() string {
	if len(d.features) == 0 {
		return ""
	}
	inputs := ""
	if d.input.Name != "" {
		inputs = fmt.Sprintf("inputs: {%s: %s}\n", d.input.Name, d.input.Type)
	}
	return fmt.Sprintf("---\nkind: ondemand\nname: d\n%sfeatures:\n  - %s\n", inputs, strings.Join(d.features, "\n  - "))
}

// drawInputs draws what a read of a key brings, or a row of a spine, besides.
func (w *world) drawInputs(t *rapid.T, label string) []feature.Value {
	var values []feature.Value
	for _, in := range w.plan.Inputs {
		name := label + " input " + in.Name
		values = append(values, w.orNull(t, name, rapid.SampledFrom(valuePool(in.Type)).Draw(t, name)))
	}
	return values
}
