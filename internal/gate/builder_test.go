package gate_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/gate"
)

// all is a source with a column of each type.
func all() *feature.Source {
	return &feature.Source{
		Name: "all", Version: 1, EventTime: "at", MaxFuture: feature.Hour,
		Columns: []feature.Field{
			{Name: "i", Type: feature.Int64},
			{Name: "f", Type: feature.Float64},
			{Name: "b", Type: feature.Bool},
			{Name: "s", Type: feature.String},
			{Name: "at", Type: feature.Timestamp},
			{Name: "is", Type: feature.ListOf(feature.KindInt64)},
			{Name: "v", Type: feature.Type{Kind: feature.KindFloat64, List: true, Len: 2}},
		},
	}
}

func show(b *feature.Batch) []string {
	var out []string
	for i := range b.Rows {
		var row []string
		for _, v := range b.Row(i) {
			row = append(row, v.String())
		}
		out = append(out, strings.Join(row, " | "))
	}
	return out
}

func TestAddJSON(t *testing.T) {
	b := gate.NewBuilder(all(), arrival)
	for _, row := range []string{
		`{"i":1,"f":0.5,"b":true,"s":"x","at":"2001-06-25T12:00:00Z","is":[1,2],"v":[0.5,1]}`,
		`{"v":null,"at":"2001-06-25 12:00:00.0000019","s":"\u00e9","b":"false","f":"NaN","i":"-9223372036854775808"}`,
		`{"at":"1969-12-31T23:59:59.9999999Z","is":[],"f":-0.0,"i":-0,"s":5,"b":null}`,
		`{"at":"1900-01-01"}`,
		`{"at":"2001-07-27T01:00:00Z"}`, // max_future after its arrival
	} {
		if err := b.AddJSON([]byte(row)); err != nil {
			t.Errorf("%s: %v", row, err)
		}
	}
	want := []string{
		`1 | 0.5 | true | "x" | 2001-06-25T12:00:00Z | [1 2] | [0.5 1]`,
		`-9223372036854775808 | NULL | false | "é" | 2001-06-25T12:00:00.000001Z | NULL | NULL`,
		`0 | 0 | NULL | "5" | 1969-12-31T23:59:59.999999Z | [] | NULL`,
		`NULL | NULL | NULL | NULL | 1900-01-01T00:00:00Z | NULL | NULL`,
		`NULL | NULL | NULL | NULL | 2001-07-27T01:00:00Z | NULL | NULL`,
	}
	if got := b.Rows(); got != 5 {
		t.Errorf("Rows() = %d, want 5", got)
	}
	batch := b.Batch()
	if diff := cmp.Diff(want, show(batch)); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	if batch.Source != "all" || math.Signbit(batch.Columns[1].Floats[2]) {
		t.Errorf("Source = %s, -0 kept = %t", batch.Source, math.Signbit(batch.Columns[1].Floats[2]))
	}
	if again := b.Batch(); again.Rows != 0 || len(again.Columns) != 7 {
		t.Errorf("the next batch has %d rows and %d columns", again.Rows, len(again.Columns))
	}
}

func TestAddJSONRefuses(t *testing.T) {
	b := gate.NewBuilder(all(), arrival)
	const at = `"at":"2001-06-25T12:00:00Z"`
	for row, want := range map[string][]string{
		`{}`:                                   {"at: the event time is required"},
		`{"at":null}`:                          {"at: the event time is required"},
		`{"at":"soon"}`:                        {`at: cannot read "soon" as a time: expected RFC 3339`},
		`{"at":993470400}`:                     {"at: cannot take int64 993470400 for timestamp"},
		`{"at":"1899-12-31T23:59:59Z"}`:        {"at: time 1899-12-31T23:59:59Z is outside the years 1900 to 2299"},
		`{"at":"2300-01-01"}`:                  {"at: time 2300-01-01T00:00:00Z is outside the years 1900 to 2299"},
		`{"at":"2001-07-27T01:00:00.000001Z"}`: {"at: the event time 2001-07-27T01:00:00.000001Z is more than 1h after the arrival of the row at 2001-07-27T00:00:00Z"},
		`{` + at + `,"i":1.5,"b":2,"x":[{}]}`:  {"i: expected int64, got the number 1.5", "b: cannot take int64 2 for bool", "x: source all has no such column: expected one of i, f, b, s, at, is, v"},
		`{` + at + `,"i":1,"i":1}`:             {"i: the row has it twice"},
		`{` + at + `,"f":1e400}`:               {"f: number 1e400 is out of the range of float64"},
		`{` + at + `,"is":[1,null]}`:           {"is: element 1 is NULL"},
		`{` + at + `,"is":[[1]]}`:              {"is: element 0: expected int64, got an array"},
		`{` + at + `,"is":{"a":1}}`:            {"is: expected list<int64>, got an object"},
		`{` + at + `,"v":[1]}`:                 {"v: expected 2 elements, got 1"},
		`{` + at + `,"s":["x"]}`:               {"s: expected string, got an array"},
		`{` + at + ",\"s\":\"\xff\"}":          {"not JSON at byte 35: a string is not valid UTF-8"},
		`{` + at + `,"s":"\ud800"}`:            {"half of a surrogate pair"},
		`{` + at + `,"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`: {"nested too deeply"},
		`[` + at + `]`:    {"expected a JSON object"},
		`{` + at + `} {}`: {"expected nothing after the object"},
		``:                {"the text ends after 0 bytes"},
		`{"s":"` + strings.Repeat("x", gate.MaxRowBytes) + `"}`: {"the row has 262152 bytes; at most 262144 are taken"},
	} {
		err := b.AddJSON([]byte(row))
		e, ok := errors.AsType[*feature.Error](err)
		if !ok || e.Code != feature.CodeInvalid || len(e.Details) != len(want) {
			t.Errorf("AddJSON(%.100s) = %v, want %q", row, err, want)
			continue
		}
		for i, d := range e.Details {
			if !strings.Contains(d.String(), want[i]) {
				t.Errorf("AddJSON(%.100s): %s, want %s", row, d, want[i])
			}
		}
	}
	if b.Rows() != 0 {
		t.Errorf("%d bad rows were taken", b.Rows())
	}
	if err := b.AddJSON([]byte(`{` + at + `,"i":1}`)); err != nil || b.Rows() != 1 {
		t.Errorf("a good row after bad ones: %v", err)
	}
}

func batchOf(fields []feature.Field, rows ...[]feature.Value) *feature.Batch {
	b := feature.NewBatch(&feature.Source{Name: "any", Columns: fields})
	for _, r := range rows {
		b.Append(r)
	}
	return b
}

func TestAddBatch(t *testing.T) {
	fields := []feature.Field{
		{Name: "s", Type: feature.Int64}, {Name: "at", Type: feature.String}, {Name: "i", Type: feature.Float64}, {Name: "is", Type: feature.ListOf(feature.KindString)},
	}
	s, i, f := feature.StringValue, feature.Int64Value, feature.Float64Value
	words := func(ws ...string) feature.Value {
		var vs []feature.Value
		for _, w := range ws {
			vs = append(vs, s(w))
		}
		return feature.ListValue(feature.KindString, vs)
	}
	in := batchOf(fields,
		[]feature.Value{i(1), s("2001-06-25"), f(5), words("1", "2")},
		[]feature.Value{i(2), s("x"), f(5.5), words()},
		[]feature.Value{i(3), {}, {}, {}},
		[]feature.Value{i(4), s("2001-06-25"), {}, words("a")},
		[]feature.Value{{}, s("2001-06-26"), {}, {}},
		[]feature.Value{i(6), s("2002-01-01"), {}, {}},
	)
	b := gate.NewBuilder(all(), arrival)
	var got []string
	for _, d := range b.AddBatch(in) {
		got = append(got, d.String())
	}
	wantBad := []string{
		`row 1: i: cannot take float64 5.5 for int64`,
		`row 1: at: cannot read "x" as a time: expected RFC 3339, such as 2001-06-25T12:00:00Z`,
		`row 2: at: the event time is required: expected a timestamp`,
		`row 3: is: element 0: cannot take string "a" for int64`,
		`row 5: at: the event time 2002-01-01T00:00:00Z is more than 1h after the arrival of the row at 2001-07-27T00:00:00Z`,
	}
	if diff := cmp.Diff(wantBad, got); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	want := []string{
		`5 | NULL | NULL | "1" | 2001-06-25T00:00:00Z | [1 2] | NULL`,
		`NULL | NULL | NULL | NULL | 2001-06-26T00:00:00Z | NULL | NULL`,
	}
	if diff := cmp.Diff(want, show(b.Batch())); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
}

// The columns that need no conversion are checked all the same.
func TestAddBatchChecks(t *testing.T) {
	in := feature.NewBatch(all())
	in.Rows = 4
	at := int64(993470400000000)
	in.Columns = []feature.Column{
		{Type: feature.Int64, Ints: []int64{1, 2, 3, 4}},
		{Type: feature.Float64, Floats: []float64{math.NaN(), math.Inf(-1), math.Copysign(0, -1), 0.5}},
		{Type: feature.Bool, Ints: []int64{0, 1, 0, 1}},
		{Type: feature.String, Strs: []string{"a", "\xff", "", "d"}},
		{Type: feature.Timestamp, Ints: []int64{at, at, int64(feature.MinTime) - 1, at}},
		{Type: feature.ListOf(feature.KindInt64), Lists: make([][]feature.Value, 4), Nulls: []bool{true, true, true, false}},
		{Type: all().Columns[6].Type, Lists: [][]feature.Value{nil, nil, nil, {feature.Float64Value(1)}}, Nulls: []bool{true, true, true, false}},
	}
	b := gate.NewBuilder(all(), arrival)
	var got []string
	for _, d := range b.AddBatch(in) {
		got = append(got, d.String())
	}
	wantBad := []string{
		`row 1: s: string "\xff" is not valid UTF-8`,
		`row 2: at: time 1899-12-31T23:59:59.999999Z is outside the years 1900 to 2299`,
		`row 3: v: expected 2 elements, got 1`,
	}
	if diff := cmp.Diff(wantBad, got); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{`1 | NULL | false | "a" | 2001-06-25T12:00:00Z | NULL | NULL`}, show(b.Batch())); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
	if in.Columns[1].Nulls != nil || !math.IsNaN(in.Columns[1].Floats[0]) {
		t.Error("AddBatch changed what it was given")
	}
}

func TestAddBatchRefusesColumns(t *testing.T) {
	b := gate.NewBuilder(all(), arrival)
	var got []string
	for _, d := range b.AddBatch(batchOf([]feature.Field{{Name: "i", Type: feature.Int64}, {Name: "x", Type: feature.Int64}, {Name: "i", Type: feature.Int64}})) {
		got = append(got, d.String())
	}
	want := []string{
		"x: source all has no such column: expected one of i, f, b, s, at, is, v",
		"i: there are two columns of this name",
		"at: the event time is required: there is no such column",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}

// A row goes the same way as JSON and in a batch.
func TestJSONAndBatchAgree(t *testing.T) {
	src := all()
	rapid.Check(t, func(t *rapid.T) {
		var fields []feature.Field
		var row []feature.Value
		for _, f := range src.Columns {
			from := f.Type
			if !from.List {
				from.Kind = rapid.SampledFrom([]feature.Kind{feature.KindInt64, feature.KindFloat64, feature.KindString, feature.KindBool, f.Type.Kind}).Draw(t, "kind")
			}
			fields = append(fields, feature.Field{Name: f.Name, Type: from})
			row = append(row, value(t, from))
		}
		raw := []byte("{")
		for i, f := range fields {
			if i > 0 {
				raw = append(raw, ',')
			}
			raw = append(raw, `"`+f.Name+`":`...)
			raw = row[i].AppendJSON(raw)
		}
		raw = append(raw, '}')
		one, two := gate.NewBuilder(src, arrival), gate.NewBuilder(src, arrival)
		err := one.AddJSON(raw)
		bad := two.AddBatch(batchOf(fields, row))
		if (err != nil) != (len(bad) > 0) {
			t.Fatalf("%s: AddJSON says %v, AddBatch %v", raw, err, bad)
		}
		if diff := cmp.Diff(show(one.Batch()), show(two.Batch())); diff != "" {
			t.Fatalf("%s: (-json +batch):\n%s", raw, diff)
		}
	})
}

func value(t *rapid.T, typ feature.Type) feature.Value {
	if rapid.IntRange(0, 5).Draw(t, "null") == 0 {
		return feature.Value{}
	}
	if typ.List {
		elems := make([]feature.Value, rapid.IntRange(0, 3).Draw(t, "len"))
		for i := range elems {
			elems[i] = feature.Int64Value(int64(i))
			if typ.Kind == feature.KindFloat64 {
				elems[i] = feature.Float64Value(float64(i))
			}
		}
		return feature.ListValue(typ.Kind, elems)
	}
	switch typ.Kind {
	case feature.KindInt64:
		return feature.Int64Value(rapid.SampledFrom([]int64{0, 5, -7, math.MaxInt64, math.MinInt64, 1 << 52}).Draw(t, "int"))
	case feature.KindFloat64:
		return feature.Float64Value(rapid.SampledFrom([]float64{0.5, -0.25, 1e-9, 1.5e300}).Draw(t, "float"))
	case feature.KindBool:
		return feature.BoolValue(rapid.Bool().Draw(t, "bool"))
	case feature.KindTimestamp:
		return feature.TimestampValue(feature.Time(rapid.Int64Range(int64(feature.MinTime), int64(arrival)).Draw(t, "time")))
	default:
		return feature.StringValue(rapid.SampledFrom([]string{"", "5", "-0", "0.5", "true", "2001-06-25", "2002-06-25", "NaN", "é\"\n", "1e400"}).Draw(t, "string"))
	}
}

func FuzzAddJSON(f *testing.F) {
	f.Add([]byte(`{"i":1,"f":0.5,"b":true,"s":"x","at":"2001-06-25T12:00:00Z","is":[1,2],"v":[0.5,1]}`))
	f.Add([]byte(`{"i":"x","i":1}`))
	src := all()
	f.Fuzz(func(t *testing.T, raw []byte) {
		b := gate.NewBuilder(src, arrival)
		err := b.AddJSON(raw)
		if (err == nil) != (b.Rows() == 1) {
			t.Fatalf("AddJSON(%q) = %v, and took %d rows", raw, err, b.Rows())
		}
		if err != nil {
			return
		}
		row := b.Batch()
		if bad := b.AddBatch(row); len(bad) > 0 {
			t.Fatalf("AddJSON took %q, but what it made of it is refused: %v", raw, bad)
		}
		if diff := cmp.Diff(show(row), show(b.Batch())); diff != "" {
			t.Fatalf("%q (-json +batch):\n%s", raw, diff)
		}
	})
}
