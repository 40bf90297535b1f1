package wire_test

import (
	"fmt"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// flights returns n events of eight mixed columns.
func flights(n int) *feature.Batch {
	b := feature.NewBatch(&feature.Source{Name: "flights", Columns: []feature.Field{
		{Name: "flight_id", Type: feature.Int64},
		{Name: "origin", Type: feature.String},
		{Name: "destination", Type: feature.String},
		{Name: "scheduled", Type: feature.Timestamp},
		{Name: "known_at", Type: feature.Timestamp},
		{Name: "distance", Type: feature.Int64},
		{Name: "delay", Type: feature.Float64},
		{Name: "cancelled", Type: feature.Bool},
	}})
	airports := []string{"JFK", "LAX", "SFO", "ORD", "ATL"}
	for i := range n {
		at := feature.Time(993_000_000_000_000 + int64(i)*1_000_000)
		delay := feature.Float64Value(float64(i%90) / 2)
		if i%10 == 0 {
			delay = feature.Value{}
		}
		b.Append([]feature.Value{
			feature.Int64Value(int64(i)), feature.StringValue(airports[i%5]), feature.StringValue(airports[(i+2)%5]),
			feature.TimestampValue(at), feature.TimestampValue(at.Add(feature.Hour)), feature.Int64Value(int64(i % 3000)), delay, feature.BoolValue(i%50 == 0),
		})
	}
	return b
}

// everything returns a batch with a column of every type, NULL and empty lists among them.
func everything() *feature.Batch {
	src := &feature.Source{Name: "everything"}
	for _, k := range kinds {
		src.Columns = append(src.Columns, feature.Field{Name: k.String(), Type: feature.Type{Kind: k}},
			feature.Field{Name: k.String() + "s", Type: feature.ListOf(k)})
	}
	src.Columns = append(src.Columns, feature.Field{Name: "vector", Type: feature.Type{Kind: feature.KindFloat64, List: true, Len: 2}})
	b := feature.NewBatch(src)
	values := []feature.Value{feature.Int64Value(-7), feature.Float64Value(0.5), feature.BoolValue(true), feature.StringValue("a\x00b"), feature.TimestampValue(feature.MinTime)}
	row := make([]feature.Value, 0, len(src.Columns))
	empty := make([]feature.Value, len(src.Columns))
	for i, k := range kinds {
		row = append(row, values[i], feature.ListValue(k, []feature.Value{values[i], values[i]}))
		empty[2*i+1] = feature.ListValue(k, nil)
	}
	b.Append(append(row, feature.ListValue(feature.KindFloat64, []feature.Value{values[1], values[1]})))
	b.Append(empty)
	b.Append(make([]feature.Value, len(src.Columns)))
	return b
}

func BenchmarkAppendGroup(b *testing.B) {
	for _, rows := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			batch := flights(rows)
			buf := wire.AppendGroup(nil, batch)
			b.ReportAllocs()
			for b.Loop() {
				buf = wire.AppendGroup(buf[:0], batch)
			}
			report(b, rows, len(buf))
		})
	}
}

func BenchmarkParseGroup(b *testing.B) {
	for _, rows := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			buf := wire.AppendGroup(nil, flights(rows))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := wire.ParseGroup(buf); err != nil {
					b.Fatal(err)
				}
			}
			report(b, rows, len(buf))
		})
	}
}

func report(b *testing.B, rows, bytes int) {
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(bytes)/float64(rows), "bytes/row")
}

func BenchmarkEvents(b *testing.B) {
	events := []asof.Event{{
		Position: asof.Position{EventTime: 993_000_000_000_000, Tie: 12345, Seq: 70_000, Idx: 12},
		Values:   []feature.Value{feature.Int64Value(12), feature.StringValue("JFK"), feature.Float64Value(0.5)},
	}}
	enc := wire.AppendEvents(nil, events)
	b.Run("op=append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			enc = wire.AppendEvents(enc[:0], events)
		}
	})
	b.Run("op=parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := wire.ParseEvents(enc); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendKey(b *testing.B) {
	k := feature.Key{feature.StringValue("JFK"), feature.Int64Value(12)}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = wire.AppendKey(buf[:0], k)
	}
}
