package rowfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

var flightFields = []feature.Field{
	{Name: "date", Type: feature.Timestamp},
	{Name: "delay", Type: feature.Int64},
	{Name: "distance", Type: feature.Int64},
	{Name: "origin", Type: feature.String},
	{Name: "destination", Type: feature.String},
}

var wideFields = append([]feature.Field{
	{Name: "score", Type: feature.Float64},
	{Name: "late", Type: feature.Bool},
	{Name: "id", Type: feature.Int64},
}, flightFields...)

func flights(fields []feature.Field, n int) *feature.Batch {
	b := newBatch(fields)
	for i := range n {
		h := uint64(i) * 0x9e3779b97f4a7c15
		all := map[string]feature.Value{
			"date":        feature.TimestampValue(feature.Time(978_307_200_000_000 + int64(i)*5_000_000)),
			"delay":       feature.Int64Value(int64(h>>56) - 30),
			"distance":    feature.Int64Value(int64(h>>40&0xfff) + 100),
			"origin":      feature.StringValue(fmt.Sprintf("A%02X", h>>48&0xff)),
			"destination": feature.StringValue(fmt.Sprintf("A%02X", h>>32&0xff)),
			"score":       feature.Float64Value(float64(h>>11) / (1 << 53)),
			"late":        feature.BoolValue(h>>63 == 1),
			"id":          feature.Int64Value(int64(i)),
		}
		row := make([]feature.Value, len(fields))
		for c, f := range fields {
			row[c] = all[f.Name]
		}
		b.Append(row)
	}
	return b
}

func BenchmarkRead(b *testing.B) {
	const n = 500_000
	for _, f := range formats {
		b.Run(fmt.Sprintf("format=%s", f), func(b *testing.B) {
			var buf bytes.Buffer
			writeAll(b, &buf, f, flights(flightFields, n))
			path := filepath.Join(b.TempDir(), "flights")
			if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r, err := rowfile.Open(path, f, typesOf(flightFields))
				if err != nil {
					b.Fatal(err)
				}
				for err == nil {
					_, err = r.Next()
				}
				if !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
				r.Close()
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	const n = 262_144
	table := flights(wideFields, n)
	for _, f := range formats {
		b.Run(fmt.Sprintf("format=%s", f), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				writeAll(b, io.Discard, f, table)
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func writeAll(b *testing.B, to io.Writer, f rowfile.Format, table *feature.Batch) {
	b.Helper()
	w, err := rowfile.NewWriter(to, f, table.Fields, nil)
	if err != nil {
		b.Fatal(err)
	}
	for from := 0; from < table.Rows; from += rowfile.ChunkRows {
		if err := w.Write(table.Slice(from, min(table.Rows, from+rowfile.ChunkRows))); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
