package rowfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

var formats = []rowfile.Format{rowfile.Parquet, rowfile.CSV, rowfile.JSONL, rowfile.Arrow, rowfile.Feather}

// everyType has a column of each type, in an order that is not that of their names.
var everyType = []feature.Field{
	{Name: "z.last_delay", Type: feature.Int64},
	{Name: "y, with comma", Type: feature.Float64},
	{Name: "x", Type: feature.Bool},
	{Name: "a", Type: feature.String},
	{Name: "b", Type: feature.Timestamp},
	{Name: "ints", Type: feature.ListOf(feature.KindInt64)},
	{Name: "words", Type: feature.ListOf(feature.KindString)},
	{Name: "times", Type: feature.ListOf(feature.KindTimestamp)},
	{Name: "flags", Type: feature.ListOf(feature.KindBool)},
	{Name: "embedding", Type: feature.ListOf(feature.KindFloat64)},
}

func newBatch(fields []feature.Field) *feature.Batch {
	return feature.NewBatch(&feature.Source{Columns: fields})
}

// sample returns n rows of everyType with NULLs, empty strings and empty lists in all places.
func sample(n int) *feature.Batch {
	b := newBatch(everyType)
	for i := range n {
		at := feature.TimestampValue(feature.MinTime.Add(feature.Span(i) * 1_234_567_891))
		row := []feature.Value{
			feature.Int64Value(int64(i)*1_000_003 - 1<<62),
			feature.Float64Value(float64(i)/3 - 1e17),
			feature.BoolValue(i%2 == 0),
			feature.StringValue(fmt.Sprintf("é\"%d,\n'%d", i%7, i)),
			at,
			list(feature.KindInt64, i%4, feature.Int64Value(int64(i))),
			list(feature.KindString, i%3, feature.StringValue("w,\"x")),
			list(feature.KindTimestamp, i%3, at),
			list(feature.KindBool, i%5, feature.BoolValue(i%2 == 0)),
			list(feature.KindFloat64, i%3, feature.Float64Value(0.1)),
		}
		if i%11 == 0 {
			row[3] = feature.StringValue("")
		}
		for c := range row {
			if (i+c)%13 == 0 || i/1000 == c {
				row[c] = feature.Value{}
			}
		}
		b.Append(row)
	}
	return b
}

func list(k feature.Kind, n int, v feature.Value) feature.Value {
	elems := make([]feature.Value, n)
	for i := range elems {
		elems[i] = v
	}
	return feature.ListValue(k, elems)
}

func write(t *testing.T, f rowfile.Format, b *feature.Batch, meta map[string]string) string {
	t.Helper()
	var buf bytes.Buffer
	w, err := rowfile.NewWriter(&buf, f, b.Fields, meta)
	if err != nil {
		t.Fatalf("NewWriter: %v", err)
	}
	for from := 0; from < b.Rows; from += 5000 {
		if err := w.Write(b.Slice(from, min(b.Rows, from+5000))); err != nil {
			t.Fatalf("Write: %v", err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return writeFile(t, "table."+string(f), buf.String())
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func typesOf(fields []feature.Field) map[string]feature.Type {
	types := map[string]feature.Type{}
	for _, f := range fields {
		types[f.Name] = f.Type
	}
	return types
}

// read reads all of a file into one batch.
func read(path string, f rowfile.Format, types map[string]feature.Type) (*feature.Batch, error) {
	r, err := rowfile.Open(path, f, types)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	all := newBatch(r.Fields())
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			if all.Rows > 0 && r.Done() != 1 {
				return nil, fmt.Errorf("Done() = %v at the end", r.Done())
			}
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if b.Rows == 0 || b.Rows > rowfile.ChunkRows {
			return nil, fmt.Errorf("a chunk of %d rows", b.Rows)
		}
		all.AppendBatch(b)
	}
}

// sameRows reports the first place where two batches differ.
func sameRows(t *testing.T, got, want *feature.Batch) {
	t.Helper()
	if diff := cmp.Diff(want.Fields, got.Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
		return
	}
	if got.Rows != want.Rows {
		t.Errorf("%d rows, want %d", got.Rows, want.Rows)
		return
	}
	for i, f := range want.Fields {
		for row := range want.Rows {
			if g, w := got.Columns[i].Value(row), want.Columns[i].Value(row); !g.Equal(w) {
				t.Errorf("row %d, column %s = %s, want %s", row, f.Name, g, w)
				return
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, f := range formats {
		for _, n := range []int{0, 1, 3, 8192, 8193} {
			t.Run(fmt.Sprintf("%s/%d", f, n), func(t *testing.T) {
				want := sample(n)
				got, err := read(write(t, f, want, nil), f, typesOf(everyType))
				if err != nil {
					t.Fatalf("read: %v", err)
				}
				if n == 0 && f == rowfile.JSONL {
					return // no rows, no columns
				}
				sameRows(t, got, want)
			})
		}
	}
}

// Typed formats know the types themselves.
func TestRoundTripTypes(t *testing.T) {
	for _, f := range []rowfile.Format{rowfile.Parquet, rowfile.Arrow, rowfile.Feather} {
		want := sample(100)
		got, err := read(write(t, f, want, nil), f, nil)
		if err != nil {
			t.Fatalf("%s: read: %v", f, err)
		}
		sameRows(t, got, want)
	}
}
