package faulttest_test

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy passes TCP connections on to a server. It can go down, lose what the server says, be slow, and cut connections.
type proxy struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup

	mu    sync.Mutex
	mode  mode
	conns map[net.Conn]bool
}

// mode is how a proxy treats connections. The zero mode is that of a good network.
type mode struct {
	down  bool          // it cuts what is open, and what is new at once
	mute  bool          // what the server says is lost; a connection that lost something stays mute until it is closed
	delay time.Duration // of everything that the server says
	cuts  int           // it cuts a connection at one of that many words of the server, at random
}

// startProxy starts a proxy to the address target, which ends with the test.
func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, conns: map[net.Conn]bool{}}
	p.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.pass(client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.set(mode{down: true})
		p.group.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// set changes how the proxy is from now on.
func (p *proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
	if m.down {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

func (p *proxy) now() mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode
}

// keep notes an open connection; false if the proxy is down.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.mode.down
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *proxy) pass(client net.Conn) {
	defer p.drop(client)
	if !p.keep(client) {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	p.group.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	p.answer(client, server)
}

// answer passes on what the server says.
func (p *proxy) answer(client io.Writer, server io.Reader) {
	buf := make([]byte, 64<<10)
	for mute := false; ; {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		m := p.now()
		if m.cuts > 0 && rand.IntN(m.cuts) == 0 {
			return
		}
		if mute = mute || m.mute; mute {
			continue
		}
		if m.delay > 0 {
			time.Sleep(m.delay) // that is what a slow network does
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}
