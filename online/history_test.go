package online_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/online"
)

// entry is one entry of the log of a random history.
type entry struct {
	seq      uint64
	taken    feature.Time
	rows     *feature.Batch // nil: an entry without rows
	imported bool           // rows are those of the import whose record this is
}

// machine drives a store and an oracle through one random history.
type machine struct {
	t     *rapid.T
	fs    *vfs.MemFS
	cfg   online.Config
	store *online.Store
	truth *oracle.Oracle
	log   []entry
	now   feature.Time
	all   []*feature.View
	views []*feature.View // followed
	edges int
	reads int
}

var (
	allViews = []*feature.View{byUser(), byPair(), byItem()}
	users    = []feature.Value{feature.StringValue("x"), feature.StringValue("y"), feature.StringValue("nobody"), {}}
	items    = []feature.Value{feature.Int64Value(1), feature.Int64Value(11), {}}
)

// TestRandomHistories compares the store with the oracle, read by read, through pushes, imports, flushes, crashes,
// restarts and changing sets of views. The cache is tiny or not, so all layers take part.
func TestRandomHistories(t *testing.T) { randomHistories(t, allViews) }

// TestRandomWindows does the same with windowed views.
func TestRandomWindows(t *testing.T) { randomHistories(t, windowViews()) }

func randomHistories(t *testing.T, all []*feature.View) {
	edges, reads := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.Permutation(all).Draw(t, "views")
		m := &machine{t: t, fs: vfs.NewCrashableMem(), truth: truthOf(all...), all: all, views: all[:1], now: 100}
		m.cfg = online.Config{Dir: "replica", CacheBytes: 4096, DirtyBytes: 3000, StageBytes: 800, LeafEvents: 4}
		if rapid.Bool().Draw(t, "roomy") {
			m.cfg.CacheBytes, m.cfg.DirtyBytes = 1<<20, 1<<20
		}
		m.start(m.fs)
		defer func() { m.check(m.store.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"":        func(t *rapid.T) { m.read(t) },
			"push":    m.push,
			"push2":   m.push,
			"import":  m.imported,
			"advance": func(*rapid.T) { m.take(entry{}) },
			"again":   m.again,
			"flush":   func(*rapid.T) { m.check(m.store.Flush()) },
			"sync":    func(*rapid.T) { m.check(m.store.Sync()) },
			"crash":   m.crash,
			"restart": func(*rapid.T) { m.check(m.store.Close()); m.start(m.fs) },
			"views":   m.choose,
			"rejoin":  m.rejoin,
		})
		edges, reads = edges+m.edges, reads+m.reads
	})
	t.Logf("%d reads, %d%% on the edge of an event, a floor or a ttl", reads, edges*100/max(reads, 1))
	if edges*5 < reads {
		t.Errorf("%d of %d reads are on an edge, want at least a fifth", edges, reads)
	}
}

func (m *machine) check(err error) {
	if err != nil {
		m.t.Fatalf("%v", err)
	}
}

// start opens the store in fs, places it if it is new and applies what it does not have.
func (m *machine) start(fs *vfs.MemFS) {
	m.fs = fs
	m.cfg.FS = fs
	s, err := online.Open(m.cfg)
	m.check(err)
	m.store = s
	if s.Position().Log == "" {
		m.check(s.Restart(feature.Cut{Log: "log", Seq: 0}))
	}
	m.follow()
	for _, e := range m.log {
		m.apply(e)
	}
}

// follow follows m.views and merges the history of those that join.
func (m *machine) follow() {
	joining, err := m.store.Follow(catalogOf(m.views...))
	m.check(err)
	at := m.store.Position().Seq
	for _, v := range joining {
		plan, err := catalogOf(v).PlanFeatures([]string{v.Name + "." + v.Features[0].Name})
		m.check(err)
		l := &feature.Lookup{Plan: plan, Keys: keysOf(plan, users[:1], items[:1]), At: m.now}
		if _, err := m.store.Lookup(l); !errors.Is(err, feature.ErrUnavailable) {
			m.t.Fatalf("Lookup of a joining view: %v, want unavailable", err)
		}
		for _, e := range m.log {
			if e.seq <= at && e.rows != nil {
				m.merge(v, e)
			}
		}
		m.check(m.store.SetReady(v.Ref()))
	}
}

// merge merges the rows of one entry into v.
func (m *machine) merge(v *feature.View, e entry) {
	seq, generation := e.seq, uint64(0)
	if e.imported {
		seq, generation = 0, e.seq
	}
	clock, rows := kept(v, e.rows, seq, generation, e.taken)
	m.check(m.store.Merge(v.Ref(), clock, each(rows)))
}

// take appends e to the log and applies it.
func (m *machine) take(e entry) {
	e.seq = uint64(len(m.log) + 1)
	e.taken = m.now
	m.log = append(m.log, e)
	switch {
	case e.imported:
		m.truth.Import(e.rows, e.seq)
	case e.rows != nil:
		m.truth.Push(e.rows, e.seq, e.taken)
	}
	m.apply(e)
}

func (m *machine) apply(e entry) {
	switch {
	case e.seq <= m.store.Position().Seq:
		return
	case e.imported:
		for _, v := range m.views {
			m.merge(v, e)
		}
		m.check(m.store.Advance(e.seq))
	case e.rows != nil:
		m.check(m.store.Apply(e.seq, e.taken, e.rows))
	default:
		m.check(m.store.Advance(e.seq))
	}
}

// again repeats an entry: a position that was passed is not passed twice.
func (m *machine) again(t *rapid.T) {
	if len(m.log) == 0 {
		t.Skip("no entry can be repeated yet: rapid draws another action")
	}
	e := rapid.SampledFrom(m.log).Draw(t, "entry")
	if e.rows != nil && !e.imported {
		m.check(m.store.Apply(e.seq, e.taken, e.rows))
	}
	m.check(m.store.Advance(e.seq))
}

// crash takes what the disk may hold at this moment and goes on with it.
func (m *machine) crash(t *rapid.T) {
	seed := rapid.Uint64().Draw(t, "seed")
	clone := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(seed, 1))})
	m.check(m.store.Close())
	m.start(clone)
}

func (m *machine) choose(t *rapid.T) {
	m.views = nil
	for i, v := range m.all {
		if rapid.Bool().Draw(t, "follow") || i == 0 {
			m.views = append(m.views, v)
		}
	}
	m.follow()
}

func (m *machine) rejoin(t *rapid.T) {
	m.check(m.store.Rejoin(rapid.SampledFrom(m.views).Draw(t, "view").Ref()))
	m.follow()
}

func (m *machine) push(t *rapid.T)     { m.take(entry{rows: m.draw(t)}) }
func (m *machine) imported(t *rapid.T) { m.take(entry{rows: m.draw(t), imported: true}) }

// draw draws a few rows near the present, ties and equal instants among them.
func (m *machine) draw(t *rapid.T) *feature.Batch {
	m.now += feature.Time(rapid.IntRange(0, 6).Draw(t, "step"))
	var rows []row
	for range rapid.IntRange(1, 5).Draw(t, "rows") {
		r := row{ts: m.now - feature.Time(rapid.IntRange(-3, 12).Draw(t, "age"))}
		r.known = r.ts + feature.Time(rapid.SampledFrom([]int{0, 0, 3, -2}).Draw(t, "known"))
		r.u = rapid.SampledFrom([]*string{ptr("x"), ptr("x"), ptr("y"), nil}).Draw(t, "u")
		r.i = rapid.SampledFrom([]*int64{ptr(int64(1)), ptr(int64(11)), nil}).Draw(t, "i")
		r.tie = rapid.SampledFrom([]*int64{nil, ptr(int64(0)), ptr(int64(-1)), ptr(int64(2))}).Draw(t, "tie")
		r.gone = rapid.IntRange(0, 5).Draw(t, "gone") == 0
		if rapid.Bool().Draw(t, "a?") {
			r.a = ptr(int64(rapid.IntRange(-3, 3).Draw(t, "a")))
		}
		if rapid.Bool().Draw(t, "b?") {
			r.b = ptr(rapid.SampledFrom([]string{"", "q", "a longer string"}).Draw(t, "b"))
		}
		if rapid.Bool().Draw(t, "l?") {
			r.hasList, r.l = true, rapid.SliceOfN(rapid.SampledFrom([]float64{0, 1.5}), 0, 2).Draw(t, "l")
		}
		rows = append(rows, r)
	}
	return batchOf(rows...)
}

// read reads every key of every view at one instant, at or around an event, a floor or an expiry.
func (m *machine) read(t *rapid.T) {
	v := rapid.SampledFrom(m.views).Draw(t, "view")
	plan := planOf(m.t, v)
	if len(v.Features) > 8 {
		plan = m.somePlan(t, v)
	}
	at, edge := m.instant(t, v)
	l := &feature.Lookup{Plan: plan, Keys: keysOf(plan, users, items), At: at}
	look := m.store.Lookup
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		look = m.store.LookupAtOnce
	case 1:
		look = m.explain
	}
	got, err := look(l)
	cut := m.store.Position()
	floor, known := m.truth.Floor(v, oracle.Cut(cut.Seq))
	if have, ok := m.store.Floor(v.Ref()); ok != known || known && have != floor {
		t.Fatalf("Floor(%s) = %d, %t, want %d, %t", v.Ref(), have, ok, floor, known)
	}
	if known && at < floor {
		if !errors.Is(err, feature.ErrBelowFloor) {
			t.Fatalf("Lookup at %d below the floor %d: %v, want below_floor", at, floor, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("Lookup at %d: %v", at, err)
	}
	if got.Cut != cut {
		t.Fatalf("Lookup says cut %v, the position is %v", got.Cut, cut)
	}
	compare(t, m.truth, l, got)
	if m.reads++; edge {
		m.edges++
	}
}

// explain reads every key of a lookup by an explanation of it.
func (m *machine) explain(l *feature.Lookup) (*feature.Answer, error) {
	all := &feature.Answer{}
	for row := range l.Rows() {
		one := *l
		one.Keys = nil
		for _, column := range l.Keys {
			one.Keys = append(one.Keys, column[row:row+1])
		}
		a, _, err := m.store.Explain(&one)
		if err != nil {
			return nil, err
		}
		all.Cut, all.Cells = a.Cut, append(all.Cells, a.Cells...)
	}
	return all, nil
}

// somePlan returns the plan of some features of a view.
func (m *machine) somePlan(t *rapid.T, v *feature.View) *feature.Plan {
	some := rapid.SliceOfNDistinct(rapid.IntRange(0, len(v.Features)-1), 1, 8, rapid.ID).Draw(t, "features")
	var names []string
	for _, i := range some {
		names = append(names, v.Ref().String()+"."+v.Features[i].Name)
	}
	p, err := catalogOf(v).PlanFeatures(names)
	m.check(err)
	return p
}

// instant draws an instant to read v at, and whether it is one on which something hangs.
func (m *machine) instant(t *rapid.T, v *feature.View) (feature.Time, bool) {
	marks := []feature.Time{m.now}
	for _, e := range m.log {
		if e.rows != nil {
			for i := range e.rows.Rows {
				ts := e.rows.Column("ts").Value(i).Time()
				marks = append(marks, ts+feature.Time(v.Delay), ts+feature.Time(v.Delay)+7, ts+feature.Time(v.Delay)+12)
			}
		}
	}
	marks = marks[max(0, len(marks)-20):]
	if floor, ok := m.store.Floor(v.Ref()); ok {
		marks = append(marks, floor)
	}
	at := rapid.SampledFrom(marks).Draw(t, "mark") + feature.Time(rapid.IntRange(-1, 1).Draw(t, "off"))
	return at, slices.Contains(marks, at)
}
