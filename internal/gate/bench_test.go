package gate_test

import (
	"fmt"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/gate"
)

// flights is a source of eight columns.
func flights() *feature.Source {
	return &feature.Source{
		Name: "flights", Version: 1, EventTime: "known_at", Tiebreak: "flight_id", MaxFuture: feature.DefaultMaxFuture,
		Columns: []feature.Field{
			{Name: "flight_id", Type: feature.Int64},
			{Name: "origin", Type: feature.String},
			{Name: "destination", Type: feature.String},
			{Name: "scheduled", Type: feature.Timestamp},
			{Name: "known_at", Type: feature.Timestamp},
			{Name: "distance", Type: feature.Int64},
			{Name: "delay", Type: feature.Float64},
			{Name: "late", Type: feature.Bool},
		},
	}
}

func flightJSON(i int) []byte {
	return fmt.Appendf(nil, `{"flight_id": %d, "origin": "A%02X", "destination": "B%02X", "scheduled": "2001-06-%02dT12:%02d:00Z", "known_at": "2001-06-%02dT14:%02d:01.5Z", "distance": %d, "delay": %d.5, "late": %t}`,
		i, i%200, i%190, i%30+1, i%60, i%30+1, i%60, 100+i%4000, i%90, i%3 == 0)
}

var arrival = feature.Time(993_600_000_000_000 + int64(30*feature.Day)) // July 2001

func BenchmarkAddJSON(b *testing.B) {
	const n = 10_000
	var rows [][]byte
	for i := range n {
		rows = append(rows, flightJSON(i))
	}
	builder := gate.NewBuilder(flights(), arrival)
	b.ReportAllocs()
	for b.Loop() {
		for _, row := range rows {
			if err := builder.AddJSON(row); err != nil {
				b.Fatal(err)
			}
		}
		if got := builder.Batch().Rows; got != n {
			b.Fatalf("%d rows, want %d", got, n)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkAddBatch(b *testing.B) {
	const n = 8192
	for _, convert := range []bool{false, true} {
		b.Run(fmt.Sprintf("convert=%t", convert), func(b *testing.B) {
			src := flights()
			builder := gate.NewBuilder(src, arrival)
			for i := range n {
				if err := builder.AddJSON(flightJSON(i)); err != nil {
					b.Fatal(err)
				}
			}
			in := builder.Batch()
			if convert {
				src.Columns[0].Type, src.Columns[5].Type = feature.String, feature.Float64
				builder = gate.NewBuilder(src, arrival)
			}
			b.ReportAllocs()
			for b.Loop() {
				if bad := builder.AddBatch(in); len(bad) > 0 {
					b.Fatal(bad)
				}
				builder.Batch()
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
