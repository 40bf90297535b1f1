package faulttest_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
	"github.com/nats-io/nats.go/jetstream"
)

// damage changes the files of a folder whose names match a pattern, and fails if there are none.
func damage(t *testing.T, dir, pattern string, change func([]byte) []byte) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ok, _ := filepath.Match(pattern, filepath.Base(path)); err != nil || d.IsDir() || !ok {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			return err
		}
		found++
		if b = change(b); b == nil {
			return os.Remove(path)
		}
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil || found == 0 {
		t.Fatalf("damage %s in %s: %d files, %v", pattern, dir, found, err)
	}
}

// flip changes bits all over a file.
func flip(b []byte) []byte {
	for i := len(b) % 7; i < len(b); i += 64 {
		b[i] ^= 0x55
	}
	return b
}

// half loses the end of a file.
func half(b []byte) []byte { return b[:len(b)/2] }

func empty([]byte) []byte { return []byte{} }

func gone([]byte) []byte { return nil }

// TestCopyDamaged damages files of the replica and of the index of ids while the process is down: both are copies, and made
// anew.
func TestCopyDamaged(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"replica", "identity"} {
		t.Run(dir, func(t *testing.T) {
			s := filled(t)
			s.keep()
			for name, c := range map[string]struct {
				pattern string
				change  func([]byte) []byte
			}{
				"flipped tables": {"*.sst", flip}, "cut tables": {"*.sst", half}, "a flipped manifest": {"MANIFEST-*", flip},
				"lost tables": {"*.sst", gone}, "a lost manifest": {"MANIFEST-*", gone},
				"a cut manifest": {"MANIFEST-*", half}, "an empty manifest": {"MANIFEST-*", empty}, "flipped options": {"OPTIONS-*", flip},
			} {
				if err := s.end(); err != nil {
					t.Fatalf("%s: end the node: %v", name, err)
				}
				damage(t, filepath.Join(s.cfg.Data, dir), c.pattern, c.change)
				s.ends = nil
				s.wantRead("a", feature.PathAuto)
				s.pushAgain("orders")
				s.eventually("a push is taken", func() bool { return s.push("orders", "a", 1) == nil })
				s.complete()
				for _, err := range s.ends {
					if text := err.Error(); !strings.Contains(text, "damaged") {
						t.Errorf("%s: the process ended with %v", name, err)
					}
				}
			}
			if !strings.Contains(s.said.tail(), "damaged") {
				t.Error("the log does not say what was damaged")
			}
		})
	}
}

// TestLogLostEnd brings an old copy of NATS' files back while rows are pushed: ClickHouse has what the log has lost.
func TestLogLostEnd(t *testing.T) {
	s := filled(t)
	saved := s.server.save()
	s.eventually("pushes are taken again", func() bool { return s.push("clicks", "a", 2) == nil && s.push("orders", "a", 2) == nil })
	s.level()
	s.keep()
	s.server.stop()
	s.pushWhile(func() error { return s.server.restore(saved) })
	s.goesOn()
}

// TestLogRecreated takes the log away: all of NATS' files, definitions included. A new log is made by the next start.
func TestLogRecreated(t *testing.T) {
	s := filled(t)
	s.server.stop()
	s.pushWhile(func() error { return s.server.restore("") })
	s.wantDegraded("NATS cannot be reached")
	s.wantAway(pushRows, pushIDs)
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.keep()
	s.revive()
	s.define()
	s.goesOn()
}

// goesOn makes sure that the log was noticed to be another, and that pushes and reads go on.
func (s *stack) goesOn() {
	s.t.Helper()
	s.eventually("pushes are taken again", func() bool { return s.push("clicks", "a", 2) == nil && s.push("orders", "a", 2) == nil })
	s.pushAgain("orders")
	s.wantRead("a", feature.PathOnline)
	s.complete()
}

// pushWhile pushes rows until f has ended. It does not matter whether they are taken.
func (s *stack) pushWhile(f func() error) {
	s.t.Helper()
	done := make(chan error)
	go func() { done <- f() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				s.t.Fatal(err)
			}
			return
		default:
			if err := s.push("clicks", "b", 1); err != nil && !errors.Is(err, feature.ErrUnavailable) {
				s.t.Errorf("a push: %v, want that it is taken or %s", err, feature.CodeUnavailable)
			}
		}
	}
}

// pushAgain pushes all rows that were acknowledged of a source with an id once more: they are copies.
func (s *stack) pushAgain(source string) {
	s.t.Helper()
	rows := s.acked[source]
	var got *api.PushResponse
	s.eventually("copies are taken", func() (ok bool) {
		var err error
		got, err = s.client.PushRows(s.within(), sdk.PushRequest{Source: source, Rows: rows})
		return err == nil
	})
	if got.Accepted > 0 || got.Duplicates != len(rows) || got.Conflicts > 0 {
		s.t.Errorf("%d rows of %s once more: %+v, want that all are duplicates", len(rows), source, got)
	}
}

// TestLogDamaged puts what is no row group into the log, past Lockstep: it is passed over and kept as a dead letter.
func TestLogDamaged(t *testing.T) {
	s := filled(t)
	s.server.do(func(ctx context.Context, js jetstream.JetStream) error {
		for _, subject := range []string{"lockstep.log.clicks.0", "lockstep.log.orders.0", "lockstep.log.$record.import", "lockstep.log.nobody.7"} {
			if _, err := js.Publish(ctx, subject, []byte("{ this is no row group }")); err != nil {
				return err
			}
		}
		return nil
	})
	s.mustPush("clicks", "a", 3)
	s.wantAnswer(readNow)
	s.eventually("pushes with an id are taken again", func() bool { return s.push("orders", "a", 3) == nil })
	s.wantRead("a", feature.PathOnline)
	s.complete()
	s.pushAgain("orders")
	if n := s.status().DeadLetters.Count; n != 4 {
		t.Errorf("%d dead letters, want 4", n)
	}
	s.wantAnswer(listLetters)
}
