package eventlog_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

var flights = &feature.Source{Name: "flights", Columns: []feature.Field{
	{Name: "flight_id", Type: feature.Int64},
	{Name: "origin", Type: feature.String},
	{Name: "destination", Type: feature.String},
	{Name: "scheduled", Type: feature.Timestamp},
	{Name: "known_at", Type: feature.Timestamp},
	{Name: "distance", Type: feature.Int64},
	{Name: "delay", Type: feature.Float64},
	{Name: "cancelled", Type: feature.Bool},
}}

func flightRows(n int) *feature.Batch {
	b := feature.NewBatch(flights)
	for i := range n {
		at := feature.Time(993_000_000_000_000 + int64(i)*1_000_000)
		b.Append([]feature.Value{
			feature.Int64Value(int64(i)), feature.StringValue("JFK"), feature.StringValue("LAX"),
			feature.TimestampValue(at), feature.TimestampValue(at.Add(feature.Hour)), feature.Int64Value(int64(i % 3000)),
			feature.Float64Value(float64(i%90) / 2), feature.BoolValue(i%50 == 0),
		})
	}
	return b
}

// BenchmarkPublish has callers publish side by side. It reports rows/s and the latency of a call.
func BenchmarkPublish(b *testing.B) {
	for _, durability := range []eventlog.Durability{eventlog.Fsync, eventlog.OS} {
		for _, callers := range []int{1, 10, 100} {
			for _, n := range []int{1, 100, 1000} {
				b.Run(fmt.Sprintf("durability=%s/callers=%d/rows=%d", durability, callers, n), func(b *testing.B) {
					l := open(b, eventlog.Config{Durability: durability})
					benchPublish(b, l, callers, flightRows(n))
				})
			}
		}
	}
}

func benchPublish(b *testing.B, l *eventlog.Log, callers int, batch *feature.Batch) {
	var took []time.Duration
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			var mine []time.Duration
			for left.Add(-1) >= 0 {
				start := time.Now()
				if _, err := l.Publish(context.Background(), batch); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	group.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N*batch.Rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkPublishAtomic publishes rows of two sources: an atomic batch.
func BenchmarkPublishAtomic(b *testing.B) {
	for _, durability := range []eventlog.Durability{eventlog.Fsync, eventlog.OS} {
		b.Run(fmt.Sprintf("durability=%s", durability), func(b *testing.B) {
			l := open(b, eventlog.Config{Durability: durability})
			flights, clicks := flightRows(100), rows(0, 100)
			for b.Loop() {
				if _, err := l.Publish(context.Background(), flights, clicks); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTail reads a log of many rows from its start.
func BenchmarkTail(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			l := open(b, eventlog.Config{Durability: eventlog.OS})
			const messages = 2000
			batch := flightRows(n)
			for range messages {
				publish(b, l, batch)
			}
			b.ResetTimer()
			for range b.N {
				rows := 0
				end := fmt.Errorf("end")
				err := l.Tail(context.Background(), 1, func(e eventlog.Entry) error {
					if rows += e.Batch.Rows; rows == messages*n {
						return end
					}
					return nil
				})
				if err != end {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*messages*n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkPublishToTail measures the time from a publish to its arrival at a reader.
func BenchmarkPublishToTail(b *testing.B) {
	l := open(b, eventlog.Config{})
	batch := flightRows(1)
	ctx, cancel := context.WithCancel(context.Background())
	arrived := make(chan time.Time) // unbuffered: one at a time
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = l.Tail(ctx, 1, func(eventlog.Entry) error {
			select {
			case arrived <- time.Now():
			case <-ctx.Done():
			}
			return nil
		})
	}()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		go func() { _, _ = l.Publish(ctx, batch) }()
		took = append(took, (<-arrived).Sub(start))
	}
	cancel()
	<-ended
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
