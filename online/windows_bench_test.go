package online_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/online"
)

// cards is a source of card transactions.
func cards() *feature.Source {
	return &feature.Source{Name: "cards", Version: 1, EventTime: "at", Columns: []feature.Field{
		{Name: "customer", Type: feature.Int64},
		{Name: "terminal", Type: feature.Int64},
		{Name: "at", Type: feature.Timestamp},
		{Name: "amount", Type: feature.Float64},
		{Name: "fraud", Type: feature.Int64},
	}}
}

// cardViews are count and average over 1, 7 and 30 days, per customer, and per terminal with a delay of 7 days.
func cardViews() []*feature.View {
	view := func(key, input string, delay feature.Span) *feature.View {
		v := &feature.View{
			Name: "by_" + key, Version: 1, Entity: feature.Entity{Name: key, Key: []feature.Field{{Name: key, Type: feature.Int64}}},
			Keys: []string{key}, Source: "cards", Delay: delay, History: feature.Minute,
		}
		for _, days := range []feature.Span{1, 7, 30} {
			for _, w := range []feature.Window{{Operator: "count", Input: "*"}, {Operator: "avg", Input: input}} {
				w.Width = days * feature.Day
				f := feature.Feature{Name: fmt.Sprintf("%s_%dd", w.Operator, days), Window: &w, Type: feature.Float64}
				if w.Operator == "count" {
					f.Type = feature.Int64
				}
				v.Features = append(v.Features, f)
			}
		}
		return v
	}
	return []*feature.View{view("customer", "amount", 0), view("terminal", "fraud", 7*feature.Day)}
}

const (
	customers = 5_000
	terminals = 10_000
)

// cardBatch sets a batch to rows transactions, apart from each other by step.
func cardBatch(rng *rand.Rand, b *feature.Batch, rows int, at feature.Time, step feature.Span) {
	if b.Rows != rows {
		*b = *feature.NewBatch(cards())
		for i := range b.Columns {
			c := &b.Columns[i]
			if c.Type.Kind == feature.KindFloat64 {
				c.Floats = make([]float64, rows)
			} else {
				c.Ints = make([]int64, rows)
			}
		}
		b.Rows = rows
	}
	for j := range rows {
		b.Columns[0].Ints[j], b.Columns[1].Ints[j] = rng.Int64N(customers), rng.Int64N(terminals)
		b.Columns[2].Ints[j] = int64(at.Add(step * feature.Span(j)))
		b.Columns[3].Floats[j], b.Columns[4].Ints[j] = float64(rng.IntN(20000))/100, rng.Int64N(100)/99
	}
}

// cardsLoaded returns a store with the transactions of days days, 9,600 a day.
func cardsLoaded(b *testing.B, days int) (s *online.Store, end feature.Time, seq uint64) {
	s = open(b, online.Config{Dir: b.TempDir()})
	mustFollow(b, s, &feature.Catalog{Sources: []*feature.Source{cards()}, Views: cardViews()})
	rng, batch := rand.New(rand.NewPCG(1, 2)), &feature.Batch{}
	const rows, step = 1200, 9 * feature.Second
	for range days * 8 {
		seq++
		cardBatch(rng, batch, rows, end, step)
		end = end.Add(step * rows)
		if err := s.Apply(seq, end, batch); err != nil {
			b.Fatal(err)
		}
	}
	return s, end, seq
}

// BenchmarkWindowApply applies card transactions to the twelve features, flushes among them.
func BenchmarkWindowApply(b *testing.B) {
	s, end, seq := cardsLoaded(b, 40)
	running(b, s)
	rng, batch := rand.New(rand.NewPCG(1, 2)), &feature.Batch{}
	const rows, step = 1000, 9 * feature.Second
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		seq++
		cardBatch(rng, batch, rows, end, step)
		end = end.Add(step * rows)
		if err := s.Apply(seq, end, batch); err != nil {
			b.Fatal(err)
		}
		n += rows
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	if err := s.Sync(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWindowState reports what the states of a customer and a terminal take on disk, with 30 days of transactions and
// with 37, and what a key of either takes in memory once it was read.
func BenchmarkWindowState(b *testing.B) {
	plan, err := (&feature.Catalog{Sources: []*feature.Source{cards()}, Views: cardViews()}).PlanFeatures(cardNames())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, end, _ := cardsLoaded(b, 45)
		if err := s.Sync(); err != nil {
			b.Fatal(err)
		}
		for i, keys := range []float64{customers, terminals} {
			v := cardViews()[i]
			bytes, err := s.StateBytes(v.Ref())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(bytes)/keys, "disk-B/"+v.Keys[0])
		}
		before := heap()
		for i := range int64(terminals) {
			keys := [][]feature.Value{{feature.Int64Value(i % customers)}, {feature.Int64Value(i)}}
			lookup(b, s, &feature.Lookup{Plan: plan, Keys: keys, At: end})
		}
		b.ReportMetric(float64(heap()-before)/(customers+terminals), "B/cached-entity")
	}
}

// BenchmarkWindowLookup reads the twelve features of one card at one terminal, for a transaction that the log has, and for one that
// the read brings.
func BenchmarkWindowLookup(b *testing.B) {
	s, end, _ := cardsLoaded(b, 45)
	plan, err := (&feature.Catalog{Sources: []*feature.Source{cards()}, Views: cardViews()}).PlanFeatures(cardNames())
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	lookups := make([]*feature.Lookup, 1024)
	for i := range lookups {
		keys := [][]feature.Value{{feature.Int64Value(rng.Int64N(200))}, {feature.Int64Value(rng.Int64N(200))}}
		lookups[i] = &feature.Lookup{Plan: plan, Keys: keys, At: end}
		lookup(b, s, lookups[i])
	}
	b.Run("brings=0", func(b *testing.B) { timed(b, s, func(n int) *feature.Lookup { return lookups[n%len(lookups)] }) })
	for _, l := range lookups {
		own := feature.NewBatch(cards())
		cardBatch(rng, own, 1, end, feature.Second)
		own.Source, own.Columns[0].Ints[0], own.Columns[1].Ints[0] = cards().Name, l.Keys[0][0].Int64(), l.Keys[1][0].Int64()
		l.Events = []*feature.Batch{own}
	}
	b.Run("brings=1", func(b *testing.B) { timed(b, s, func(n int) *feature.Lookup { return lookups[n%len(lookups)] }) })
}

// timed looks up, and returns and reports the median, which other work of the machine does not move.
func timed(b *testing.B, s *online.Store, next func(n int) *feature.Lookup) time.Duration {
	var took []time.Duration
	lookup(b, s, next(0)) // builds what is not in memory
	b.ReportAllocs()
	for b.Loop() {
		l, begin := next(len(took)), time.Now()
		if _, err := s.Lookup(l); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	median := took[len(took)/2]
	b.ReportMetric(float64(median.Nanoseconds()), "p50-ns")
	return median
}

func cardNames() []string {
	var names []string
	for _, v := range cardViews() {
		for _, f := range v.Features {
			names = append(names, v.Name+"."+f.Name)
		}
	}
	return names
}

// BenchmarkWindowHot reads the features of customers who share 432,000 events within 12 hours, an edge in the middle of them: at
// instants that follow each other, or anywhere. 4,320 of them are cold, one is hot; times-cold is its median over theirs.
func BenchmarkWindowHot(b *testing.B) {
	for _, at := range []string{"now", "any"} {
		var cold time.Duration
		for _, keys := range []int{4320, 1} {
			b.Run(fmt.Sprintf("at=%s/keys=%d", at, keys), func(b *testing.B) {
				median := benchmarkHot(b, keys, at == "now")
				if keys > 1 {
					cold = median
				} else if cold > 0 {
					b.ReportMetric(float64(median)/float64(cold), "times-cold")
				}
			})
		}
	}
}

func benchmarkHot(b *testing.B, keys int, now bool) time.Duration {
	v := cardViews()[0]
	c := &feature.Catalog{Sources: []*feature.Source{cards()}, Views: []*feature.View{v}}
	s := open(b, online.Config{})
	mustFollow(b, s, c)
	rng, batch, end := rand.New(rand.NewPCG(1, 2)), &feature.Batch{}, feature.Time(0)
	const events, rows, step = 432_000, 4320, 12 * feature.Hour / 432_000
	for i := range events / rows {
		cardBatch(rng, batch, rows, end, step)
		for j := range batch.Columns[0].Ints {
			batch.Columns[0].Ints[j] = int64(j % keys)
		}
		end = end.Add(step * rows)
		if err := s.Apply(uint64(i+1), end, batch); err != nil {
			b.Fatal(err)
		}
	}
	var names []string
	for _, f := range v.Features {
		names = append(names, v.Name+"."+f.Name)
	}
	plan, err := c.PlanFeatures(names)
	if err != nil {
		b.Fatal(err)
	}
	lookups := make([]*feature.Lookup, keys)
	for i := range lookups {
		lookups[i] = &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.Int64Value(int64(i))}}, At: end.Add(feature.Day)}
		lookup(b, s, lookups[i]) // builds what is not in memory
	}
	return timed(b, s, func(n int) *feature.Lookup {
		l := lookups[rng.IntN(keys)]
		l.At = end.Add(18*feature.Hour + feature.Span(n)*feature.Millisecond)
		if !now {
			l.At = end.Add(feature.Day - feature.Span(rng.Int64N(int64(12*feature.Hour))))
		}
		return l
	})
}
