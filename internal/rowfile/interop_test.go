package rowfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

// What pyarrow 26 wrote of one table with every type that is supported: dictionaries, data pages of version 1 and
// 2, INT96, compressed Arrow as stream and as file.
func TestReadWhatPyarrowWrote(t *testing.T) {
	want := []string{
		"i8 int64", "1", "NULL", "-128", "i16 int64", "1", "NULL", "-32768", "i32 int64", "1", "NULL", "-2147483648",
		"i64 int64", "1", "NULL", "-9223372036854775808", "u8 int64", "1", "NULL", "255", "u16 int64", "1", "NULL", "65535",
		"u32 int64", "1", "NULL", "4294967295", "u64 int64", "1", "NULL", "9223372036854775807",
		"f32 float64", "0.5", "NULL", "NULL", "f64 float64", "0.1", "NULL", "NULL", "negz float64", "0", "NULL", "-1",
		"b bool", "true", "NULL", "false", "s string", `"a"`, "NULL", `""`, "ls string", `"é"`, "NULL", `"x"`, "bin string", `"ab"`, "NULL", `""`,
		"d32 timestamp", "2001-06-25T00:00:00Z", "NULL", "1900-01-01T00:00:00Z", "d64 timestamp", "2001-06-25T00:00:00Z", "NULL", "1900-01-01T00:00:00Z",
		"ts_s timestamp", "1970-01-01T00:00:01Z", "NULL", "1969-12-31T23:59:59Z", "ts_ms timestamp", "1970-01-01T00:00:00.001Z", "NULL", "1969-12-31T23:59:59.999Z",
		"ts_us timestamp", "2001-06-25T12:00:00.000001Z", "NULL", "1969-12-31T23:59:59.999999Z",
		"ts_ns timestamp", "1970-01-01T00:00:00.000001Z", "NULL", "1969-12-31T23:59:59.999999Z", // 1999 ns and -1 ns, floored
		"ts_utc timestamp", "2001-06-25T12:00:00.000001Z", "NULL", "1969-12-31T23:59:59.999999Z",
		"ts_berlin timestamp", "2001-06-25T12:00:00Z", "NULL", "1970-01-01T00:00:00Z",
		"dict string", `"x"`, "NULL", `"y"`, "dict_i int64", "10", "NULL", "20", "null string", "NULL", "NULL", "NULL",
		"li list<int64>", "[1 2]", "NULL", "[]", "lf list<float64>", "[0.5]", "NULL", "[]", "lstr list<string>", `["a" "b"]`, "NULL", "[]",
		"lts list<timestamp>", "[1970-01-01T00:00:00.000001Z]", "NULL", "[]", "fsl list<float64>", "[1 2]", "NULL", "[3 4]", "a.dotted int64", "1", "NULL", "3",
		"f16 float64", "0.5", "NULL", "1.5", "sv string", `"view longer than twelve bytes"`, "NULL", `""`,
	}
	for name, columns := range map[string]int{"pyarrow.parquet": 32, "pyarrow_v2.parquet": 32, "pyarrow_int96.parquet": 32, "pyarrow_zstd.arrow": 34, "pyarrow_lz4.feather": 34} {
		f, err := rowfile.FormatOf(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := read(filepath.Join("testdata", name), f, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for i, f := range b.Fields {
			got = append(got, fmt.Sprintf("%s %s", f.Name, f.Type))
			for row := range b.Rows {
				got = append(got, b.Columns[i].Value(row).String())
			}
		}
		if diff := cmp.Diff(want[:4*columns], got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Typed files too are read as the types that are wanted, where nothing is lost.
func TestWantedTypes(t *testing.T) {
	fields := []feature.Field{{Name: "n", Type: feature.Float64}, {Name: "t", Type: feature.String}, {Name: "l", Type: feature.ListOf(feature.KindInt64)}}
	b := newBatch(fields)
	b.Append([]feature.Value{feature.Float64Value(5), feature.StringValue("2001-06-25"), list(feature.KindInt64, 2, feature.Int64Value(1))})
	b.Append([]feature.Value{{}, {}, {}})
	types := map[string]feature.Type{"n": feature.Int64, "t": feature.Timestamp, "l": {Kind: feature.KindFloat64, List: true, Len: 2}}
	for _, f := range formats {
		got, err := read(write(t, f, b, nil), f, types)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		want := "n int64 | t timestamp | l vector<2>\n5 | 2001-06-25T00:00:00Z | [1 1]\nNULL | NULL | NULL"
		if diff := cmp.Diff(want, show(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f, diff)
		}
	}
	late := newBatch(fields[:1])
	for i := range 9000 {
		late.Append([]feature.Value{feature.Float64Value(float64(i/8999) * 1.5)})
	}
	for _, f := range []rowfile.Format{rowfile.Parquet, rowfile.Arrow, rowfile.Feather} {
		_, err := read(write(t, f, late, nil), f, types)
		if err == nil || !strings.Contains(err.Error(), "row 8999: n: cannot take float64 1.5 for int64") {
			t.Errorf("%s: %v, want an error that names row 8999 and n", f, err)
		}
	}
}

// A file of other schemas than this package writes.
func TestParquetSchemas(t *testing.T) {
	type point struct {
		X int64
	}
	int64s := parquet.Leaf(parquet.Int64Type)
	tests := []struct {
		name string
		node parquet.Node
		rows []parquet.Row
		want string
	}{
		{"required", int64s, []parquet.Row{{parquet.ValueOf(5).Level(0, 0, 0)}}, "c int64\n5"},
		{"repeated", parquet.Repeated(int64s), []parquet.Row{{parquet.ValueOf(5).Level(0, 1, 0), parquet.ValueOf(6).Level(1, 1, 0)}, {parquet.NullValue().Level(0, 0, 0)}}, "c list<int64>\n[5 6]\n[]"},
		{"uuid", parquet.UUID(), []parquet.Row{{parquet.ValueOf([16]byte{0xde, 0xad, 0xbe, 0xef, 15: 1}).Level(0, 0, 0)}}, "c string\n\"deadbeef-0000-0000-0000-000000000001\""},
		{"enum", parquet.Enum(), []parquet.Row{{parquet.ValueOf("A").Level(0, 0, 0)}}, "c string\n\"A\""},
		{"json", parquet.JSON(), []parquet.Row{{parquet.ValueOf("{}").Level(0, 0, 0)}}, "c string\n\"{}\""},
		{"date", parquet.Date(), []parquet.Row{{parquet.ValueOf(int32(-1)).Level(0, 0, 0)}}, "c timestamp\n1969-12-31T00:00:00Z"},
		{"uint64", parquet.Uint(64), []parquet.Row{{parquet.ValueOf(uint64(1<<63)-1).Level(0, 0, 0)}}, "c int64\n9223372036854775807"},
		{"decimal", parquet.Decimal(2, 9, parquet.Int32Type), []parquet.Row{{parquet.ValueOf(int32(5)).Level(0, 0, 0)}}, "c: type DECIMAL(9,2) is not supported: decimals have no exact counterpart; cast the column, or say whether it is float64, int64 or string"},
		{"too great", parquet.Uint(64), []parquet.Row{{parquet.ValueOf(uint64(1<<63)).Level(0, 0, 0)}}, "row 0: c: the number 9223372036854775808 does not fit an int64"},
		{"time", parquet.Time(parquet.Microsecond), []parquet.Row{{parquet.ValueOf(int64(5)).Level(0, 0, 0)}}, "c: type TIME(isAdjustedToUTC=true,unit=MICROS) is not supported"},
		{"fixed", parquet.Leaf(parquet.FixedLenByteArrayType(3)), []parquet.Row{{parquet.ValueOf([3]byte{}).Level(0, 0, 0)}}, "c: type FIXED_LEN_BYTE_ARRAY(3) is not supported"},
		{"struct", parquet.SchemaOf(point{}), []parquet.Row{{parquet.ValueOf(5).Level(0, 0, 0)}}, "c: columns of structs, maps and nested lists are not supported"},
		{"map", parquet.Map(parquet.String(), int64s), nil, "c: columns of structs, maps and nested lists are not supported"},
		{"nested", parquet.List(parquet.List(int64s)), nil, "c: columns of structs, maps and nested lists are not supported"},
		{"NULL in a list", parquet.List(parquet.Optional(int64s)), []parquet.Row{{parquet.NullValue().Level(0, 0, 0)}, {parquet.NullValue().Level(0, 1, 0)}}, "row 1: c: element 0 is NULL; a list has no NULL inside"},
		{"year", parquet.Timestamp(parquet.Millisecond), []parquet.Row{{parquet.ValueOf(int64(math.MaxInt64)).Level(0, 0, 0)}}, "row 0: c: time"},
		{"UTF-8", parquet.String(), []parquet.Row{{parquet.ValueOf("\xff").Level(0, 0, 0)}}, "row 0: c: the string is not valid UTF-8"},
	}
	for _, tt := range tests {
		var buf bytes.Buffer
		w := parquet.NewGenericWriter[any](&buf, parquet.NewSchema("s", parquet.Group{"c": tt.node}))
		if _, err := w.WriteRows(tt.rows); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if err := w.Close(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		b, err := read(writeFile(t, "x.parquet", buf.String()), rowfile.Parquet, nil)
		switch {
		case err != nil && strings.Contains(err.Error(), "x.parquet: "+tt.want) && feature.CodeOf(err) == feature.CodeInvalid:
		case err != nil:
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		case show(b) != tt.want:
			t.Errorf("%s: %s, want %s", tt.name, show(b), tt.want)
		}
	}
}

func TestDecimals(t *testing.T) {
	for _, tt := range []struct {
		typ   parquet.Type
		value parquet.Value
		want  string
	}{
		{parquet.Int32Type, parquet.ValueOf(int32(-120)), "-1.2"},
		{parquet.Int64Type, parquet.ValueOf(int64(5)), "0.05"},
		{parquet.Int64Type, parquet.ValueOf(int64(700)), "7"},
		{parquet.FixedLenByteArrayType(9), parquet.ValueOf([9]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x9c}), "-1"},
		{parquet.FixedLenByteArrayType(9), parquet.ValueOf([9]byte{8: 101}), "1.01"},
	} {
		precision := map[parquet.Kind]int{parquet.Int32: 9, parquet.Int64: 18, parquet.FixedLenByteArray: 20}[tt.typ.Kind()]
		var buf bytes.Buffer
		w := parquet.NewGenericWriter[any](&buf, parquet.NewSchema("s", parquet.Group{"c": parquet.Decimal(2, precision, tt.typ)}))
		if _, err := w.WriteRows([]parquet.Row{{tt.value.Level(0, 0, 0)}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		path := writeFile(t, "x.parquet", buf.String())
		for _, typ := range []feature.Type{feature.String, feature.Float64} {
			b, err := read(path, rowfile.Parquet, map[string]feature.Type{"c": typ})
			if err != nil || b.Columns[0].Value(0).Text() != tt.want {
				t.Errorf("%s as %s: %v, want %s", tt.value, typ, err, tt.want)
			}
		}
		_, err := read(path, rowfile.Parquet, map[string]feature.Type{"c": feature.Int64})
		if whole := !strings.Contains(tt.want, "."); (err == nil) != whole {
			t.Errorf("%s as int64: %v", tt.want, err)
		}
	}
}

func TestMetadata(t *testing.T) {
	meta := map[string]string{"lockstep.service": "delay_model@3", "é": `{"cut": 5}`, "empty": ""}
	b := sample(3)
	file, err := os.Open(write(t, rowfile.Parquet, b, meta))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(file, stat.Size())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range meta {
		if got, ok := p.Lookup(key); !ok || got != want {
			t.Errorf("Parquet metadata %s = %q, %t, want %q", key, got, ok, want)
		}
	}
	if path := p.Root().Columns()[0].Path(); !cmp.Equal(path, []string{"z.last_delay"}) {
		t.Errorf("the first leaf column is %q, want one name with a dot", path)
	}
	data, err := os.ReadFile(write(t, rowfile.Arrow, b, meta))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if diff := cmp.Diff(meta, r.Schema().Metadata().ToMap()); diff != "" {
		t.Errorf("Arrow metadata (-want +got):\n%s", diff)
	}
}

// A cut is always noticed; a damaged Parquet file is an error or other values, never a panic.
func TestBrokenFiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, f := range []rowfile.Format{rowfile.Parquet, rowfile.Arrow, rowfile.Feather} {
		whole, err := os.ReadFile(write(t, f, sample(300), nil))
		if err != nil {
			t.Fatal(err)
		}
		for range 80 {
			n := random.IntN(len(whole))
			_, err := read(writeFile(t, "cut", string(whole[:n])), f, nil)
			if feature.CodeOf(err) != feature.CodeInvalid {
				t.Fatalf("%s cut to %d of %d bytes: %v, want CodeInvalid", f, n, len(whole), err)
			}
		}
		if f != rowfile.Parquet {
			continue // arrow-go trusts the lengths in a schema: see openArrow
		}
		for range 300 {
			damaged := bytes.Clone(whole)
			at := random.IntN(len(damaged))
			damaged[at] ^= byte(1 + random.IntN(255))
			if _, err := read(writeFile(t, "damaged", string(damaged)), f, nil); err != nil && feature.CodeOf(err) != feature.CodeInvalid && !strings.Contains(err.Error(), "Done()") {
				t.Fatalf("%s with byte %d changed: %v, want CodeInvalid", f, at, err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := rowfile.Open(filepath.Join(t.TempDir(), "none.csv"), rowfile.CSV, nil); feature.CodeOf(err) != feature.CodeNotFound {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := rowfile.Open(t.TempDir(), rowfile.CSV, nil); feature.CodeOf(err) != feature.CodeInvalid {
		t.Errorf("a directory: %v", err)
	}
	csv := writeFile(t, "a.csv", "a,b\n1,2\n")
	for _, f := range []rowfile.Format{rowfile.Parquet, rowfile.Arrow, rowfile.Feather, rowfile.JSONL} {
		if _, err := rowfile.Open(csv, f, nil); feature.CodeOf(err) != feature.CodeInvalid || !strings.Contains(err.Error(), "a.csv") {
			t.Errorf("CSV opened as %s: %v", f, err)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	a := feature.Field{Name: "a", Type: feature.Int64}
	for _, fields := range [][]feature.Field{nil, {a, a}, {{Type: feature.Int64}}} {
		if _, err := rowfile.NewWriter(io.Discard, rowfile.CSV, fields, nil); feature.CodeOf(err) != feature.CodeInvalid {
			t.Errorf("NewWriter(%v) = %v, want CodeInvalid", fields, err)
		}
	}
	if _, err := rowfile.NewWriter(io.Discard, "xlsx", []feature.Field{a}, nil); feature.CodeOf(err) != feature.CodeInvalid {
		t.Errorf("NewWriter(xlsx) = %v, want CodeInvalid", err)
	}
	w, err := rowfile.NewWriter(io.Discard, rowfile.CSV, []feature.Field{a}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(newBatch([]feature.Field{{Name: "a", Type: feature.String}})); err == nil || w.Close() == nil {
		t.Error("a batch of another type was written")
	}
}

var errFull = errors.New("the disk is full")

type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterPassesErrorsOn(t *testing.T) {
	b := sample(5000)
	for _, f := range formats {
		w, err := rowfile.NewWriter(&full{1000}, f, b.Fields, nil)
		if err == nil {
			err = w.Write(b)
		}
		if err == nil {
			err = w.Close()
		}
		if !errors.Is(err, errFull) {
			t.Errorf("%s: %v, want %v", f, err, errFull)
		}
	}
}

// More rows than a row group has, in batches that do not end where it ends.
func TestRowGroups(t *testing.T) {
	b := newBatch([]feature.Field{{Name: "i", Type: feature.Int64}, {Name: "s", Type: feature.String}})
	for i := range 270_000 {
		row := []feature.Value{feature.Int64Value(int64(i)), feature.StringValue(fmt.Sprint("s", i%1000))}
		row[i%2] = feature.Value{}
		b.Append(row)
	}
	path := write(t, rowfile.Parquet, b, nil)
	got, err := read(path, rowfile.Parquet, nil)
	if err != nil {
		t.Fatal(err)
	}
	sameRows(t, got, b)
}

// Whatever the bytes, a Parquet file is read or refused.
func FuzzParquet(f *testing.F) {
	var buf bytes.Buffer
	w, err := rowfile.NewWriter(&buf, rowfile.Parquet, everyType, nil)
	if err == nil {
		err = w.Write(sample(20))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := read(writeFile(t, "x.parquet", string(data)), rowfile.Parquet, nil)
		if err != nil && feature.CodeOf(err) != feature.CodeInvalid && !strings.Contains(err.Error(), "Done()") {
			t.Fatalf("%v, want CodeInvalid", err)
		}
	})
}

// Whatever the bytes, an Arrow file or stream is read or refused.
func FuzzArrow(f *testing.F) {
	for _, format := range []rowfile.Format{rowfile.Arrow, rowfile.Feather} {
		var buf bytes.Buffer
		w, err := rowfile.NewWriter(&buf, format, everyType, nil)
		if err == nil {
			err = w.Write(sample(20))
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			f.Fatal(err)
		}
		f.Add(buf.Bytes())
		f.Add(buf.Bytes()[:buf.Len()/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := read(writeFile(t, "x.arrow", string(data)), rowfile.Arrow, nil)
		if err != nil && feature.CodeOf(err) != feature.CodeInvalid {
			t.Fatalf("%v, want CodeInvalid", err)
		}
	})
}
