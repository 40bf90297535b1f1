package online_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/online"
)

// value reads feature a_again of by_user for x.
func value(t testing.TB, s *online.Store, at feature.Time) string {
	t.Helper()
	return brief(lookup(t, s, one(t, byUser(), at, feature.StringValue("x"))).Cells[2:3])
}

func number(ts feature.Time, a int64) row { return row{u: ptr("x"), ts: ts, a: &a} }

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "replica")
	s := open(t, online.Config{Dir: dir})
	if err := s.Restart(feature.Cut{Log: "a log", Seq: 40}); err != nil {
		t.Fatal(err)
	}
	follow(t, s, byUser())
	apply(t, s, 41, 1000, number(100, 1))
	apply(t, s, 42, 1000, number(103, 2), row{ts: 7})
	before := s.Stats().Views
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, online.Config{Dir: dir})
	if got, want := s.Position(), (feature.Cut{Log: "a log", Seq: 42}); got != want {
		t.Fatalf("Position after a restart = %v, want %v", got, want)
	}
	joining, err := s.Follow(catalogOf(byUser()))
	if err != nil || len(joining) > 0 {
		t.Fatalf("Follow after a restart: %d views join, %v", len(joining), err)
	}
	if after := s.Stats().Views; after[0] != before[0] {
		t.Errorf("Stats after a restart = %+v, want %+v", after[0], before[0])
	}
	if got := value(t, s, 102); got != "1 present" {
		t.Errorf("history after a restart: %s, want 1 present", got)
	}
	apply(t, s, 42, 1000, number(104, 9)) // passed already
	if got := value(t, s, 105); got != "2 present" {
		t.Errorf("after a repeated entry: %s, want 2 present", got)
	}
	// Restart forgets everything.
	if err := s.Restart(feature.Cut{Log: "another log", Seq: 5}); err != nil {
		t.Fatal(err)
	}
	if joining, err := s.Follow(catalogOf(byUser())); err != nil || len(joining) != 1 {
		t.Fatalf("Follow after Restart: %d views join, %v; want 1", len(joining), err)
	}
	follow(t, s, byUser())
	if got := value(t, s, 102); got != "NULL missing" {
		t.Errorf("after Restart: %s, want NULL missing", got)
	}
	apply(t, s, 6, 1000, number(100, 6))
	if got := value(t, s, 102); got != "6 present" {
		t.Errorf("applied after Restart: %s, want 6 present", got)
	}
}

// TestJoiningInterrupted checks that a view whose history was not merged to the end begins from scratch.
func TestJoiningInterrupted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, online.Config{Dir: dir})
	if _, err := s.Follow(catalogOf(byUser())); err != nil {
		t.Fatal(err)
	}
	clock, rows := kept(byUser(), batchOf(number(100, 1), number(101, 2)), 0, 1, 0)
	if err := s.Merge(byUser().Ref(), clock, each(rows)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, online.Config{Dir: dir})
	joining, err := s.Follow(catalogOf(byUser()))
	if err != nil || len(joining) != 1 {
		t.Fatalf("Follow: %d views join, %v; want 1", len(joining), err)
	}
	follow(t, s, byUser())
	if got := value(t, s, 200); got != "NULL missing" {
		t.Errorf("half a history is left: %s, want NULL missing", got)
	}
	if _, ok := s.Floor(byUser().Ref()); ok {
		t.Error("the clock of half a history is left")
	}
}

// TestOtherDefinition checks that states are never served under a definition they were not made for.
func TestOtherDefinition(t *testing.T) {
	dir := t.TempDir()
	s := open(t, online.Config{Dir: dir})
	follow(t, s, byUser())
	apply(t, s, 1, 1000, number(100, 1))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(*feature.View, *feature.Source){
		"other columns":   func(v *feature.View, _ *feature.Source) { v.Features = v.Features[1:] },
		"another key":     func(v *feature.View, _ *feature.Source) { v.Keys = []string{"b"} },
		"another history": func(v *feature.View, _ *feature.Source) { v.History = 6 },
		"another default": func(v *feature.View, _ *feature.Source) {
			v.Features = []feature.Feature{{Name: "a", Latest: "a", Type: feature.Int64, TTL: 7}}
		},
		"another tiebreak": func(_ *feature.View, s *feature.Source) { s.Tiebreak = "" },
		"another deleted":  func(_ *feature.View, s *feature.Source) { s.Deleted = "" },
	}
	for name, change := range changes {
		s := open(t, online.Config{Dir: dir})
		v, src := byUser(), clicks()
		change(v, src)
		joining, err := s.Follow(&feature.Catalog{Sources: []*feature.Source{src}, Views: []*feature.View{v}})
		if err != nil || len(joining) != 1 {
			t.Errorf("%s: %d views join, %v; want 1", name, len(joining), err)
		}
		follow(t, s, byUser()) // back again: what was there is gone
		if got := value(t, s, 100); got != "NULL missing" {
			t.Errorf("%s: %s, want NULL missing", name, got)
		}
		apply(t, s, s.Position().Seq+1, 1000, number(100, 1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnusableFolders(t *testing.T) {
	refused := func(name, dir, want string) {
		t.Helper()
		s, err := online.Open(online.Config{Dir: dir})
		if err == nil {
			s.Close()
			t.Errorf("%s: Open succeeded", name)
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v, want the folder and %q", name, err, want)
		}
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "notes.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused("other files", foreign, "delete the folder")

	used := t.TempDir()
	open(t, online.Config{Dir: used})
	refused("in use", used, "in use")

	database := t.TempDir()
	db, err := pebble.Open(database, &pebble.Options{Logger: quiet{}})
	if err == nil {
		err = errors.Join(db.Set([]byte("x"), nil, pebble.Sync), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	refused("another database", database, "delete the folder")

	damaged := t.TempDir()
	s := open(t, online.Config{Dir: damaged})
	follow(t, s, byUser())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(damaged, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if base := filepath.Base(f); strings.HasPrefix(base, "MANIFEST") || strings.HasSuffix(base, ".sst") {
			if err := os.WriteFile(f, []byte("this is not what it was"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused("damaged", damaged, "delete the folder")
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

// TestGenerationBecomesVisibleAtOnce merges a generation into a view that is ready.
func TestGenerationBecomesVisibleAtOnce(t *testing.T) {
	s := open(t, online.Config{})
	follow(t, s, byUser())
	apply(t, s, 1, 1000, number(100, 1))
	_, rows := kept(byUser(), batchOf(number(99, 5), number(110, 6), number(100, 0)), 0, 1, 0)
	if err := s.Merge(byUser().Ref(), 210, each(rows)); err != nil {
		t.Fatal(err)
	}
	if got := value(t, s, 110); got != "1 present" {
		t.Errorf("before its record: %s, want 1 present", got)
	}
	if floor, _ := s.Floor(byUser().Ref()); floor != 95 {
		t.Errorf("Floor before the record = %d, want 95", floor)
	}
	// An interrupted one leaves nothing.
	broken := errors.New("broken")
	err := s.Merge(byUser().Ref(), 0, func(yield func(asof.Kept, error) bool) {
		_ = yield(rows[0], nil) && yield(asof.Kept{}, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("Merge of broken rows: %v", err)
	}
	if err := s.Advance(2); err != nil {
		t.Fatal(err)
	}
	floor, _ := s.Floor(byUser().Ref())
	if floor != 205 {
		t.Errorf("Floor = %d, want 205", floor)
	}
	if a := lookup(t, s, one(t, byUser(), floor, feature.StringValue("x"))); brief(a.Cells[2:3]) != "6 present" || a.Cut.Seq != 2 {
		t.Errorf("after its record: %s at %d, want 6 present at 2", brief(a.Cells[2:3]), a.Cut.Seq)
	}
}

// TestGenerationTooLarge merges a generation that does not fit: lookups say so, before and after a restart.
func TestGenerationTooLarge(t *testing.T) {
	dir := t.TempDir()
	cfg := online.Config{Dir: dir, StageBytes: 1}
	s := open(t, cfg)
	follow(t, s, byUser())
	apply(t, s, 1, 1000, number(100, 1))
	clock, rows := kept(byUser(), batchOf(number(101, 6), row{u: ptr("y"), ts: 101}), 0, 1, 0)
	if err := s.Merge(byUser().Ref(), clock, each(rows)); err != nil {
		t.Fatal(err)
	}
	loading := func() {
		t.Helper()
		l := one(t, byUser(), 101, feature.StringValue("x"))
		if a := lookup(t, s, l); len(a.Stale) != 1 || !strings.Contains(a.Stale[0], "by_user@1") {
			t.Errorf("Stale = %q, want the view", a.Stale)
		}
		if _, err := s.LookupAtOnce(l); !errors.Is(err, feature.ErrUnavailable) {
			t.Errorf("LookupAtOnce while loading: %v, want unavailable", err)
		}
	}
	loading()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg)
	follow(t, s, byUser())
	loading()
	if err := s.Merge(byUser().Ref(), clock, each(rows)); err != nil {
		t.Fatal(err)
	}
	if err := s.Advance(2); err != nil {
		t.Fatal(err)
	}
	a, err := s.LookupAtOnce(one(t, byUser(), 101, feature.StringValue("x")))
	if err != nil || len(a.Stale) > 0 || brief(a.Cells[2:3]) != "6 present" {
		t.Errorf("after the record: %+v, %v", a, err)
	}
}

// TestDiskFull fills the disk for a while: values are served, Apply says when it cannot go on, and all goes on
// after there is room again.
func TestDiskFull(t *testing.T) {
	full := errorfs.ErrInjected
	inject := errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		// A MANIFEST that cannot be written ends Pebble for good: the process restarts.
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && !strings.Contains(op.Path, "MANIFEST") {
			return &os.PathError{Op: "write", Path: op.Path, Err: errors.Join(syscall.ENOSPC, full)}
		}
		return nil
	})}
	fs := vfs.NewMem()
	cfg := online.Config{FS: errorfs.Wrap(fs, &inject), Dir: "replica", DirtyBytes: 1 << 12, FlushInterval: 5 * time.Millisecond}
	s := open(t, cfg)
	follow(t, s, byUser())
	running(t, s)
	apply(t, s, 1, 1000, number(100, 1))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	inject.On()
	seq, at := uint64(1), feature.Time(100)
	var err error
	eventually(t, "Apply fails on a full disk", func() bool {
		seq, at = seq+1, at+1
		if err = s.Apply(seq, 1000, batchOf(number(at, int64(at)), row{u: ptr("other"), ts: at})); err != nil {
			seq, at = seq-1, at-1
		}
		return err != nil
	})
	if !errors.Is(err, feature.ErrUnavailable) || s.Health() == nil {
		t.Errorf("Apply on a full disk: %v, health %v; want unavailable", err, s.Health())
	}
	want := feature.Int64Value(int64(at)).String() + " present"
	if got := value(t, s, at); got != want {
		t.Errorf("read on a full disk: %s, want %s", got, want)
	}
	inject.Off()
	eventually(t, "the replica recovers", func() bool { return s.Health() == nil && s.Sync() == nil })
	apply(t, s, seq+1, 1000, number(at+1, 7))
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := value(t, s, at+1); got != "7 present" {
		t.Errorf("read after recovery: %s, want 7 present", got)
	}
}

// eventually polls until done says so.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(30 * time.Second); ; {
		if done() {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// TestRunFlushes checks that Run writes without being told to, and that Open of a copy of the folder then has it.
func TestRunFlushes(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, online.Config{FS: fs, Dir: "replica", FlushInterval: time.Millisecond})
	if err := s.Restart(feature.Cut{Log: "l"}); err != nil {
		t.Fatal(err)
	}
	follow(t, s, byUser())
	running(t, s)
	apply(t, s, 1, 1000, number(100, 1))
	eventually(t, "the flush of entry 1 survives a crash", func() bool {
		c, err := online.Open(online.Config{FS: fs.CrashClone(vfs.CrashCloneCfg{}), Dir: "replica"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.Position().Seq != 1 {
			return false
		}
		follow(t, c, byUser())
		return value(t, c, 100) == "1 present"
	})
}

// TestKeysEstimate checks that the number of keys is about right, before and after a restart.
func TestKeysEstimate(t *testing.T) {
	const keys = 20_000
	dir := t.TempDir()
	s, _ := loaded(t, online.Config{Dir: dir}, 1, keys)
	near := func(s *online.Store) {
		t.Helper()
		if got := s.Stats().Views[0].Keys; got < keys*95/100 || got > keys*105/100 {
			t.Errorf("about %d keys, want %d within 5 %%", got, keys)
		}
	}
	near(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, online.Config{Dir: dir})
	mustFollow(t, s, measureCatalog(1, 10))
	near(s)
}
