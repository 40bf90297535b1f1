package online_test

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/online"
)

// measures is the source of the benchmarks: one int64 key and ten values.
func measures() *feature.Source {
	src := &feature.Source{Name: "measures", Version: 1, EventTime: "ts", Columns: []feature.Field{
		{Name: "id", Type: feature.Int64}, {Name: "ts", Type: feature.Timestamp}, {Name: "s", Type: feature.String},
	}}
	for i := range 10 {
		src.Columns = append(src.Columns, feature.Field{Name: fmt.Sprintf("x%d", i), Type: feature.Float64})
	}
	return src
}

// measureView returns a view of the first n values of measures.
func measureView(name string, n int) *feature.View {
	e := feature.Entity{Name: "thing", Key: []feature.Field{{Name: "thing", Type: feature.Int64}}}
	v := &feature.View{Name: name, Version: 1, Entity: e, Keys: []string{"id"}, Source: "measures", History: feature.Second}
	for i := range n {
		v.Features = append(v.Features, feature.Feature{Name: fmt.Sprintf("x%d", i), Latest: fmt.Sprintf("x%d", i), Type: feature.Float64})
	}
	return v
}

func measureCatalog(views, features int) *feature.Catalog {
	c := &feature.Catalog{Sources: []*feature.Source{measures()}}
	for i := range views {
		c.Views = append(c.Views, measureView(fmt.Sprintf("v%d", i), features))
	}
	return c
}

const step = 10 * feature.Microsecond // between two events: 100,000 a second of event time

// measureBatch returns rows of random keys below keys, from event time at on.
func measureBatch(rng *rand.Rand, rows, keys int, at feature.Time) *feature.Batch {
	b := feature.NewBatch(measures())
	for i := range b.Columns {
		c := &b.Columns[i]
		switch c.Type.Kind {
		case feature.KindFloat64:
			c.Floats = make([]float64, rows)
			for j := range rows {
				c.Floats[j] = rng.Float64()
			}
		case feature.KindString:
			c.Strs = make([]string, rows)
		default:
			c.Ints = make([]int64, rows)
		}
	}
	for j := range rows {
		b.Columns[0].Ints[j] = int64(rng.IntN(keys))
		b.Columns[1].Ints[j] = int64(at.Add(step * feature.Span(j)))
	}
	b.Rows = rows
	return b
}

func mustFollow(b testing.TB, s *online.Store, c *feature.Catalog) {
	joining, err := s.Follow(c)
	for _, v := range joining {
		if err == nil {
			err = s.SetReady(v.Ref())
		}
	}
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkApply(b *testing.B) {
	for _, keys := range []int{100_000, 1_000_000} {
		for _, views := range []int{1, 3} {
			b.Run(fmt.Sprintf("keys=%d/views=%d", keys, views), func(b *testing.B) {
				s := open(b, online.Config{Dir: b.TempDir()})
				mustFollow(b, s, measureCatalog(views, 3))
				running(b, s)
				const rows = 1000
				rng := rand.New(rand.NewPCG(1, 2))
				at, batches := feature.Time(0), make([]*feature.Batch, 200)
				for i := range batches {
					batches[i] = measureBatch(rng, rows, keys, 0)
				}
				seq := uint64(0)
				b.ReportAllocs()
				for b.Loop() {
					batch := batches[seq%200]
					for j := range rows {
						at = at.Add(step)
						batch.Columns[1].Ints[j] = int64(at)
					}
					seq++
					if err := s.Apply(seq, at, batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(seq)*rows/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// loaded returns a store of keys entities of views views of ten features.
func loaded(b testing.TB, cfg online.Config, views, keys int) (*online.Store, *feature.Plan) {
	c := measureCatalog(views, 10)
	s := open(b, cfg)
	joining, err := s.Follow(c)
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range joining {
		if err := s.Merge(v.Ref(), 1000, things(keys)); err != nil {
			b.Fatal(err)
		}
		if err := s.SetReady(v.Ref()); err != nil {
			b.Fatal(err)
		}
	}
	var names []string
	for _, v := range c.Views {
		for i := range 10 / views {
			names = append(names, fmt.Sprintf("%s.x%d", v.Name, i))
		}
	}
	plan, err := c.PlanFeatures(names)
	if err != nil {
		b.Fatal(err)
	}
	return s, plan
}

// things yields one event of ten values for each of the keys.
func things(keys int) iter.Seq2[asof.Kept, error] {
	return func(yield func(asof.Kept, error) bool) {
		for i := range keys {
			values := make([]feature.Value, 10)
			for j := range values {
				values[j] = feature.Float64Value(float64(i*j) + 0.25)
			}
			k := asof.Kept{Key: feature.Key{feature.Int64Value(int64(i))}, Event: asof.Event{Position: asof.Position{EventTime: 1000}, Values: values}}
			if !yield(k, nil) {
				return
			}
		}
	}
}

// BenchmarkLookup reads ten features of keys from one or four views; hit=1 from the cache, hit=0 from disk.
func BenchmarkLookup(b *testing.B) {
	const keys = 100_000
	for _, views := range []int{1, 4} {
		for _, hit := range []int{0, 1} {
			for _, rows := range []int{1, 100} {
				b.Run(fmt.Sprintf("views=%d/hit=%d/keys=%d", views, hit, rows), func(b *testing.B) {
					cfg, among := online.Config{Dir: b.TempDir()}, 1000
					if hit == 0 {
						cfg.CacheBytes, among = 1<<10, keys
					}
					s, plan := loaded(b, cfg, views, keys)
					touch(b, s) // the loaded states leave the dirty and recent maps
					rng := rand.New(rand.NewPCG(3, 4))
					lookups := make([]*feature.Lookup, 4096)
					for i := range lookups {
						column := make([]feature.Value, rows)
						for j := range column {
							column[j] = feature.Int64Value(int64(rng.IntN(among)))
						}
						lookups[i] = &feature.Lookup{Plan: plan, Keys: [][]feature.Value{column}, At: 5000}
						for n := int64(-1); hit == 1 && s.Stats().Reads.Disk != n; {
							n = s.Stats().Reads.Disk
							lookup(b, s, lookups[i])
						}
					}
					before, n := s.Stats().Reads, 0
					b.ReportAllocs()
					for b.Loop() {
						if _, err := s.Lookup(lookups[n%len(lookups)]); err != nil {
							b.Fatal(err)
						}
						n++
					}
					after := s.Stats().Reads
					disk := float64(after.Disk - before.Disk)
					all := disk + float64(after.Cached-before.Cached+after.Memory-before.Memory)
					b.ReportMetric(1-disk/all, "hits")
				})
			}
		}
	}
}

// touch flushes one changed key of every shard of every view twice, so that the recent maps hold little else.
func touch(b testing.TB, s *online.Store) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2 {
		at := s.Position().Seq + 1
		batch := measureBatch(rng, 4000, 4000, feature.Time(at)*feature.Time(feature.Hour))
		for i := range batch.Columns[0].Ints {
			batch.Columns[0].Ints[i] = -int64(i) - 1
		}
		if err := s.Apply(at, 1000, batch); err != nil {
			b.Fatal(err)
		}
		if err := s.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMemory reports the bytes in memory of an entity with one event of ten values in one view.
func BenchmarkMemory(b *testing.B) {
	const keys = 100_000
	for b.Loop() {
		before := heap()
		s, plan := loaded(b, online.Config{Dir: b.TempDir(), CacheBytes: 1 << 30, DirtyBytes: 1 << 30}, 1, keys)
		b.ReportMetric(float64(heap()-before)/keys, "B/recent-entity")
		touch(b, s)
		empty := heap()
		column := make([]feature.Value, 1)
		for round := range 4 { // the cache drops some of a burst
			for i := range keys {
				column[0] = feature.Int64Value(int64(i))
				lookup(b, s, &feature.Lookup{Plan: plan, Keys: [][]feature.Value{column}, At: 5000})
			}
			_ = round
		}
		cached := float64(heap()) - float64(empty)
		b.ReportMetric(cached/keys, "B/cached-entity")
		runtime.KeepAlive(s)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMerge merges the history of one key, its events newest first, as the offline store sends them.
func BenchmarkMerge(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			v := byUser()
			v.History = feature.Day
			kept := make([]asof.Kept, n)
			for i := range kept {
				kept[i].Key = feature.Key{feature.StringValue("hot")}
				kept[i].Event.EventTime = feature.Time(n - i)
				kept[i].Event.Values = make([]feature.Value, len(v.Columns()))
			}
			b.ReportAllocs()
			for b.Loop() {
				s := open(b, online.Config{})
				if _, err := s.Follow(catalogOf(v)); err != nil {
					b.Fatal(err)
				}
				if err := s.Merge(v.Ref(), feature.Time(n), each(kept)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
