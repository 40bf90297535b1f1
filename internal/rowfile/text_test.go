package rowfile_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

// show renders a batch: the types, then the rows.
func show(b *feature.Batch) string {
	var out strings.Builder
	for i, f := range b.Fields {
		fmt.Fprintf(&out, "%s%s %s", sep(i), f.Name, f.Type)
	}
	for row := range b.Rows {
		out.WriteByte('\n')
		for i, v := range b.Row(row) {
			out.WriteString(sep(i) + v.String())
		}
	}
	return out.String()
}

func sep(i int) string {
	if i > 0 {
		return " | "
	}
	return ""
}

// readText reads a stream into one batch.
func readText(f rowfile.Format, text string, types map[string]feature.Type) (*feature.Batch, error) {
	r, err := rowfile.NewReader("in", strings.NewReader(text), f, types)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all := newBatch(nil)
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			if all.Rows == 0 {
				all = newBatch(r.Fields())
			}
			return all, nil
		}
		if err != nil {
			if _, again := r.Next(); !errors.Is(again, err) {
				return nil, fmt.Errorf("%w, and then another error: %w", err, again)
			}
			return nil, err
		}
		if all.Rows == 0 {
			all = b
		} else {
			all.AppendBatch(b)
		}
	}
}

var mixed = map[string]feature.Type{
	"i": feature.Int64, "f": feature.Float64, "b": feature.Bool, "t": feature.Timestamp, "l": feature.ListOf(feature.KindInt64), "unused": feature.Int64,
}

func TestCSV(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"types", "i,f,b,t,s\n5,0.5,true,2001-06-25T12:00:00Z,x\n", "i int64 | f float64 | b bool | t timestamp | s string\n5 | 0.5 | true | 2001-06-25T12:00:00Z | \"x\""},
		{"what pandas writes", "i,f,b,t\n5.0,1e-3,True,2001-06-25 12:00:00.5\n-0,NaN,FALSE,2001-06-25", "i int64 | f float64 | b bool | t timestamp\n5 | 0.001 | true | 2001-06-25T12:00:00.5Z\n0 | NULL | false | 2001-06-25T00:00:00Z"},
		{"empty is NULL, quoted empty is a string", "i,s\n,\n\"\",\"\"\n,x\n1,", "i int64 | s string\nNULL | NULL\nNULL | \"\"\nNULL | \"x\"\n1 | NULL"},
		{"quotes", "s,\"a,b\"\n\"x\"\"y\",\"1\n2\"\r\n\"\"\"\"\"\",\" z\"\n", "s string | a,b string\n\"x\\\"y\" | \"1\\n2\"\n\"\\\"\\\"\" | \" z\""},
		{"carriage returns", "s,i\r\nx,1\r\n\"y\",2\r\n", "s string | i int64\n\"x\" | 1\n\"y\" | 2"},
		{"no rows", "s,i", "s string | i int64"},
		{"blank lines", "s,i\n\nx,1\n\r\n\n", "s string | i int64\n\"x\" | 1"},
		{"one column", "s\n\nx\n\"\"\n", "s string\nNULL\n\"x\"\n\"\""},
		{"byte order mark", "\ufeffs,i\nx,1", "s string | i int64\n\"x\" | 1"},
		{"lists", "l\n\"[1,2]\"\n[]\n[3]\n\n", "l list<int64>\n[1 2]\n[]\n[3]\nNULL"},
		{"extremes", "i,f\n9223372036854775807,1.7976931348623157e308\n-9223372036854775808,-0.0", "i int64 | f float64\n9223372036854775807 | 1.7976931348623157e+308\n-9223372036854775808 | 0"},
	}
	for _, tt := range tests {
		got, err := readText(rowfile.CSV, tt.in, mixed)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, show(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestJSONL(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"types", `{"i":"5","f":1,"b":true,"t":"2001-06-25","s":"x","l":[1]}`, "i int64 | f float64 | b bool | t timestamp | s string | l list<int64>\n5 | 1 | true | 2001-06-25T00:00:00Z | \"x\" | [1]"},
		{"order of first appearance", "{\"z\":1}\n{\"a\":2,\"z\":3}\n\n{}\n", "z int64 | a int64\n1 | NULL\n3 | 2\nNULL | NULL"},
		{"inferred", "{\"x\":1,\"y\":null,\"z\":[],\"w\":[],\"v\":\"2001-06-25\"}\r\n{\"x\":0.5,\"y\":null,\"w\":[1]}\n{\"w\":[0.5]}", "x float64 | y string | z list<string> | w list<float64> | v string\n1 | NULL | [] | [] | \"2001-06-25\"\n0.5 | NULL | NULL | [1] | NULL\nNULL | NULL | NULL | [0.5] | NULL"},
		{"nothing", "", ""},
		{"blank", "\n \r\n", ""},
		{"escaped names", `{"\u00e9\"":1}`, "é\" int64\n1"},
	}
	for _, tt := range tests {
		got, err := readText(rowfile.JSONL, tt.in, mixed)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, show(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// A column that is wanted may come late; another may not.
func TestJSONLLateColumns(t *testing.T) {
	head := strings.Repeat("{\"x\":1}\n", 9000)
	got, err := readText(rowfile.JSONL, head, mixed)
	if err != nil || got.Rows != 9000 {
		t.Fatalf("%v", err)
	}
	path := writeFile(t, "late.jsonl", head+"{\"i\":2}\n{\"x\":3}\n")
	r, err := rowfile.Open(path, rowfile.JSONL, mixed)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	b, err := r.Next()
	if err != nil || b.Rows != 810 || !strings.HasSuffix(show(b), "\n1 | NULL\nNULL | 2\n3 | NULL") || !strings.HasPrefix(show(b), "x int64 | i int64\n") || len(r.Fields()) != 2 {
		t.Errorf("the second chunk is %.200v, %v", b, err)
	}
	_, err = readText(rowfile.JSONL, head+"{\"q\":2}\n", mixed)
	if err == nil || !strings.Contains(err.Error(), "in:9001: q: a new column, which the first 8192 rows do not have") {
		t.Errorf("a late column: %v", err)
	}
}

func TestTextRefuses(t *testing.T) {
	long := strings.Repeat("x", 17<<20)
	tests := []struct {
		format   rowfile.Format
		in, want string
	}{
		{rowfile.CSV, "", "in: the file is empty: expected a header row"},
		{rowfile.CSV, "a,,b\n", "in:1: column 2 of the header has no name"},
		{rowfile.CSV, "a,a\n", "in:1: a: there are two columns of this name"},
		{rowfile.CSV, "i,s\n1,x\n1\n", "in:3: the row has 1 fields: expected 2, as the header has"},
		{rowfile.CSV, "i,s\n1,x,y\n", "in:2: the row has 3 fields"},
		{rowfile.CSV, "s,i\n\"1\n2\",1\nx,y\n", `in:4: i: cannot take string "y" for int64`},
		{rowfile.CSV, "i\n5.5\n", `in:2: i: cannot take string "5.5" for int64`},
		{rowfile.CSV, "i\n5.\n", `in:2: i: cannot take string "5." for int64`},
		{rowfile.CSV, "i\n9223372036854775808\n", "in:2: i: cannot take"},
		{rowfile.CSV, "t\n\nsoon\n", `in:3: t: cannot read "soon" as a time: expected RFC 3339`},
		{rowfile.CSV, "t\n1899-12-31\n", "in:2: t: time 1899-12-31T00:00:00Z is outside the years 1900 to 2299"},
		{rowfile.CSV, "s\n\xff\n", `in:2: s: string "\xff" is not valid UTF-8`},
		{rowfile.CSV, "b\nyes\n", "in:2: b: cannot take"},
		{rowfile.CSV, "l\n\"[1,null]\"\n", "in:2: l: element 1 is NULL"},
		{rowfile.CSV, "s,i\n\"x,1\n", "in:2: a quote in this row is never closed"},
		{rowfile.CSV, "s,i\n\"x\"y,1\n", "in:2: expected a comma behind a closing quote, got 'y'"},
		{rowfile.CSV, "s,i\nx\"y,1\n", "in:2: s: a quote in a field that does not begin with one"},
		{rowfile.CSV, "s\n" + long, "in:2: the row is longer than 16777216 bytes"},
		{rowfile.CSV, "s\n\"" + strings.Repeat(long[:1<<20]+"\n", 17), "in:2: the row is longer than 16777216 bytes; is a quote missing?"},
		{rowfile.JSONL, "{\"i\":1}\n[1]\n", "in:2: not JSON at byte 1: expected a JSON object"},
		{rowfile.JSONL, "{\"i\":1}\n{\"i\":1.5}", "in:2: i: expected int64, got the number 1.5"},
		{rowfile.JSONL, "{\"x\":1}\n\n{\"x\":\"a\"}", `in:3: x: expected int64, as in the lines before, got "a"`},
		{rowfile.JSONL, "{\"x\":1,\"x\":2}", "in:1: x: the row has it twice"},
		{rowfile.JSONL, "{\"\":1}", "in:1: a column without a name"},
		{rowfile.JSONL, "{\"x\":{\"y\":1}}", "in:1: x: expected a scalar or a list of scalars, got an object"},
		{rowfile.JSONL, "{\"x\":9007199254740993}\n{\"x\":0.5}", "in:1: x: cannot take int64 9007199254740993 for float64"},
		{rowfile.JSONL, "{\"x\":1", "in:1: not JSON: expected a comma or the end of the object, but the text ends"},
		{rowfile.JSONL, long, "in:1: the line is longer than 16777216 bytes"},
		{rowfile.JSONL, strings.Repeat("{\"x\":1}\n", 9000) + "{\"x\":\"a\"}", "in:9001: x: cannot take"},
		{rowfile.Parquet, "", "Parquet cannot be read from a stream"},
		{rowfile.Format("xlsx"), "", `unknown format "xlsx": expected parquet, csv, jsonl, arrow or feather`},
	}
	for _, tt := range tests {
		got, err := readText(tt.format, tt.in, mixed)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %.100q = %v, %v, want an error with %q", tt.format, tt.in, got, err, tt.want)
			continue
		}
		if feature.CodeOf(err) != feature.CodeInvalid {
			t.Errorf("%s %.100q: code %s, want invalid", tt.format, tt.in, feature.CodeOf(err))
		}
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]rowfile.Format{
		"a.parquet": rowfile.Parquet, "a.b/C.PQ": rowfile.Parquet, "a.csv": rowfile.CSV, "a.jsonl": rowfile.JSONL, "a.ndjson": rowfile.JSONL,
		"a.json": rowfile.JSONL, "a.arrow": rowfile.Arrow, "a.arrows": rowfile.Arrow, "a.feather": rowfile.Feather, "a.ipc": rowfile.Feather,
	} {
		if got, err := rowfile.FormatOf(name); err != nil || got != want {
			t.Errorf("FormatOf(%s) = %s, %v, want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"", "a", "parquet", "a.xlsx"} {
		if got, err := rowfile.FormatOf(name); feature.CodeOf(err) != feature.CodeInvalid {
			t.Errorf("FormatOf(%q) = %s, %v, want CodeInvalid", name, got, err)
		}
	}
}

// Whatever the text, reading ends; what is read can be written and is then read again.
func FuzzText(f *testing.F) {
	f.Add(true, "i,s\n1,\"x\"\"\n\"\n,\n")
	f.Add(true, "a\n\n\"\"\n")
	f.Add(false, "{\"x\":1,\"l\":[1,2]}\n{\"x\":0.5,\"s\":\"\\n\"}\n")
	f.Fuzz(func(t *testing.T, csv bool, text string) {
		format := rowfile.JSONL
		if csv {
			format = rowfile.CSV
		}
		want, err := readText(format, text, mixed)
		if err != nil || len(want.Fields) == 0 {
			return
		}
		path := write(t, format, want, nil)
		got, err := read(path, format, typesOf(want.Fields))
		if err != nil {
			t.Fatalf("%q is read, but not what is written of it: %v", text, err)
		}
		if want.Rows > 0 || csv {
			sameRows(t, got, want)
		}
	})
}
