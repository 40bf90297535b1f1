package registry_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/lockstepfs/lockstep/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// startServer runs a NATS server with JetStream in this process until the test ends or stop is called.
func startServer(t *testing.T, o server.Options) (s *server.Server, stop func()) {
	t.Helper()
	o.JetStream, o.NoSigs, o.NoLog = true, true, true
	o.JetStreamMaxMemory, o.JetStreamMaxStore = 64<<20, 64<<20
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready after 10 s")
	}
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(stop)
	return s, stop
}

// embedded returns a server without a socket.
func embedded(t *testing.T) *server.Server {
	t.Helper()
	s, _ := startServer(t, server.Options{StoreDir: t.TempDir(), DontListen: true})
	return s
}

// connect returns a JetStream context that lives as long as the test.
func connect(t *testing.T, url string, o ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
		nc.Close()
		<-closed
	})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func open(t *testing.T, s *server.Server) *registry.Registry {
	t.Helper()
	r, err := registry.Open(t.Context(), connect(t, "", nats.InProcessServer(s)), quiet)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs r until the test ends or stop is called.
func run(t *testing.T, r *registry.Registry) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil when its context ends", err)
		}
	})
	t.Cleanup(stop)
	return stop
}
