package online_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/online"
)

const (
	keys    = 300
	entries = 1500
)

// newest is the newest value of each key at each sequence.
type newest [entries + 1][keys]int64

// counts is a source whose event number n of key k carries n, so that a reader can tell old from new.
func counts() (*feature.Catalog, *feature.Plan, error) {
	src := &feature.Source{Name: "counts", Version: 1, EventTime: "ts", Columns: []feature.Field{
		{Name: "k", Type: feature.Int64}, {Name: "ts", Type: feature.Timestamp}, {Name: "n", Type: feature.Int64},
	}}
	v := &feature.View{
		Name: "v", Version: 1, Entity: feature.Entity{Name: "k", Key: []feature.Field{{Name: "k", Type: feature.Int64}}}, Keys: []string{"k"},
		Source: "counts", History: 20, Features: []feature.Feature{{Name: "n", Latest: "n", Type: feature.Int64}},
	}
	c := &feature.Catalog{Sources: []*feature.Source{src}, Views: []*feature.View{v}}
	p, err := c.PlanFeatures([]string{"v.n"})
	return c, p, err
}

// TestConcurrentReaders lets readers watch while entries are applied, flushed and forgotten: every value is
// at least as new as the position that was read before it and as every value that the reader saw before, an older
// instant is answered exactly or refused, and a read at once is of one position.
func TestConcurrentReaders(t *testing.T) {
	const readers = 3
	catalog, plan, err := counts()
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, online.Config{Dir: t.TempDir(), CacheBytes: 50_000, DirtyBytes: 20_000})
	mustFollow(t, s, catalog)
	running(t, s)

	// Entry seq holds one event of each of some keys, at instant seq, with value seq.
	var last newest
	var applied atomic.Int64
	var done atomic.Bool
	var group sync.WaitGroup
	reader := func(seed uint64) error {
		rng := rand.New(rand.NewPCG(seed, 1))
		seen := make([]int64, keys)
		for n := 0; !done.Load(); n++ {
			k := int(rng.ExpFloat64() * 40)
			if k >= keys {
				continue
			}
			if n%16 == 0 {
				if err := atOnce(s, plan, &last); err != nil {
					return err
				}
			}
			before := applied.Load()
			at := feature.Time(entries + 100)
			if n%4 == 0 {
				at = feature.Time(max(0, before-int64(rng.IntN(25))))
			}
			a, err := s.Lookup(&feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.Int64Value(int64(k))}}, At: at})
			if errors.Is(err, feature.ErrBelowFloor) {
				if floor, _ := s.Floor(catalog.Views[0].Ref()); at >= floor {
					return fmt.Errorf("a read at %d was refused, the floor is %d", at, floor)
				}
				continue
			}
			if err != nil {
				return err
			}
			got := a.Cells[0].Value.Int64() // 0 for none
			if int64(at) <= before {
				if want := last[at][k]; got != want {
					return fmt.Errorf("key %d at %d: %d, want %d", k, at, got, want)
				}
				continue
			}
			if least := max(seen[k], last[before][k]); got < least || a.Cut.Seq < uint64(before) {
				return fmt.Errorf("key %d: %d at cut %d, after %d was seen at %d", k, got, a.Cut.Seq, least, before)
			}
			seen[k] = got
		}
		return nil
	}
	for i := range readers {
		group.Go(func() {
			if err := reader(uint64(i)); err != nil {
				t.Error(err)
			}
		})
	}
	rng := rand.New(rand.NewPCG(9, 9))
	for seq := 1; seq <= entries && !t.Failed(); seq++ {
		b := feature.NewBatch(catalog.Sources[0])
		last[seq] = last[seq-1]
		for range rng.IntN(30) {
			k := rng.IntN(keys)
			last[seq][k] = int64(seq)
			b.Append([]feature.Value{feature.Int64Value(int64(k)), feature.TimestampValue(feature.Time(seq)), feature.Int64Value(int64(seq))})
		}
		if err := s.Apply(uint64(seq), feature.Time(seq), b); err != nil {
			t.Fatal(err)
		}
		applied.Store(int64(seq))
		if seq%40 == 0 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	done.Store(true)
	group.Wait()
	r := s.Stats().Reads
	t.Logf("states read from memory %d, cache %d, disk %d; flushes %d", r.Memory, r.Cached, r.Disk, s.Stats().Flushes)
	if !t.Failed() && (r.Cached == 0 || r.Disk == 0 || r.Memory == 0) {
		t.Error("a layer was never read")
	}
}

// atOnce reads all keys at one position and compares them with what was true there.
func atOnce(s *online.Store, plan *feature.Plan, last *newest) error {
	column := make([]feature.Value, keys)
	for k := range column {
		column[k] = feature.Int64Value(int64(k))
	}
	a, err := s.LookupAtOnce(&feature.Lookup{Plan: plan, Keys: [][]feature.Value{column}, At: 100_000})
	if err != nil {
		return err
	}
	for k := range column {
		if got, want := a.Cells[k].Value.Int64(), last[a.Cut.Seq][k]; got != want {
			return fmt.Errorf("at once at cut %d: key %d is %d, want %d", a.Cut.Seq, k, got, want)
		}
	}
	return nil
}

// TestMergeBesideApply merges a view's history while the stream is applied to it.
func TestMergeBesideApply(t *testing.T) {
	const keys, entries = 200, 400
	catalog, plan, err := counts()
	if err != nil {
		t.Fatal(err)
	}
	v := catalog.Views[0]
	s := open(t, online.Config{CacheBytes: 1 << 14, DirtyBytes: 1 << 14})
	if _, err := s.Follow(catalog); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		rows := func(yield func(asof.Kept, error) bool) {
			for k := range int64(keys) {
				for _, ts := range []feature.Time{-50, 3, 390} {
					e := asof.Event{Position: asof.Position{EventTime: ts}, Values: []feature.Value{feature.Int64Value(-k - 1)}}
					if !yield(asof.Kept{Key: feature.Key{feature.Int64Value(k)}, Event: e}, nil) {
						return
					}
				}
			}
		}
		for range 3 { // as if interrupted
			if err := s.Merge(v.Ref(), 390, rows); err != nil {
				t.Error(err)
			}
		}
	})
	for seq := 1; seq <= entries; seq++ {
		b := feature.NewBatch(catalog.Sources[0])
		for k := seq % 7; k < keys; k += 7 {
			b.Append([]feature.Value{feature.Int64Value(int64(k)), feature.TimestampValue(feature.Time(seq)), feature.Int64Value(int64(seq))})
		}
		if err := s.Apply(uint64(seq), feature.Time(seq), b); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
	if err := s.SetReady(v.Ref()); err != nil {
		t.Fatal(err)
	}
	for at := feature.Time(380); at <= 401; at++ {
		for k := range int64(keys) {
			want := int64(0)
			for seq := int64(1); seq <= min(entries, int64(at)); seq++ {
				if seq%7 == k%7 {
					want = seq
				}
				if seq == 390 && seq%7 != k%7 {
					want = -k - 1
				}
			}
			a := lookup(t, s, &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.Int64Value(k)}}, At: at})
			if got := a.Cells[0].Value.Int64(); got != want {
				t.Fatalf("key %d at %d: %d, want %d", k, at, got, want)
			}
		}
	}
}
