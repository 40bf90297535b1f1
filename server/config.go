package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Config configures a Server. Catalog is needed. A part that is nil is a part that this process does not have;
// its routes answer 404 and say so.
type Config struct {
	Addr     string       // where to listen; default 127.0.0.1:7600; port 0 takes a free one
	Listener net.Listener // used instead of Addr when set; the server closes it
	Tokens   []Token      // needed to listen anywhere but on loopback

	Catalog      func() *feature.Catalog // returns the definitions as they are now, never nil; called for every request
	Serving      func() *feature.Catalog // what names without a version mean to reads; nil: Catalog
	Reader       Reader
	Trainer      Trainer
	Pusher       Pusher
	Importer     Importer
	Registry     Registry
	Operator     Operator
	Materializer Materializer
	Verifier     Verifier
	Querier      Querier
	Lag          func() time.Duration            // how long the replica has been behind the log; nil: 0
	Ready        func(ctx context.Context) error // why the process does not answer reads yet; nil: it does
	Schema       []byte                          // JSON Schema of definitions
	AllowSQL     bool                            // clients may send queries
	Version      string

	Collectors []prometheus.Collector // metrics of other parts, served beside the server's own
	Logger     *slog.Logger
	Now        func() time.Time

	MaxBody      int64         // largest body that is held in memory, in bytes; default 32 MiB
	MaxUpload    int64         // largest file, in bytes; default 64 GiB
	MaxKeys      int           // most keys of one online read; default 10,000
	MaxInFlight  int           // requests at a time, above which new ones get 429; default 1,024
	StallTimeout time.Duration // longest wait for a client to send or take the next bytes; default 1 min
	DrainTimeout time.Duration // how long requests may go on after Run was told to stop; default 15 s
	TempDir      string        // where files are spooled; default the system's
}

// Token is a bearer token: its SHA-256 in hexadecimal, and what it allows ("read", "write", "admin").
type Token struct {
	SHA256 string
	Scopes []string
}

func (c Config) withDefaults() Config {
	c.Addr = cmp.Or(c.Addr, "127.0.0.1:7600")
	c.Version = cmp.Or(c.Version, "dev")
	c.MaxBody = cmp.Or(c.MaxBody, 32<<20)
	c.MaxUpload = cmp.Or(c.MaxUpload, 64<<30)
	c.MaxKeys = cmp.Or(c.MaxKeys, 10_000)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 1024)
	c.StallTimeout = cmp.Or(c.StallTimeout, time.Minute)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 15*time.Second)
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
	return c
}

func (c Config) validate() error {
	if c.Catalog == nil {
		return fmt.Errorf("server: Config.Catalog is nil")
	}
	for i, t := range c.Tokens {
		if b, err := hex.DecodeString(t.SHA256); err != nil || len(b) != sha256.Size {
			return feature.Errorf(feature.CodeInvalid, "token %d: expected a SHA-256 in 64 hexadecimal digits", i+1)
		}
		for _, s := range t.Scopes {
			if !slices.Contains([]api.Scope{api.ScopeRead, api.ScopeWrite, api.ScopeAdmin}, api.Scope(s)) {
				return feature.Errorf(feature.CodeInvalid, "token %d: unknown scope %q: expected read, write or admin", i+1, s)
			}
		}
	}
	if len(c.Tokens) == 0 && !c.loopback() {
		return feature.Errorf(feature.CodeInvalid, "refusing to listen on %s without tokens: listen on 127.0.0.1 or configure tokens", c.place())
	}
	return nil
}

func (c Config) place() string {
	if c.Listener != nil {
		return c.Listener.Addr().String()
	}
	return c.Addr
}

// loopback reports whether only this machine reaches the listener.
func (c Config) loopback() bool {
	if c.Listener != nil && c.Listener.Addr().Network() == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(c.place())
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
