package faulttest_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/sdk"
)

const definitions = `
kind: entity
name: user
key: [{name: user, type: string}]
---
kind: source
name: clicks
columns: {number: int64, user: string, at: timestamp}
event_time: at
---
kind: source
name: orders
columns: {number: int64, user: string, at: timestamp}
event_time: at
id: [number]
---
kind: view
name: last_click
entity: user
source: clicks
history: 1d
features: [{name: number, latest: number}]
---
kind: view
name: last_order
entity: user
source: orders
history: 1d
features: [{name: number, latest: number}]
---
kind: service
name: users
features: [last_click, last_order]
`

// patience bounds every wait of a test.
const patience = 90 * time.Second

// stack is a deployment: a node whose ClickHouse and NATS are reached through proxies.
type stack struct {
	t          *testing.T
	cfg        node.Config
	clickhouse *proxy
	nats       *proxy
	server     *natsServer // behind that proxy
	disk       string      // of a process that has a small one
	said       *said

	launch func() (*running, error) // starts a process, or a node in this one
	url    string
	stop   context.CancelFunc
	ended  chan error
	client *sdk.Client
	kept   bool    // it is started again when it ends
	ends   []error // of the nodes that ended by themselves

	acked map[string][]row // by source, the rows that were acknowledged, in order
	next  int64            // number of the next row
}

// newStack starts the servers and a node.
func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, said: &said{}, acked: map[string][]row{}}
	s.launch = s.open
	engine := chtest.Engine(t)
	database := chtest.Database(t, engine)
	s.clickhouse = startProxy(t, serveEngine(t))
	s.server = startNATS(t)
	s.nats = startProxy(t, s.server.addr())
	s.cfg = node.Config{
		Data: t.TempDir(), Listen: "127.0.0.1:0", NATS: "nats://" + s.nats.addr(), ClickHouse: "http://" + s.clickhouse.addr() + "/" + database,
		AllowSQL: true, CacheBytes: 16 << 20, LogBytes: 256 << 20, Patience: 4 * time.Second, Logger: slog.New(slog.NewTextHandler(s.said, nil)),
	}
	s.start()
	s.define()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.said.tail(), s.ends)
		}
	})
	return s
}

func (s *stack) define() {
	s.t.Helper()
	if _, err := s.client.Apply(s.within(), api.RegistryRequest{Files: map[string]string{"all.yaml": definitions}}); err != nil {
		s.t.Fatal(err)
	}
}

// serveEngine lets the engine be reached over TCP and returns where.
func serveEngine(t *testing.T) string {
	t.Helper()
	engine := chtest.Engine(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// start starts the node and waits until it is ready.
func (s *stack) start() {
	s.t.Helper()
	if err := s.tryStart(); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the node is ready", func() bool { return s.client.Ready(s.within()) == nil })
}

// running is a process, or a node, that serves at a URL.
type running struct {
	url   string
	stop  context.CancelFunc
	ended chan error
}

// open starts a node in this process.
func (s *stack) open() (*running, error) {
	n, err := node.Open(s.within(), s.cfg)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{n.URL(), stop, make(chan error, 1)}
	go func() { r.ended <- n.Run(ctx) }()
	return r, nil
}

func (s *stack) tryStart() error {
	r, err := s.launch()
	if err != nil {
		return err
	}
	s.url, s.stop, s.ended = r.url, r.stop, r.ended
	s.client, err = sdk.Open(s.url, sdk.Config{Retries: -1, Timeout: patience})
	s.t.Cleanup(func() {
		if s.ended == r.ended {
			_ = s.end()
		}
	})
	return err
}

// end stops the node and returns what Run returned.
func (s *stack) end() error {
	defer s.client.Close()
	s.stop()
	ended := s.ended
	s.ended = nil
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return errors.New("the node does not end")
	}
}

// keep has a node that ends by itself started again from now on, as what supervises processes does.
func (s *stack) keep() { s.kept = true }

// revive starts the node again if it has ended and is kept.
func (s *stack) revive() {
	s.t.Helper()
	if !s.kept {
		return
	}
	select {
	case err := <-s.ended:
		s.ends = append(s.ends, err)
		s.stop()
		_ = s.client.Close()
		s.ended = nil
	default:
	}
	if s.ended == nil {
		if err := s.tryStart(); err != nil {
			s.ends = append(s.ends, err)
		}
	}
}

func (s *stack) within() context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	s.t.Cleanup(cancel)
	return ctx
}

func (s *stack) eventually(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := s.within(); ; {
		if s.revive(); s.ended != nil && ok() {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("%s: it did not come to that", what)
		}
	}
}

// said is what the node logged.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(s.text.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-200):], "\n")
}
