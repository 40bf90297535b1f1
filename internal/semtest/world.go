package semtest

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

// world is what a history is drawn from: a source, views on it, and a few instants that everything happens at, so
// that events tie and reads meet edges.
type world struct {
	columns  []feature.Field
	computed feature.Computed // D2: the column x
	tiebreak bool
	deleted  bool
	known    bool
	id       []string // E1; none as a rule
	dedup    string
	views    []worldView
	mirrored bool // whether the service has the first view in a second role
	derived  derived
	instants []feature.Time

	src   *feature.Source
	plan  *feature.Plan
	taken feature.Time
	rows  []map[string]feature.Value // of every message so far
}

type worldView struct {
	keys           []string // source columns
	delay, history string
	features       []string // YAML
}

// anchors are the times around which a history plays: the ends of time, the epoch, and an ordinary one.
var anchors = [...]feature.Time{1704103200_000000, -5_000000, feature.MinTime, feature.MaxTime - 20_000000}

// clamp moves t into valid time.
func clamp(t feature.Time) feature.Time { return min(max(t, feature.MinTime), feature.MaxTime) }

// valueTypes are the types of the column m, which features read and which orders imported events (O2).
var valueTypes = []feature.Type{
	feature.String, feature.Float64, feature.Bool, feature.Timestamp, feature.ListOf(feature.KindInt64), feature.ListOf(feature.KindFloat64),
	feature.ListOf(feature.KindString), feature.ListOf(feature.KindBool), feature.ListOf(feature.KindTimestamp),
}

// computedColumns are what the column x may be; it is read like the others.
var computedColumns = []feature.Computed{
	{Expr: "a * 2 - 1", Type: feature.Int64},
	{Expr: "a / 4", Type: feature.Float64},
	{Expr: "a > 0 or isNull(a)", Type: feature.Bool},
	{Expr: "toString(a) ?? 'none'", Type: feature.String},
	{Expr: "a % 2 == 0 ? ts : nil", Type: feature.Timestamp},
	{Expr: "ts - ts + a", Type: feature.Int64},
	{Expr: "a ?? 5", Type: feature.Int64},
}

func drawWorld(t *rapid.T) *world {
	w := &world{
		tiebreak: rapid.Bool().Draw(t, "tiebreak"),
		deleted:  rapid.Bool().Draw(t, "deleted"),
		known:    rapid.Bool().Draw(t, "available_at"),
		mirrored: rapid.Bool().Draw(t, "role"),
	}
	w.drawColumns(t)
	w.computed = rapid.SampledFrom(computedColumns).Draw(t, "x")
	if rapid.IntRange(0, 2).Draw(t, "identity") == 2 {
		w.id = rapid.SampledFrom([][]string{{"a"}, {"k1"}, {"k1", "a"}, {"a", "k2"}, {"ts"}, {"k2", "ts"}}).Draw(t, "id")
		w.dedup = rapid.SampledFrom([]string{"0s", "1us", "1s", "2s", "3s", "7d"}).Draw(t, "dedup")
	}
	anchor := rapid.SampledFrom(anchors[:]).Draw(t, "anchor")
	for i := range rapid.IntRange(2, 5).Draw(t, "instants") {
		label := fmt.Sprintf("instant %d", i)
		at := anchor + 1_000000*feature.Time(rapid.IntRange(0, 6).Draw(t, label))
		at += feature.Time(rapid.SampledFrom([]int{0, 0, 0, 1, -1, 500_000}).Draw(t, label+" off"))
		if rapid.IntRange(0, 15).Draw(t, label+" far") == 15 {
			at = rapid.SampledFrom(anchors[:]).Draw(t, label+" anchor")
		}
		w.instants = append(w.instants, clamp(at))
	}
	for i := range rapid.IntRange(1, 3).Draw(t, "views") {
		w.views = append(w.views, w.drawView(t, fmt.Sprintf("view %d", i)))
	}
	return w
}

// drawColumns draws the columns and their order, which is not that of their names (O2).
func (w *world) drawColumns(t *rapid.T) {
	keyTypes := rapid.SampledFrom([]feature.Type{feature.String, feature.Int64, feature.Bool, feature.Timestamp})
	columns := []feature.Field{
		{Name: "k1", Type: keyTypes.Draw(t, "k1")},
		{Name: "k2", Type: keyTypes.Draw(t, "k2")},
		{Name: "ts", Type: feature.Timestamp},
		{Name: "a", Type: feature.Int64},
		{Name: "m", Type: rapid.SampledFrom(valueTypes).Draw(t, "m")},
	}
	if w.tiebreak {
		columns = append(columns, feature.Field{Name: "tie", Type: rapid.SampledFrom([]feature.Type{feature.Int64, feature.Timestamp}).Draw(t, "tie")})
	}
	if w.deleted {
		columns = append(columns, feature.Field{Name: "gone", Type: feature.Bool})
	}
	if w.known {
		columns = append(columns, feature.Field{Name: "known", Type: feature.Timestamp})
	}
	w.columns = rapid.Permutation(columns).Draw(t, "columns")
}

func (w *world) drawView(t *rapid.T, label string) worldView {
	v := worldView{
		keys:    rapid.SampledFrom([][]string{{"k1"}, {"k2"}, {"k1", "k2"}, {"k2", "k1"}}).Draw(t, label+" keys"),
		delay:   rapid.SampledFrom([]string{"0s", "0s", "1us", "1s", "2s"}).Draw(t, label+" delay"),
		history: rapid.SampledFrom([]string{"300000d", "300000d", "1us", "2s", "5s"}).Draw(t, label+" history"),
	}
	for i := range rapid.IntRange(1, 3).Draw(t, label+" features") {
		name := fmt.Sprintf("%s feature %d", label, i)
		if rapid.IntRange(0, 3).Draw(t, name+" kind") > 0 {
			v.features = append(v.features, fmt.Sprintf("{name: f%d, %s}", i, w.drawWindow(t, name)))
			continue
		}
		f := fmt.Sprintf("{name: f%d, latest: %s", i, rapid.SampledFrom([]string{"a", "a", "m", "ts", "x"}).Draw(t, name))
		f += rapid.SampledFrom([]string{"", "", ", ttl: 1us", ", ttl: 1s", ", ttl: 3s"}).Draw(t, name+" ttl")
		if strings.Contains(f, "latest: a") {
			f += rapid.SampledFrom([]string{"", ", default: 7"}).Draw(t, name+" default")
		}
		v.features = append(v.features, f+"}")
	}
	return v
}

func (w *world) instant(t *rapid.T, label string) feature.Time {
	return rapid.SampledFrom(w.instants).Draw(t, label)
}

func (w *world) catalogViews() []*feature.View {
	var views []*feature.View
	for _, it := range w.plan.Items {
		views = append(views, it.View)
	}
	return views
}

func (w *world) typeOf(column string) feature.Type {
	if column == "x" {
		return w.computed.Type
	}
	return w.columns[feature.FieldIndex(w.columns, column)].Type
}

// yaml writes the definitions.
func (w *world) yaml() string {
	var b strings.Builder
	columns := make([]string, len(w.columns), len(w.columns)+1)
	for i, f := range w.columns {
		columns[i] = fmt.Sprintf("%s: %q", f.Name, f.Type)
	}
	columns = append(columns, fmt.Sprintf("x: {expr: %q, type: %s}", w.computed.Expr, w.computed.Type))
	fmt.Fprintf(&b, "kind: source\nname: %s\ncolumns: {%s}\nevent_time: ts\nmax_future: 160000d\n", source, strings.Join(columns, ", "))
	for _, line := range []struct {
		has  bool
		text string
	}{
		{w.tiebreak, "tiebreak: tie"},
		{w.deleted, "deleted: gone"},
		{w.known, "available_at: known"},
		{w.id != nil, "id: [" + strings.Join(w.id, ", ") + "]\ndedup: " + w.dedup},
	} {
		if line.has {
			fmt.Fprintln(&b, line.text)
		}
	}
	for i, v := range w.views {
		var key, keys []string
		for part, column := range v.keys {
			name := fmt.Sprintf("v%dp%d", i, part)
			key = append(key, fmt.Sprintf("{name: %s, type: %s}", name, w.typeOf(column)))
			keys = append(keys, fmt.Sprintf("%s: %s", name, column))
		}
		fmt.Fprintf(&b, "---\nkind: entity\nname: n%d\nkey: [%s]\n", i, strings.Join(key, ", "))
		fmt.Fprintf(&b, "---\nkind: view\nname: v%d\nentity: n%d\nkeys: {%s}\nsource: %s\nhistory: %s\n", i, i, strings.Join(keys, ", "), source, v.history)
		if v.delay != "0s" {
			fmt.Fprintf(&b, "delay: %s\n", v.delay)
		}
		fmt.Fprintf(&b, "features:\n  - %s\n", strings.Join(v.features, "\n  - "))
	}
	b.WriteString(w.derived.yaml())
	b.WriteString("---\nkind: service\nname: all\nfeatures:\n")
	listed := ""
	if len(w.derived.features) > 0 {
		listed = "  - d\n"
	}
	if w.derived.first {
		b.WriteString(listed)
	}
	for i := range w.views {
		fmt.Fprintf(&b, "  - v%d\n", i)
	}
	if w.mirrored {
		keys := make([]string, len(w.views[0].keys))
		for part := range keys {
			keys[part] = fmt.Sprintf("v0p%d: r%d", part, part)
		}
		fmt.Fprintf(&b, "  - {view: v0, as: again, keys: {%s}}\n", strings.Join(keys, ", "))
	}
	if !w.derived.first {
		b.WriteString(listed)
	}
	return b.String()
}

// valuePool returns the few values of a type that occur in histories: those that are easily taken for another, or
// for NULL.
func valuePool(t feature.Type) []feature.Value {
	if t.List {
		of := valuePool(feature.Type{Kind: t.Kind})
		return []feature.Value{feature.ListValue(t.Kind, nil), feature.ListValue(t.Kind, of[:1]), feature.ListValue(t.Kind, of[1:2]), feature.ListValue(t.Kind, of[:2])}
	}
	switch t.Kind {
	case feature.KindInt64:
		return []feature.Value{feature.Int64Value(0), feature.Int64Value(1), feature.Int64Value(11), feature.Int64Value(-1)}
	case feature.KindFloat64:
		return []feature.Value{feature.Float64Value(0), feature.Float64Value(0.5), feature.Float64Value(-0.5), feature.Float64Value(-1e9)}
	case feature.KindBool:
		return []feature.Value{feature.BoolValue(false), feature.BoolValue(true)}
	case feature.KindString:
		return []feature.Value{feature.StringValue(""), feature.StringValue("a"), feature.StringValue("ab"), feature.StringValue("a\x00")}
	default:
		return []feature.Value{feature.TimestampValue(0), feature.TimestampValue(-1), feature.TimestampValue(1704103200_000000)}
	}
}
