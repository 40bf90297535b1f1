package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/internal/audit"
)

func open(t *testing.T, cfg audit.Config) *audit.Trail {
	t.Helper()
	trail, err := audit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trail.Close() })
	return trail
}

func entry(i int) api.AuditEntry {
	who := []string{"ann", "bob"}[i%2]
	return api.AuditEntry{ID: fmt.Sprint(i), Time: time.Unix(int64(i), 0).UTC(), Phase: api.AuditBegin, Action: "apply", Who: who, Remote: "127.0.0.1:1"}
}

func record(t *testing.T, trail *audit.Trail, e api.AuditEntry) {
	t.Helper()
	if err := trail.Record(e); err != nil {
		t.Fatal(err)
	}
}

func ids(t *testing.T, trail *audit.Trail, q api.AuditQuery) string {
	t.Helper()
	entries, err := trail.Entries(q)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.ID)
	}
	return strings.Join(out, " ")
}

func TestTrail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	trail := open(t, audit.Config{Dir: dir})
	full := api.AuditEntry{
		ID: "x", Time: time.Unix(9, 5000).UTC(), Phase: api.AuditEnd, Action: "import", Target: "flights", Who: "ann", Remote: "[::1]:9",
		Details: map[string]string{"name": "a\nb"}, Status: 200, Code: "invalid", Skipped: 3,
	}
	record(t, trail, full)
	trail.Close()
	trail = open(t, audit.Config{Dir: dir})
	got, err := trail.Entries(api.AuditQuery{Limit: 10})
	if diff := cmp.Diff([]api.AuditEntry{full}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for i := range 5 {
		record(t, trail, entry(10+i))
	}
	for _, tc := range []struct {
		q    api.AuditQuery
		want string
	}{
		{api.AuditQuery{Limit: 10}, "x 10 11 12 13 14"},
		{api.AuditQuery{Limit: 2}, "13 14"},
		{api.AuditQuery{Limit: 2, Who: "bob"}, "11 13"},
		{api.AuditQuery{Limit: 9, Action: "import"}, "x"},
		{api.AuditQuery{Limit: 9, Since: time.Unix(12, 0)}, "12 13 14"},
		{api.AuditQuery{Limit: 9, Who: "nobody"}, ""},
	} {
		if got := ids(t, trail, tc.q); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.q, got, tc.want)
		}
	}
}

// TestRotation: files are put aside by size, the oldest removed, and entries are read across them.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir, FileBytes: 300, Files: 2})
	for i := range 20 {
		record(t, trail, entry(i))
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, want 3: %v", len(files), files)
	}
	got := ids(t, trail, api.AuditQuery{Limit: 100})
	if !strings.HasSuffix(got, "17 18 19") || strings.HasPrefix(got, "0 ") {
		t.Errorf("kept %q", got)
	}
	if got := ids(t, trail, api.AuditQuery{Limit: 4}); got != "16 17 18 19" {
		t.Errorf("the newest four: %q", got)
	}
}

// TestTorn: a line that a crash cut off is left out, and does not take the next one with it.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	trail := open(t, audit.Config{Dir: dir})
	record(t, trail, entry(1))
	trail.Close()
	file := filepath.Join(dir, "audit.jsonl")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(b) {
		if err := os.WriteFile(file, append(b[:len(b):len(b)], b[:cut]...), 0o600); err != nil {
			t.Fatal(err)
		}
		trail := open(t, audit.Config{Dir: dir})
		record(t, trail, entry(2))
		got := ids(t, trail, api.AuditQuery{Limit: 9})
		if want := "1 2"; got != want && (cut < len(b)-1 || got != "1 1 2") {
			t.Errorf("cut at %d: %q, want %q", cut, got, want)
		}
		trail.Close()
	}
}
