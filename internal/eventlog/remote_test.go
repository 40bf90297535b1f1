package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// TestRemoteEmbedded reads and writes a log that another Log's server keeps, over TCP.
func TestRemoteEmbedded(t *testing.T) {
	host := open(t, eventlog.Config{Listen: "127.0.0.1:0"})
	if !strings.HasPrefix(host.ClientURL(), "nats://127.0.0.1:") {
		t.Fatalf("ClientURL = %q", host.ClientURL())
	}
	var said bytes.Buffer
	guest := open(t, eventlog.Config{URL: host.ClientURL(), Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if guest.ID() != host.ID() {
		t.Errorf("ID %q by URL, %q in process", guest.ID(), host.ID())
	}
	if !strings.Contains(said.String(), "durability") {
		t.Errorf("no warning about durability in %q", said.String())
	}
	publish(t, host, rows(0, 2))
	if seq := publish(t, guest, rows(2, 2)); seq != 2 {
		t.Errorf("Publish by URL = %d, want 2", seq)
	}
	publish(t, guest, rows(4, 100_000))
	end := last(t, host)
	for _, l := range []*eventlog.Log{host, guest} {
		got := ids(read(t, l, 1, end))
		if len(got) != 100_004 || !slices.IsSorted(got) {
			t.Errorf("%d rows, sorted %v", len(got), slices.IsSorted(got))
		}
	}
	if host.Durability() != eventlog.Fsync || guest.ClientURL() != host.ClientURL() {
		t.Errorf("durability %s, URL %s", host.Durability(), guest.ClientURL())
	}
}

func TestNobodyListens(t *testing.T) {
	if _, err := eventlog.Open(within(t), eventlog.Config{URL: "nats://127.0.0.1:1"}); !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("Open at a port where nobody listens: %v, want %s", err, feature.CodeUnavailable)
	}
}

// natsServer is nats-server in a process of its own.
type natsServer struct {
	t    *testing.T
	bin  string
	dir  string
	port string
	cmd  *exec.Cmd
}

// TestRemote runs the tests that need a nats-server in a process of its own, built from the module cache.
func TestRemote(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "nats-server")
	build := exec.Command("go", "build", "-o", bin, "github.com/nats-io/nats-server/v2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build nats-server (run: go mod download): %v\n%s", err, out)
	}
	for name, test := range map[string]func(*testing.T, string){
		"Killed": testKilled, "Down": testDown, "SmallPayload": testSmallPayload, "NoJetStream": testNoJetStream, "NoRoom": testNoRoom,
	} {
		t.Run(name, func(t *testing.T) { test(t, bin) })
	}
}

// startNATS runs nats-server with fsync on a free port.
func startNATS(t *testing.T, bin, config string) *natsServer {
	t.Helper()
	s := &natsServer{t: t, bin: bin, dir: t.TempDir()}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	config = fmt.Sprintf("listen: 127.0.0.1:%s\njetstream { store_dir: %q, sync_interval: always }\n%s", s.port, filepath.Join(s.dir, "js"), config)
	if err := os.WriteFile(filepath.Join(s.dir, "nats.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *natsServer) url() string { return "nats://127.0.0.1:" + s.port }

func (s *natsServer) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, "-c", filepath.Join(s.dir, "nats.conf"))
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "nats-server answers", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

// kill ends the server without a warning.
func (s *natsServer) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// testKilled kills and restarts a real nats-server under publishers and readers: every acknowledged call
// is in the log once, readers see every entry once and in order, publishers and readers go on by themselves.
func testKilled(t *testing.T, bin string) {
	server := startNATS(t, bin, "")
	quiet := slog.New(slog.DiscardHandler)
	l := open(t, eventlog.Config{URL: server.url(), Logger: quiet})
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	users := &feature.Source{Name: "users", Columns: clicks.Columns}

	var mu sync.Mutex
	acked := 0
	var group sync.WaitGroup
	stop := make(chan struct{})
	for c := range 4 {
		group.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				first := (c*1_000_000 + k) * 10
				batches := []*feature.Batch{rows(first, 5)}
				if k%3 == 0 { // an atomic batch
					batches = append(batches, rowsOf(users, first+5, 5))
				}
				if _, err := l.Publish(ctx, batches...); err != nil {
					t.Errorf("Publish: %v", err)
					return
				}
				mu.Lock()
				acked++
				mu.Unlock()
			}
		})
	}
	var entries []eventlog.Entry
	tailed := make(chan error, 1)
	go func() {
		tailed <- l.Tail(ctx, 1, func(e eventlog.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			entries = append(entries, e)
			return nil
		})
	}()
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return acked
	}
	for range 3 {
		n := count()
		eventually(t, "publishes are acknowledged", func() bool { return count() > n+50 })
		server.kill()
		server.start()
	}
	n := count()
	eventually(t, "publishes are acknowledged", func() bool { return count() > n+50 })
	close(stop)
	group.Wait()
	end := last(t, l)
	eventually(t, "the reader has all", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(entries) > 0 && entries[len(entries)-1].Seq == end
	})
	cancel()
	if err := <-tailed; !errors.Is(err, context.Canceled) {
		t.Errorf("Tail: %v", err)
	}
	seen := map[int64]int{}
	for i, e := range entries {
		if e.Seq != uint64(i+1) {
			t.Fatalf("entry %d has sequence %d", i, e.Seq)
		}
		for _, id := range e.Batch.Column("id").Ints {
			seen[id]++
		}
	}
	calls := 0
	for id, n := range seen {
		if n != 1 {
			t.Errorf("row %d is there %d times", id, n)
		}
		if id%10 != 0 {
			continue
		}
		calls++
		want := int64(5)
		if (id/10)%1_000_000%3 == 0 {
			want = 10
		}
		for i := range want {
			if seen[id+i] != 1 {
				t.Errorf("row %d of a call is there %d times", id+i, seen[id+i])
			}
		}
	}
	if calls != acked {
		t.Errorf("%d calls are in the log, %d were acknowledged", calls, acked)
	}
	t.Logf("%d calls acknowledged in %d entries", acked, end)
}

// testDown publishes while no server answers: the caller learns that nothing is known, in time.
func testDown(t *testing.T, bin string) {
	server := startNATS(t, bin, "")
	l := open(t, eventlog.Config{URL: server.url(), Logger: slog.New(slog.DiscardHandler), Patience: 300 * time.Millisecond})
	publish(t, l, rows(0, 1))
	server.kill()
	start := time.Now()
	if _, err := l.Publish(within(t), rows(1, 1)); !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("Publish: %v, want %s", err, feature.CodeUnavailable)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("Publish took %s", d)
	}
	ctx, cancel := context.WithTimeout(within(t), time.Second)
	defer cancel()
	if err := l.Healthy(ctx); !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("Healthy: %v, want %s", err, feature.CodeUnavailable)
	}
	server.start()
	eventually(t, "the log is healthy", func() bool { return l.Healthy(within(t)) == nil })
	eventually(t, "the log takes rows", func() bool { // a server that has just come back may need more than our patience
		_, err := l.Publish(within(t), rows(2, 1))
		return err == nil
	})
}

// testSmallPayload publishes to a server whose messages are smaller than our groups.
func testSmallPayload(t *testing.T, bin string) {
	server := startNATS(t, bin, "max_payload: 64KB\n")
	l := open(t, eventlog.Config{URL: server.url(), Logger: slog.New(slog.DiscardHandler)})
	b := feature.NewBatch(clicks)
	for i := range 500 {
		b.Append([]feature.Value{feature.Int64Value(int64(i)), feature.StringValue(strings.Repeat("x", 2000)), {}})
	}
	publish(t, l, b)
	done := make(chan error, 20)
	for i := range cap(done) {
		go func() {
			_, err := l.Publish(context.Background(), b.Slice(i, i+10))
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := ids(read(t, l, 1, last(t, l))); len(got) != 700 {
		t.Errorf("%d rows, want 700", len(got))
	}
}

func testNoJetStream(t *testing.T, bin string) {
	server := startNATS(t, bin, "accounts { A { users: [ {user: a, password: b} ] } }\n")
	_, err := eventlog.Open(within(t), eventlog.Config{URL: strings.Replace(server.url(), "//", "//a:b@", 1)})
	if !errors.Is(err, feature.ErrUnavailable) || !strings.Contains(err.Error(), "JetStream") {
		t.Errorf("Open of an account without JetStream: %v, want %s that says so", err, feature.CodeUnavailable)
	}
}

// testNoRoom: a log that may become larger than the server's disk is refused in words that say what to do.
func testNoRoom(t *testing.T, bin string) {
	s := startNATS(t, bin, "")
	_, err := eventlog.Open(within(t), eventlog.Config{URL: s.url(), MaxBytes: 1 << 50})
	if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "lower log-bytes, or raise max_file_store") {
		t.Errorf("Open of a log of a PiB: %v", err)
	}
}
