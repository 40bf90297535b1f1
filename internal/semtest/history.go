package semtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

// History is a random world: definitions, and what happens in it in order. It is drawn so that many events are at
// the same or neighbouring instants and many reads are on an edge.
type History struct {
	Definitions string // YAML
	Catalog     *feature.Catalog
	Steps       []Step
}

// Step is one thing that happens: one of Push, Import, Read and Training.
type Step struct {
	Push     *Message
	Import   *Message
	Read     *feature.Lookup
	Training *Training
	Past     bool // of Read and Training: an archive is asked for what it was when the log was half as long
	Offline  bool // of Read: an archive is asked too; all reads are rows of a training set besides

	rows []map[string]feature.Value // of Push or Import, by column
}

// source is the name of a history's only source.
const source = "e"

// DrawHistory draws a history.
func DrawHistory(t *rapid.T) *History {
	w, h := drawWorld(t), &History{}
	h.define(t, w)
	if w.drawDerived(t); len(w.derived.features) > 0 {
		h.define(t, w)
	}
	kinds := rapid.SampledFrom([]string{"push", "push", "push", "import", "read", "read"})
	for i, kind := range rapid.SliceOfN(kinds, 1, 10).Draw(t, "steps") {
		switch label := fmt.Sprintf("%s %d", kind, i); kind {
		case "push":
			m, rows := w.drawMessage(t, label)
			h.Steps = append(h.Steps, Step{Push: m, rows: rows})
		case "import":
			m, rows := w.drawMessage(t, label)
			h.Steps = append(h.Steps, Step{Import: m, rows: rows})
		case "read":
			h.Steps = append(h.Steps, w.drawRead(t, label))
		}
	}
	for i := range 3 {
		h.Steps = append(h.Steps, w.drawRead(t, fmt.Sprintf("last read %d", i)))
	}
	for _, training := range []*Training{w.drawTraining(t, h.Steps), w.drawAllKeys(t, h.Catalog)} {
		h.Steps = append(h.Steps, Step{Training: training, Past: rapid.Bool().Draw(t, "past")})
	}
	return h
}

// define gives the history the definitions of the world, and the world their plan.
func (h *History) define(t *rapid.T, w *world) {
	h.Definitions = w.yaml()
	var err error
	if h.Catalog, err = Define(h.Definitions); err != nil {
		t.Fatalf("the definitions of the history are wrong: %v\n%s", err, h.Definitions)
	}
	w.src = h.Catalog.Source(source)
	if w.plan, err = h.Catalog.PlanService("all"); err != nil {
		t.Fatalf("plan: %v", err)
	}
}

// drawMessage draws up to five rows and remembers them for the reads.
func (w *world) drawMessage(t *rapid.T, label string) (m *Message, rows []map[string]feature.Value) {
	w.taken = max(w.taken, w.instant(t, label+" taken"))
	m = &Message{Source: source, Taken: w.taken}
	for i := range rapid.IntRange(1, 5).Draw(t, label+" rows") {
		row := w.drawRow(t, fmt.Sprintf("%s row %d", label, i))
		rows = append(rows, row)
		object := []byte{'{'}
		for k, f := range w.src.Columns {
			if k > 0 {
				object = append(object, ',')
			}
			object = fmt.Appendf(object, "%q:", f.Name)
			object = row[f.Name].AppendJSON(object)
		}
		m.Rows = append(m.Rows, json.RawMessage(append(object, '}')))
	}
	w.rows = append(w.rows, rows...)
	return m, rows
}

func (w *world) drawRow(t *rapid.T, label string) map[string]feature.Value {
	row := map[string]feature.Value{}
	for _, f := range w.src.Columns {
		name := label + " " + f.Name
		switch f.Name {
		case w.src.EventTime:
			row[f.Name] = feature.TimestampValue(w.instant(t, name))
		case w.src.AvailableAt:
			row[f.Name] = w.orNull(t, name, feature.TimestampValue(w.instant(t, name)))
		default:
			row[f.Name] = rapid.SampledFrom(valuePool(f.Type)).Draw(t, name)
			if !slices.Contains(w.id, f.Name) {
				row[f.Name] = w.orNull(t, name, row[f.Name])
			}
		}
	}
	return row
}

// orNull replaces one value in eight by NULL.
func (w *world) orNull(t *rapid.T, label string, v feature.Value) feature.Value {
	if rapid.IntRange(0, 7).Draw(t, label+" null") == 7 {
		return feature.Value{}
	}
	return v
}

// drawRead draws a read of one to three keys, the first as a rule that of an event, at an instant that is likely an
// edge for it.
func (w *world) drawRead(t *rapid.T, label string) Step {
	asked := w.drawAsked(t, label)
	defer func(rows []map[string]feature.Value) { w.rows = rows }(w.rows)
	w.rows = slices.Concat(w.rows, asked, asked) // keys of these are likely asked for
	row, at := w.drawEdge(t, label)
	l := &feature.Lookup{Plan: w.plan, Keys: make([][]feature.Value, len(w.plan.Keys)), Inputs: make([][]feature.Value, len(w.plan.Inputs)), At: at}
	if len(asked) > 0 {
		b := feature.NewBatch(w.src)
		for _, row := range asked {
			values := make([]feature.Value, len(w.src.Columns))
			for i, f := range w.src.Columns {
				values[i] = row[f.Name]
			}
			b.Append(values)
		}
		l.Events = append(l.Events, b)
	}
	for i := range rapid.IntRange(1, 3).Draw(t, label+" keys") {
		if i > 0 {
			row = w.someRow(t, fmt.Sprintf("%s key %d of", label, i))
		}
		for k, v := range w.drawKey(t, fmt.Sprintf("%s key %d", label, i), row) {
			l.Keys[k] = append(l.Keys[k], v)
		}
		for k, v := range w.drawInputs(t, fmt.Sprintf("%s key %d", label, i)) {
			l.Inputs[k] = append(l.Inputs[k], v)
		}
	}
	return Step{
		Read: l, Past: rapid.Bool().Draw(t, label+" past"), Offline: len(asked) > 0 || rapid.IntRange(0, 3).Draw(t, label+" offline") == 3,
	}
}

// drawAsked draws up to three events for every third read to bring (D4), some of them such as there are.
func (w *world) drawAsked(t *rapid.T, label string) (rows []map[string]feature.Value) {
	if rapid.IntRange(0, 2).Draw(t, label+" brings") < 2 {
		return nil
	}
	for i := range rapid.IntRange(1, 3).Draw(t, label+" events") {
		row := w.drawRow(t, fmt.Sprintf("%s event %d", label, i))
		if known := w.someRow(t, fmt.Sprintf("%s event %d copies", label, i)); known != nil && rapid.IntRange(0, 2).Draw(t, label+" copy") == 2 {
			row = known
		}
		rows = append(rows, row)
	}
	return rows
}

// someRow draws a row of some message; nil if there is none.
func (w *world) someRow(t *rapid.T, label string) map[string]feature.Value {
	if len(w.rows) == 0 {
		return nil
	}
	return rapid.SampledFrom(w.rows).Draw(t, label)
}

// drawKey draws values for the plan's keys: those of the row, or of another in one part.
func (w *world) drawKey(t *rapid.T, label string, row map[string]feature.Value) []feature.Value {
	key := make([]feature.Value, len(w.plan.Keys))
	for i, f := range w.plan.Keys {
		part := fmt.Sprintf("%s part %d", label, i)
		if row != nil && rapid.IntRange(0, 9).Draw(t, part+" other") < 9 {
			key[i] = row[w.columnOf(f.Name)]
		} else {
			key[i] = w.orNull(t, part, rapid.SampledFrom(valuePool(f.Type)).Draw(t, part))
		}
	}
	return key
}

// columnOf returns the source column of a request key.
func (w *world) columnOf(key string) string {
	for _, it := range w.plan.Items {
		for i, name := range it.Keys {
			if name == key {
				return it.View.Keys[i]
			}
		}
	}
	panic("no view has the key " + key)
}

// drawEdge draws a row (nil if there is none) and an instant at which, or a microsecond off which, a view looks at its
// event time, or the event is as old as a ttl, or the event becomes available, or the replica's floor may be.
func (w *world) drawEdge(t *rapid.T, label string) (row map[string]feature.Value, at feature.Time) {
	row = w.someRow(t, label+" row")
	at = w.instant(t, label+" at")
	v := rapid.SampledFrom(w.catalogViews()).Draw(t, label+" view")
	f := rapid.SampledFrom(v.Features).Draw(t, label+" feature")
	edge := rapid.IntRange(0, 9).Draw(t, label+" edge")
	if row != nil && edge > 0 {
		at = row[w.src.EventTime].Time()
	}
	switch edge {
	case 1, 2, 3, 4:
		at = at.Add(v.Delay)
	case 5, 6, 7:
		at = at.Add(v.Delay + f.TTL)
		if f.Window != nil {
			at = at.Add(f.Window.Width)
		}
	case 8:
		at = at.Add(-v.History)
	case 9:
		if known := row[w.src.AvailableAt]; !known.IsNull() {
			at = known.Time()
		}
	}
	return row, clamp(at + feature.Time(rapid.SampledFrom([]int{0, 0, 1, -1}).Draw(t, label+" off")))
}

// drawTraining draws a training set whose spine has rows of its own, and what the steps read.
func (w *world) drawTraining(t *rapid.T, steps []Step) *Training {
	r := &Training{Plan: w.plan, Time: "spine_time", Spine: &feature.Batch{}}
	if rapid.Bool().Draw(t, "available") {
		r.Clock = feature.ClockAvailable
	}
	r.Spine.Fields = append(r.Spine.Fields, w.plan.Keys...)
	r.Spine.Fields = append(r.Spine.Fields, feature.Field{Name: r.Time, Type: feature.Timestamp}, feature.Field{Name: "label", Type: feature.Int64})
	r.Spine.Fields = append(r.Spine.Fields, w.plan.Inputs...)
	for _, f := range r.Spine.Fields {
		r.Spine.Columns = append(r.Spine.Columns, feature.Column{Type: f.Type})
	}
	for i := range rapid.IntRange(1, 8).Draw(t, "spine") {
		label := fmt.Sprintf("spine %d", i)
		of, at := w.drawEdge(t, label)
		row := append(w.drawKey(t, label, of), feature.TimestampValue(at), feature.Int64Value(int64(i)))
		r.Spine.Append(append(row, w.drawInputs(t, label)...))
	}
	for i, s := range steps {
		if s.Read == nil {
			continue
		}
		for row := range s.Read.Rows() {
			var values []feature.Value
			for _, k := range s.Read.Keys {
				values = append(values, k[row])
			}
			values = append(values, feature.TimestampValue(s.Read.At), feature.Int64Value(int64(-i)))
			for _, in := range s.Read.Inputs {
				values = append(values, in[row])
			}
			r.Spine.Append(values)
		}
	}
	return r
}

// drawAllKeys draws a training set of all keys of the first view (S3).
func (w *world) drawAllKeys(t *rapid.T, c *feature.Catalog) *Training {
	plan, err := c.PlanFeatures([]string{"v0.f0"})
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	r := &Training{Plan: plan, Time: AllKeysTime}
	_, r.At = w.drawEdge(t, "all keys")
	if rapid.Bool().Draw(t, "all keys available") {
		r.Clock = feature.ClockAvailable
	}
	return r
}

// Script returns the history as a script; what it must print is left out.
func (h *History) Script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "needs taken\n----\n\ndefine\n%s----\n\n", h.Definitions)
	for _, s := range h.Steps {
		switch {
		case s.Push != nil:
			fmt.Fprintf(&b, "push %s taken=%s\n", s.Push.Source, shortTime(s.Push.Taken))
			writeRows(&b, s.Push)
		case s.Import != nil:
			fmt.Fprintf(&b, "import %s\n", s.Import.Source)
			writeRows(&b, s.Import)
		case s.Read != nil:
			for _, asked := range s.Read.Events {
				fmt.Fprintf(&b, "with %s\n%s----\n\n", asked.Source, strings.ReplaceAll(printTable(asked), " | ", "  "))
			}
			fmt.Fprintf(&b, "read all at=%s\n", shortTime(s.Read.At))
			writeKeys(&b, s.Read)
		case s.Training != nil && s.Training.Spine == nil:
			fmt.Fprintf(&b, "train v0.f0 clock=%s keys=all at=%s\n", s.Training.Clock, shortTime(s.Training.At))
		case s.Training != nil:
			fmt.Fprintf(&b, "train all clock=%s time=%s\n%s", s.Training.Clock, s.Training.Time, strings.ReplaceAll(printTable(s.Training.Spine), " | ", "  "))
		}
		b.WriteString("----\n\n")
	}
	return b.String()
}

func writeRows(b *strings.Builder, m *Message) {
	for _, r := range m.Rows {
		fmt.Fprintf(b, "%s\n", r)
	}
}

func writeKeys(b *strings.Builder, l *feature.Lookup) {
	keys := &feature.Batch{Fields: slices.Concat(l.Plan.Keys, l.Plan.Inputs), Rows: l.Rows()}
	for i, values := range slices.Concat(l.Keys, l.Inputs) {
		c := feature.Column{Type: keys.Fields[i].Type}
		for _, v := range values {
			c.Append(v)
		}
		keys.Columns = append(keys.Columns, c)
	}
	b.WriteString(strings.ReplaceAll(printTable(keys), " | ", "  "))
}
