package identity_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/identity"
)

// order returns the place of an id in an order that is not that of the numbers.
func order(id int) int64 { return int64(uint64(id) * 0x9E3779B97F4A7C15 >> 1) }

// wide returns n rows of a source with eight columns, the first with the id from.
func wide(from, n int) (*feature.Source, *feature.Batch) {
	src := &feature.Source{Name: "payments", Version: 1, EventTime: "at", ID: []string{"id"}, Dedup: feature.DefaultDedup, Columns: []feature.Field{
		{Name: "id", Type: feature.Int64},
		{Name: "at", Type: feature.Timestamp},
		{Name: "amount", Type: feature.Float64},
		{Name: "origin", Type: feature.String},
		{Name: "destination", Type: feature.String},
		{Name: "distance", Type: feature.Int64},
		{Name: "delay", Type: feature.Int64},
		{Name: "late", Type: feature.Bool},
	}}
	b := feature.NewBatch(src)
	for i := range n {
		id := from + i
		b.Append([]feature.Value{
			feature.Int64Value(order(id)), feature.TimestampValue(noon.Add(feature.Span(id) * feature.Millisecond)), feature.Float64Value(float64(id) / 4),
			feature.StringValue(fmt.Sprintf("A%02X", id%200)), feature.StringValue(fmt.Sprintf("B%02X", id%190)), feature.Int64Value(int64(id % 4000)),
			feature.Int64Value(int64(id % 90)), feature.BoolValue(id%3 == 0),
		})
	}
	return src, b
}

// BenchmarkPublish publishes batches of 10,000 rows behind a million, new ones and copies, and without an id.
func BenchmarkPublish(b *testing.B) {
	const rows, known = 10_000, 1_000_000
	for _, way := range []string{"none", "new", "copies"} {
		b.Run("id="+way, func(b *testing.B) {
			w := newWorld(b)
			p, x, _ := w.publisher(b.TempDir())
			src, first := wide(0, rows)
			w.publishAs(p, src, first)
			for from := rows; from < known && way != "none"; from += rows {
				_, more := wide(from, rows)
				if err := x.Add(src, more, func(i int) feature.Place { return feature.Place{Row: uint64(from + i)} }); err != nil {
					b.Fatal(err)
				}
			}
			next := known
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				_, batch := wide(next, rows)
				if way == "copies" {
					_, batch = wide(next%known, rows)
				}
				next += rows
				b.StartTimer()
				if way == "none" {
					if _, err := w.log.Publish(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
					continue
				}
				if r := w.publishAs(p, src, batch); (r.Taken == rows) == (way == "copies") {
					b.Fatalf("Publish took %d rows", r.Taken)
				}
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkJudge is the index alone.
func BenchmarkJudge(b *testing.B) {
	const rows, known = 10_000, 1_000_000
	for _, way := range []string{"new", "copies"} {
		b.Run("rows="+way, func(b *testing.B) {
			x, err := identity.Open(identity.Config{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer x.Close()
			src, _ := wide(0, 0)
			if err := x.Adopt(src); err != nil {
				b.Fatal(err)
			}
			for from := 0; from < known; from += rows {
				_, more := wide(from, rows)
				if err := x.Add(src, more, func(i int) feature.Place { return feature.Place{Row: uint64(from + i)} }); err != nil {
					b.Fatal(err)
				}
			}
			from := known
			if way == "copies" {
				from = known / 2
			}
			_, batch := wide(from, rows)
			b.ReportAllocs()
			began := cpu(b)
			for b.Loop() {
				v, err := x.Judge(src, batch)
				if err != nil || (len(v.Copies) == 0) == (way == "copies") {
					b.Fatal(err, len(v.Copies))
				}
			}
			b.ReportMetric(float64(cpu(b)-began)/float64(b.N)/rows, "cpu-ns/row")
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// cpu is the time that the process has taken of the processors, which says more than the clock where others work too.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
