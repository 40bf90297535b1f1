package offline_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/offline"
)

// line is the way to the engine; it can be cut.
type line struct {
	dial func(context.Context, string) (net.Conn, error)

	mu    sync.Mutex
	down  bool
	dials int
	open  []net.Conn
}

func (l *line) set(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for _, c := range l.open {
			_ = c.Close()
		}
		l.open = nil
	}
}

func (l *line) dialContext(ctx context.Context, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dials++
	if l.down {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.Join(io.EOF, errors.New("10.1.2.3:9000 is down"))}
	}
	c, err := l.dial(ctx, addr)
	if err == nil {
		l.open = append(l.open, c)
	}
	return c, err
}

func (l *line) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dials
}

// TestAway cuts the line to ClickHouse: calls fail, soon without trying, none names an address, and all is well after it is
// back.
func TestAway(t *testing.T) {
	engine := chtest.Engine(t)
	l := &line{dial: engine.DialContext}
	s, err := offline.Open(t.Context(), offline.Config{Dial: l.dialContext, Database: chtest.Database(t, engine), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.set(true)
	for range 4 {
		_, err := s.Watermark(t.Context())
		if feature.CodeOf(err) != feature.CodeUnavailable || strings.Contains(feature.Public(err), "10.1.2.3") {
			t.Fatalf("Watermark = %v, publicly %q, want %s without the address", err, feature.Public(err), feature.CodeUnavailable)
		}
	}
	if err := s.Failure(); err == nil || !strings.Contains(err.Error(), "10.1.2.3") {
		t.Errorf("Failure = %v, want one that names the address", err)
	}
	before := l.count()
	for range 100 {
		if _, err := s.Watermark(t.Context()); feature.CodeOf(err) != feature.CodeUnavailable {
			t.Fatalf("Watermark = %v, want %s", err, feature.CodeUnavailable)
		}
	}
	if n := l.count() - before; n > 5 {
		t.Errorf("100 calls dialled %d times, want them to fail at once", n)
	}
	l.set(false)
	eventually(t, "it is back", func() bool {
		_, err := s.Watermark(t.Context())
		return err == nil && s.Failure() == nil
	})
}

// mute is a connection that takes everything and, while silent, says nothing.
type mute struct {
	net.Conn
	silent *atomic.Bool
}

func (m mute) Read(p []byte) (int, error) {
	for {
		n, err := m.Conn.Read(p)
		if err != nil || !m.silent.Load() {
			return n, err
		}
	}
}

// TestMute has ClickHouse take requests and not answer: callers wait for as long as they are told to, and then not at all.
func TestMute(t *testing.T) {
	engine := chtest.Engine(t)
	var silent atomic.Bool
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := engine.DialContext(ctx, addr)
		return mute{c, &silent}, err
	}
	s, err := offline.Open(t.Context(), offline.Config{Dial: dial, Database: chtest.Database(t, engine), Patience: 300 * time.Millisecond, Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	migrated := make(chan error, 1)
	go func() { migrated <- s.Migrate(t.Context()) }()
	select {
	case err := <-migrated:
		if err == nil {
			t.Error("a migration that got no answer says that it is done")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a migration waits for an answer for ever")
	}
	eventually(t, "calls fail at once", func() bool {
		begun := time.Now()
		_, err := s.Watermark(t.Context())
		if d := time.Since(begun); d > 5*time.Second {
			t.Errorf("a call took %s", d)
		}
		return err != nil && s.Failure() != nil
	})
	begun := time.Now()
	for range 20 {
		if _, err := s.Watermark(t.Context()); feature.CodeOf(err) != feature.CodeUnavailable {
			t.Fatalf("Watermark = %v, want %s", err, feature.CodeUnavailable)
		}
	}
	if d := time.Since(begun); d > 10*time.Second { // one of them may wait for a probe
		t.Errorf("20 calls took %s", d)
	}
	silent.Store(false)
	eventually(t, "it answers again", func() bool {
		_, err := s.Watermark(t.Context())
		return err == nil
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: it did not come to that", what)
		}
	}
}
