package semtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/semtest"
)

// publicCase is a query with range windows that another project tests itself with: rows, and what every row of the answer holds.
type publicCase struct {
	Source  string
	ID      string
	Columns []struct{ Name, Type string }
	Rows    [][]any
	Windows map[string]publicWindow
	Select  [][]string // "col", column; or "agg", operator, column, window, name
	Expect  [][]any    `json:"expect_rows"`
	Agrees  bool       `json:"plain_evaluator_agrees"` // false: the rows that the query saw are not all given
}

// publicWindow holds rows of equal keys from lower to upper before the current row's time; without OPEN both edges are in it.
// Rows of the current row's time that come after it in the input are not.
type publicWindow struct {
	Keys               []string
	TS                 string
	Lower              int64 `json:"lower_ms"`
	Upper              int64 `json:"upper_ms"`
	LowerOpen          bool  `json:"lower_open"`
	UpperOpen          bool  `json:"upper_open"`
	MaxSize            int   `json:"maxsize"`
	ExcludeCurrentTime bool  `json:"exclude_current_time"` // but the current row stays in
	ExcludeCurrentRow  bool  `json:"exclude_current_row"`
}

// TestPublicWindows states the public range-window cases in our definitions and lets every execution answer them:
//
//   - an upper edge before the current row is a delay (T3), an open one a delay of a microsecond more;
//   - a lower edge that is in the window makes it a microsecond wider (W1);
//   - which rows of the current row's own time count depends on the current row, which no window knows: every row reads
//     a key of its own, under which there are the events that it may see;
//   - the newest n rows of a window are the list last_n, over which the test does the sum;
//   - the sum of nothing is NULL there and 0 here (W3).
func TestPublicWindows(t *testing.T) {
	cases := publicCases(t)
	for _, x := range []semtest.Execution{oracleExecution, onlineExecution(inMemory), onlineExecution(flushed), clickhouseExecution(t)} {
		t.Run(x.Name, func(t *testing.T) {
			ran, cells, wrong, passed := 0, 0, 0, map[string]int{}
			for _, c := range cases {
				if !c.Agrees {
					passed["its answers are of rows that are not given"]++
					continue
				}
				got, err := c.answer(t, x)
				if err != nil {
					t.Fatalf("%s %s: %v\n%s", c.Source, c.ID, err, c.yaml())
				}
				ran++
				cells += len(got) * len(c.Select)
				if want := sortedLines(c.Expect); !slices.Equal(sortedLines(got), want) {
					wrong++
					t.Errorf("%s %s:\n%s\nwant\n%s\ndefinitions:\n%s", c.Source, c.ID, strings.Join(sortedLines(got), "\n"), strings.Join(want, "\n"), c.yaml())
				}
			}
			t.Logf("%s: %d of %d public cases, %d cells; %d cases differ; left out: %v", x.Name, ran, len(cases), cells, wrong, passed)
			if ran < 80 {
				t.Errorf("%d cases ran, want at least 80", ran)
			}
		})
	}
}

// publicCases reads the cases.
func publicCases(t *testing.T) []*publicCase {
	b, err := os.ReadFile(expectedFile(t, "openmldb", "openmldb_window_vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []*publicCase
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// sortedLines are rows as text, for which the order and the last digits of a float32 are nothing.
func sortedLines(rows [][]any) []string {
	lines := make([]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			if f, ok := cell.(json.Number); ok {
				n, _ := f.Float64()
				cell = math.Round(n*1e4) / 1e4
			}
			lines[i] += fmt.Sprintf("%v ", cell)
		}
	}
	slices.Sort(lines)
	return lines
}

// group tells windows apart that see different rows of the current row's time, or order rows by different columns.
func (w publicWindow) group() string {
	return fmt.Sprintf("%s_%t_%t", w.TS, w.ExcludeCurrentTime, w.ExcludeCurrentRow)
}

// of returns a window of the group.
func (c *publicCase) of(group string) publicWindow {
	for _, w := range c.Windows {
		if w.group() == group {
			return w
		}
	}
	panic("no window of " + group)
}

func (c *publicCase) column(name string) int {
	return slices.IndexFunc(c.Columns, func(f struct{ Name, Type string }) bool { return f.Name == name })
}

// typeOf is our type of a column; a key cannot be a float, so what is one becomes text.
func (c *publicCase) typeOf(name string) string {
	switch typ := c.Columns[c.column(name)].Type; {
	case typ == "int" || typ == "bigint" || typ == "timestamp": // milliseconds
		return "int64"
	case (typ == "float" || typ == "double") && !c.isKey(name):
		return "float64"
	default:
		return "string"
	}
}

func (c *publicCase) isKey(name string) bool {
	for _, w := range c.Windows {
		if slices.Contains(w.Keys, name) {
			return true
		}
	}
	return false
}

// yaml is the definitions: a source and a service for each group, a view for each window.
func (c *publicCase) yaml() string {
	var b strings.Builder
	services := map[string][]string{}
	for _, name := range sortedKeys(c.Windows) {
		w := c.Windows[name]
		if services[w.group()] == nil {
			fmt.Fprintf(&b, "---\nkind: source\nname: by_%s\nevent_time: happened\ncolumns: {reading: int64, happened: timestamp", w.group())
			for _, f := range c.Columns {
				fmt.Fprintf(&b, ", %s: %s", f.Name, c.typeOf(f.Name))
			}
			b.WriteString("}\n")
		}
		services[w.group()] = append(services[w.group()], name)
		key := "{name: reading, type: int64}"
		for _, k := range w.Keys {
			key += fmt.Sprintf(", {name: %s, type: %s}", k, c.typeOf(k))
		}
		delay, width := w.Upper*1000, (w.Lower-w.Upper)*1000
		if w.UpperOpen {
			delay, width = delay+1, width-1
		}
		if !w.LowerOpen {
			width++
		}
		fmt.Fprintf(&b, "---\nkind: entity\nname: of_%[1]s\nkey: [%[2]s]\n---\nkind: view\nname: %[1]s\nentity: of_%[1]s\nsource: by_%[3]s\nhistory: 300000d\ndelay: %[4]dus\nfeatures:\n",
			name, key, w.group(), delay)
		for _, s := range c.Select {
			if s[0] == "agg" && s[3] == name {
				operator := fmt.Sprintf("%s: %s", s[1], s[2])
				if w.MaxSize > 0 {
					operator = fmt.Sprintf("last_n: %s, n: %d", s[2], w.MaxSize)
				}
				fmt.Fprintf(&b, "  - {name: f_%s, %s, window: %dus}\n  - {name: n_%[1]s, count: \"*\", window: %[3]dus}\n", s[4], operator, width)
			}
		}
	}
	for _, group := range sortedKeys(services) {
		fmt.Fprintf(&b, "---\nkind: service\nname: at_%s\nfeatures: [%s]\n", group, strings.Join(services[group], ", "))
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// answer is what the execution answers, in rows as the query selects them.
func (c *publicCase) answer(t *testing.T, x semtest.Execution) (rows [][]any, err error) {
	catalog, err := semtest.Define(c.yaml())
	if err != nil {
		return nil, err
	}
	engine, err := x.Open(t.Context(), catalog)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	for i, src := range catalog.Sources {
		if _, err := engine.Push(t.Context(), c.events(src, feature.Time(i))); err != nil {
			return nil, err
		}
	}
	cells := make([]map[string]feature.Value, len(c.Rows)) // by the name of the feature
	for i := range cells {
		cells[i] = map[string]feature.Value{}
	}
	for _, service := range catalog.Services {
		plan, err := catalog.PlanService(service.Name)
		if err != nil {
			return nil, err
		}
		if err := c.read(t, engine, plan, c.of(strings.TrimPrefix(service.Name, "at_")).TS, cells); err != nil {
			return nil, err
		}
	}
	for i, row := range c.Rows {
		var out []any
		for _, s := range c.Select {
			if s[0] == "col" {
				out = append(out, row[c.column(s[1])])
				continue
			}
			out = append(out, fold(s[1], cells[i][s[3]+".f_"+s[4]], cells[i][s[3]+".n_"+s[4]].Int64()))
		}
		rows = append(rows, out)
	}
	return rows, nil
}

// fold is a value as JSON has it: that of a window of n rows, or what the operator makes of a list.
func fold(operator string, v feature.Value, n int64) any {
	switch {
	case !v.Type().List && operator == "count":
		return json.Number(v.String())
	case n == 0 && operator != "count" || v.IsNull():
		return nil
	case !v.Type().List:
		return json.Number(v.String())
	case operator == "count":
		return json.Number(fmt.Sprint(len(v.List())))
	case operator != "sum":
		panic("no list operator " + operator)
	}
	sum := 0.0
	for _, x := range v.List() {
		if x.Type() == feature.Int64 {
			x = feature.Float64Value(float64(x.Int64()))
		}
		sum += x.Float64()
	}
	return json.Number(fmt.Sprint(sum))
}

// events are for every row, under its number, the rows that it may see: all but some of its own time.
func (c *publicCase) events(src *feature.Source, at feature.Time) semtest.Message {
	w := c.of(strings.TrimPrefix(src.Name, "by_"))
	m := semtest.Message{Source: src.Name, Taken: feature.MaxTime/2 + at}
	for i, current := range c.Rows {
		for j, row := range c.Rows {
			same := row[c.column(w.TS)] == current[c.column(w.TS)]
			if i == j && w.ExcludeCurrentRow || i != j && same && (j > i || w.ExcludeCurrentTime) {
				continue
			}
			m.Rows = append(m.Rows, c.event(src, i, row, c.time(w.TS, row)))
		}
	}
	return m
}

func (c *publicCase) event(src *feature.Source, reading int, row []any, at feature.Time) json.RawMessage {
	object := map[string]any{"reading": reading, src.EventTime: at.String()}
	for i, f := range c.Columns {
		object[f.Name] = c.value(f.Name, row[i])
	}
	b, err := json.Marshal(object)
	if err != nil {
		panic(err) // it came as JSON
	}
	return b
}

func (c *publicCase) value(column string, v any) any {
	if c.typeOf(column) == "string" {
		return fmt.Sprint(v)
	}
	return v
}

func (c *publicCase) time(column string, row []any) feature.Time {
	ms, err := row[c.column(column)].(json.Number).Int64()
	if err != nil {
		panic(err)
	}
	return feature.Time(ms * 1000)
}

// read reads the plan for every row at its time: online one by one, offline as a training set.
func (c *publicCase) read(t *testing.T, engine semtest.Engine, plan *feature.Plan, ts string, into []map[string]feature.Value) error {
	spine := &feature.Batch{Fields: append(slices.Clone(plan.Keys), feature.Field{Name: "read_at", Type: feature.Timestamp})}
	for _, f := range spine.Fields {
		spine.Columns = append(spine.Columns, feature.Column{Type: f.Type})
	}
	for i, row := range c.Rows {
		var cells []feature.Value
		for _, f := range plan.Keys {
			if f.Name == "reading" {
				cells = append(cells, feature.Int64Value(int64(i)))
				continue
			}
			v, err := feature.ParseJSON(must(json.Marshal(c.value(f.Name, row[c.column(f.Name)]))))
			if err != nil {
				return err
			}
			cells = append(cells, v)
		}
		at := c.time(ts, row)
		spine.Append(append(cells, feature.TimestampValue(at)))
		if replica, ok := engine.(semtest.Replica); ok {
			l := &feature.Lookup{Plan: plan, At: at}
			for _, v := range cells {
				l.Keys = append(l.Keys, []feature.Value{v})
			}
			answer, err := replica.Read(t.Context(), l)
			if err != nil {
				return err
			}
			for k, name := range plan.Names {
				into[i][name] = answer[k].Value
			}
		}
	}
	archive, ok := engine.(semtest.Archive)
	if !ok {
		return nil
	}
	set, err := archive.Train(t.Context(), semtest.Training{Plan: plan, Spine: spine, Time: "read_at"})
	if err != nil {
		return err
	}
	for i := range into {
		for _, name := range plan.Names {
			v := set.Column(name).Value(i)
			if before, ok := into[i][name]; ok && !before.Equal(v) {
				return fmt.Errorf("row %d, %s: read %s, trained %s", i, name, before, v)
			}
			into[i][name] = v
		}
	}
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
