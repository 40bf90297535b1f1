package eventlog_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// proxy passes TCP connections on to a server. While it is mute, what the server says is dropped, and the
// connection with it after the first words.
type proxy struct {
	listener net.Listener
	target   string
	mute     atomic.Bool
	muted    atomic.Int64 // connections that ended so
	group    sync.WaitGroup
}

func startProxy(t *testing.T, url string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: strings.TrimPrefix(url, "nats://")}
	p.group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.pass(conn) })
		}
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) stop() {
	_ = p.listener.Close()
	p.group.Wait()
}

func (p *proxy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.group.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if p.mute.CompareAndSwap(true, false) {
			p.muted.Add(1)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestLostAcknowledgement loses the server's answer to a publish that it has stored: the repetition is not
// stored again, and Publish returns where the rows are.
func TestLostAcknowledgement(t *testing.T) {
	host := open(t, eventlog.Config{Listen: "127.0.0.1:0"})
	p := startProxy(t, host.ClientURL())
	l, err := eventlog.Open(within(t), eventlog.Config{URL: p.url(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = l.Close()
		p.stop()
	}()
	users := &feature.Source{Name: "users", Columns: clicks.Columns}
	var want []int64
	for i := range 10 {
		publish(t, host, rows(1000+i, 1)) // others publish too
		want = append(want, int64(1000+i))
		batches := []*feature.Batch{rows(2*i, 1)}
		want = append(want, int64(2*i))
		if i%2 == 1 {
			batches = append(batches, rowsOf(users, 2*i+1, 1)) // an atomic batch
			want = append(want, int64(2*i+1))
		}
		p.mute.Store(true)
		seq := publish(t, l, batches...)
		if got := last(t, host); seq != got {
			t.Errorf("Publish = %d, the rows are at %d", seq, got)
		}
	}
	if p.muted.Load() < 8 {
		t.Errorf("%d connections were cut, want 10", p.muted.Load())
	}
	if got := ids(read(t, host, 1, last(t, host))); !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
}

// TestLostDelivery loses an entry on its way to a reader, and nothing comes behind it that would show the gap: the reader
// gets it all the same.
func TestLostDelivery(t *testing.T) {
	host := open(t, eventlog.Config{Listen: "127.0.0.1:0"})
	p := startProxy(t, host.ClientURL())
	l, err := eventlog.Open(within(t), eventlog.Config{URL: p.url(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(within(t))
	got, ended := make(chan uint64, 100), make(chan error)
	go func() {
		ended <- l.Tail(ctx, 1, func(e eventlog.Entry) error { got <- e.Seq; return nil })
	}()
	defer func() {
		cancel()
		<-ended
		_ = l.Close()
		p.stop()
	}()
	for i := range 5 {
		want := publish(t, host, rows(i, 1))
		if seq := <-got; seq != want {
			t.Fatalf("read %d, want %d", seq, want)
		}
		p.mute.Store(true)
		want = publish(t, host, rows(100+i, 1))
		select {
		case seq := <-got:
			if seq != want {
				t.Fatalf("read %d, want %d", seq, want)
			}
		case <-ctx.Done():
			t.Fatalf("entry %d was lost on the way and did not come again", want)
		}
	}
	if p.muted.Load() == 0 {
		t.Error("no connection was cut")
	}
}

// TestBrokenDisk changes single bytes of the files of a log: no reader gets rows that nobody published.
func TestBrokenDisk(t *testing.T) {
	dir := t.TempDir()
	l := open(t, eventlog.Config{Dir: dir})
	const n = 50
	for i := range n {
		publish(t, l, rows(i, 1))
	}
	_ = l.Close()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "LOCKSTEP_LOG", "msgs", "*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("files of the log: %v, %v, want one", blocks, err)
	}
	good, err := os.ReadFile(blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	outcomes := map[string]int{}
	for at := len(good) / 3; at < len(good)/3+200; at += 9 {
		bad := slices.Clone(good)
		bad[at] ^= 0x20
		if err := os.WriteFile(blocks[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		outcomes[readBroken(t, eventlog.Config{Dir: dir, Logger: quiet}, n)]++
		if err := os.WriteFile(blocks[0], good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(outcomes)
}

// readBroken says how reading a broken log ends, and fails if it gives wrong rows before.
func readBroken(t *testing.T, cfg eventlog.Config, n int) string {
	t.Helper()
	l, err := eventlog.Open(within(t), cfg)
	if err != nil {
		return "it does not open"
	}
	defer func() { _ = l.Close() }()
	end := last(t, l)
	if end == 0 {
		return "it is empty"
	}
	next := int64(0)
	done := os.ErrProcessDone
	err = l.Tail(within(t), 1, func(e eventlog.Entry) error {
		if got := ids([]eventlog.Entry{e}); len(got) != 1 || got[0] != int64(e.Seq)-1 || got[0] != next {
			t.Errorf("ids %v at %d", got, e.Seq)
		}
		if next++; e.Seq == end {
			return done
		}
		return nil
	})
	switch {
	case err != done:
		return err.Error()
	case end < uint64(n):
		return "its end is lost"
	default:
		return "it is whole"
	}
}
