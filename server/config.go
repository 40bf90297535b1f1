package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lockstepfs/lockstep/feature"
)

// Config configures a Server. Catalog is needed. A part that is nil is a part that this process does not have;
// its routes answer 404 and say so.
type Config struct {
	Addr     string       // where to listen; default 127.0.0.1:7600; port 0 takes a free one
	Listener net.Listener // used instead of Addr when set; the server closes it
	Tokens   []Token      // demanded of every request when there are any; needed to listen anywhere but on loopback
	TLS      TLS

	Catalog      func() *feature.Catalog // returns the definitions as they are now, never nil; called for every request
	Serving      func() *feature.Catalog // what names without a version mean to reads; nil: Catalog
	Reader       Reader
	Trainer      Trainer
	Pusher       Pusher
	Importer     Importer
	Registry     Registry
	Operator     Operator
	Letters      Letters
	Eraser       Eraser
	Materializer Materializer
	Verifier     Verifier
	Querier      Querier
	Lag          func() time.Duration            // how long the replica has been behind the log; nil: 0
	Ready        func(ctx context.Context) error // why the process does not answer reads yet; nil: it does
	Degraded     func() []string                 // what does not work as it should, though the process is ready
	Auditor      Auditor                         // nil: nothing is recorded
	Schema       []byte                          // JSON Schema of definitions
	AllowSQL     bool                            // clients may send queries
	Version      string

	Collectors []prometheus.Collector // metrics of other parts, served beside the server's own
	Logger     *slog.Logger
	Now        func() time.Time

	Limits  Limits
	TempDir string // where files are spooled; default the system's
}

func (c Config) withDefaults() Config {
	c.Addr = cmp.Or(c.Addr, "127.0.0.1:7600")
	c.Version = cmp.Or(c.Version, "dev")
	c.Limits = c.Limits.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Serving == nil {
		c.Serving = c.Catalog
	}
	if c.Lag == nil {
		c.Lag = func() time.Duration { return 0 }
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	if c.Degraded == nil {
		c.Degraded = func() []string { return nil }
	}
	return c
}

func (c Config) validate() error {
	if c.Catalog == nil {
		return fmt.Errorf("server: Config.Catalog is nil")
	}
	for i, t := range c.Tokens {
		if err := t.validate(); err != nil {
			return feature.Errorf(feature.CodeInvalid, "token %d: %w", i+1, err)
		}
	}
	if len(c.Tokens) == 0 && !c.loopback() {
		return feature.Errorf(feature.CodeInvalid, "refusing to listen on %s without tokens: listen on 127.0.0.1 or configure tokens", c.place())
	}
	if err := c.Limits.validate(); err != nil {
		return err
	}
	return c.TLS.validate()
}

func (c Config) place() string {
	if c.Listener != nil {
		return c.Listener.Addr().String()
	}
	return c.Addr
}

func (c Config) unix() bool {
	return c.Listener != nil && c.Listener.Addr().Network() == "unix"
}

// loopback reports whether only this machine reaches the listener.
func (c Config) loopback() bool {
	if c.unix() {
		return true
	}
	host, _, err := net.SplitHostPort(c.place())
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
