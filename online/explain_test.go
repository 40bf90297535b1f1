package online_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/online"
)

// slowDisk is a file system on which the first look of an explanation into a table waits, once armed, for a release. Pebble's own
// work, which looks into tables at times of its own (statistics of a new one, compactions), passes.
type slowDisk struct {
	armed             atomic.Bool
	entered, released chan struct{}
}

func newSlowDisk() *slowDisk {
	return &slowDisk{entered: make(chan struct{}), released: make(chan struct{})}
}

func (d *slowDisk) String() string { return "slow" }

func (d *slowDisk) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead && strings.HasSuffix(op.Path, ".sst") && explains() && d.armed.CompareAndSwap(true, false) {
		close(d.entered)
		<-d.released
	}
	return nil
}

// explains reports whether it is called by an explanation.
func explains() bool {
	callers := make([]uintptr, 100)
	for frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers)]); ; {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "online.(*Store).Explain") || !more {
			return more
		}
	}
}

// bigViews are views of which a user's state is on disk, whole or in thousands of rows.
func bigViews() []*feature.View {
	windows := byUser()
	windows.Name, windows.Features = "big", append(features[1:2:2],
		windowFeature("sum", feature.Window{Operator: "sum", Input: "a", Width: 10_000}),
		windowFeature("hops", feature.Window{Operator: "sum", Input: "a", Width: 10_000, Hop: 100}),
		windowFeature("ever", feature.Window{Operator: "count", Input: "*"}),
		windowFeature("last", feature.Window{Operator: "last_n", Input: "b", N: 3, Width: 10_000}))
	return []*feature.View{byUser(), windows}
}

// TestExplainBesideApply explains a key of which a part is on a disk that does not answer for now: entries are applied and keys in
// memory are read meanwhile, and the explanation is of the position at which it began.
func TestExplainBesideApply(t *testing.T) {
	for _, v := range bigViews() {
		t.Run(v.Name, func(t *testing.T) {
			disk := newSlowDisk()
			cfg := online.Config{FS: errorfs.Wrap(vfs.NewMem(), disk), Dir: "replica"}
			truth, seq := truthOf(v), uint64(0)
			event := func(at feature.Time, n int64) row { return row{u: ptr("x"), ts: at, a: ptr(n), b: ptr(fmt.Sprint(n))} }
			log := func(s *online.Store, rows ...row) {
				seq++
				apply(t, s, seq, 5000, rows...)
				truth.Push(batchOf(rows...), seq, 5000)
			}
			s := open(t, cfg)
			follow(t, s, v)
			for at := feature.Time(1); at <= 3000; at += 100 {
				var rows []row
				for i := range feature.Time(100) {
					rows = append(rows, event(at+i, int64(at+i)))
				}
				log(s, rows...)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, cfg)
			follow(t, s, v)
			if err := s.Erase(v.Ref(), []feature.Key{{feature.StringValue("y")}}); err != nil { // writes the table anew: no part of it is cached
				t.Fatal(err)
			}
			log(s, event(3001, 1), event(2999, 2)) // which memory has, and it has not the others

			l := one(t, v, 4000, feature.StringValue("x"))
			began, want := s.Position(), make(chan error, 1)
			release := sync.OnceFunc(func() { close(disk.released) })
			defer release()
			disk.armed.Store(true)
			var a *feature.Answer
			var traces []asof.Trace
			go func() {
				var err error
				a, traces, err = s.Explain(l)
				want <- err
			}()
			select {
			case <-disk.entered:
			case err := <-want:
				t.Fatalf("the explanation did not wait for the disk: %v, %v", a, err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if err := s.Apply(seq+1, 5000, batchOf(event(3002, 3), row{u: ptr("y"), ts: 3002, a: ptr(int64(7))})); err != nil {
					t.Error(err)
				}
			}()
			within(t, "an entry is applied beside the explanation", done)
			release()
			if err := <-want; err != nil {
				t.Fatal(err)
			}
			if a.Cut != began || s.Position().Seq != seq+1 {
				t.Errorf("explained at %v, now at %v; want %v and one entry more", a.Cut, s.Position(), began)
			}
			compare(t, truth, l, a)
			for i, x := range traces {
				for _, e := range x.Events {
					if e.Seq > began.Seq {
						t.Errorf("%s: an event of sequence %d is in an explanation at %d", l.Plan.Names[i], e.Seq, began.Seq)
					}
				}
				if len(x.Events) == 0 || x.Events[0].EventTime != 3001 && x.Lo != asof.Ever {
					t.Errorf("%s: %d events, want them from 3001 on backwards", l.Plan.Names[i], len(x.Events))
				}
			}
			truth.Push(batchOf(event(3002, 3)), seq+1, 5000)
			if a, _, err := s.Explain(l); err != nil {
				t.Error(err)
			} else {
				compare(t, truth, l, a)
			}
		})
	}
}

// within fails the test unless done is closed soon.
func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: not within 30 s", what)
	}
}

// TestExplainAtOnePosition explains keys while entries are applied, flushed, swept and forgotten: every feature counts the events
// up to the explanation's cut, wherever these are.
func TestExplainAtOnePosition(t *testing.T) {
	const keys, entries = 100, 800
	catalog, _, err := counts()
	if err != nil {
		t.Fatal(err)
	}
	v := catalog.Views[0]
	v.Features = []feature.Feature{
		windowFeature("exact", feature.Window{Operator: "count", Input: "*", Width: 10_000}),
		windowFeature("hops", feature.Window{Operator: "count", Input: "*", Width: 10_000, Hop: 10}),
		windowFeature("ever", feature.Window{Operator: "count", Input: "*"}),
	}
	plan, err := catalog.PlanFeatures([]string{"v.exact", "v.hops", "v.ever"})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, online.Config{CacheBytes: 30_000, DirtyBytes: 20_000, LeafEvents: 8})
	mustFollow(t, s, catalog)
	running(t, s)
	var counted [entries + 1][keys]int64 // up to each sequence
	var done atomic.Bool
	var group sync.WaitGroup
	reader := func(rng *rand.Rand) error {
		for !done.Load() {
			k := rng.Int64N(keys)
			l := &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.Int64Value(k)}}, At: entries + 100}
			if rng.IntN(2) == 0 { // which brings the key into memory
				if _, err := s.Lookup(l); err != nil {
					return err
				}
				continue
			}
			a, _, err := s.Explain(l)
			if err != nil {
				return err
			}
			for i, c := range a.Cells {
				if got, want := c.Value.Int64(), counted[a.Cut.Seq][k]; got != want {
					return fmt.Errorf("%s of key %d at %d: %d, want %d", plan.Names[i], k, a.Cut.Seq, got, want)
				}
			}
		}
		return nil
	}
	for i := range uint64(2) {
		group.Go(func() {
			if err := reader(rand.New(rand.NewPCG(i, 1))); err != nil {
				t.Error(err)
			}
		})
	}
	rng := rand.New(rand.NewPCG(9, 9))
	for seq := 1; seq <= entries && !t.Failed(); seq++ {
		b := feature.NewBatch(catalog.Sources[0])
		counted[seq] = counted[seq-1]
		for range rng.IntN(20) {
			k := rng.Int64N(keys)
			counted[seq][k]++
			b.Append([]feature.Value{feature.Int64Value(k), feature.TimestampValue(feature.Time(seq)), feature.Int64Value(1)})
		}
		if err := s.Apply(uint64(seq), feature.Time(seq), b); err != nil {
			t.Fatal(err)
		}
		if seq%20 == 0 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	done.Store(true)
	group.Wait()
	r := s.Stats().Reads
	t.Logf("states read from memory %d, cache %d, disk %d; flushes %d", r.Memory, r.Cached, r.Disk, s.Stats().Flushes)
	if !t.Failed() && (r.Disk == 0 || r.Memory == 0) {
		t.Error("a layer was never read")
	}
}

// BenchmarkExplain explains a key with events events that are on disk, and reports how long an entry took to be applied meanwhile.
func BenchmarkExplain(b *testing.B) {
	for _, events := range []int{1000, 432_000} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			dir, v := b.TempDir(), cardViews()[0]
			c := &feature.Catalog{Sources: []*feature.Source{cards()}, Views: []*feature.View{v}}
			s := open(b, online.Config{Dir: dir})
			mustFollow(b, s, c)
			rng, batch, end := rand.New(rand.NewPCG(1, 2)), &feature.Batch{}, feature.Time(0)
			for range events / 100 {
				cardBatch(rng, batch, 100, end, feature.Second)
				clear(batch.Columns[0].Ints)
				end = end.Add(100 * feature.Second)
				if err := s.Apply(s.Position().Seq+1, end, batch); err != nil {
					b.Fatal(err)
				}
			}
			plan, err := c.PlanFeatures([]string{v.Name + ".count_30d"})
			if err != nil {
				b.Fatal(err)
			}
			l := &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.Int64Value(0)}}, At: end}
			cardBatch(rng, batch, 1, end, feature.Second)
			longest := time.Duration(0)
			for b.Loop() {
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				s = open(b, online.Config{Dir: dir})
				mustFollow(b, s, c)
				b.StartTimer()
				explained := make(chan error, 1)
				go func() {
					_, _, err := s.Explain(l)
					explained <- err
				}()
				for done := false; !done; {
					begin := time.Now()
					if err := s.Apply(s.Position().Seq+1, end, batch); err != nil {
						b.Fatal(err)
					}
					longest = max(longest, time.Since(begin))
					select {
					case err := <-explained:
						if done = true; err != nil {
							b.Fatal(err)
						}
					default:
					}
				}
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "apply-max-ms")
		})
	}
}
