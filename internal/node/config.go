package node

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/server"
)

// Role is a part of the work that a process takes on.
type Role string

// The roles. A process that has none of them is refused.
const (
	Serve  Role = "serve"  // keeps a replica and answers reads
	Ingest Role = "ingest" // takes events, over HTTP and from the inbox
	Sink   Role = "sink"   // carries the log into ClickHouse; one process of a deployment does
)

// Roles returns all roles.
func Roles() []Role { return []Role{Serve, Ingest, Sink} }

// Config configures a node. Data is needed; everything else has a default.
type Config struct {
	Data   string // folder of this process: the replica and, where they are embedded, the log and ClickHouse
	Listen string // HTTP address; default 127.0.0.1:7600; port 0 takes a free one
	Roles  []Role // default all
	Tokens []Token
	TLS    TLS
	Limits Limits

	NATS            string // URL of NATS servers; "" embeds one
	NATSCredentials string // file with credentials for them
	NATSListen      string // address on which the embedded NATS server listens; "" for none
	Durability      eventlog.Durability
	LogBytes        int64         // most bytes of the log; 0 means 64 GiB
	LogAge          time.Duration // from which an entry that ClickHouse has is removed from the log; 0: when room is needed

	ClickHouse string // URL of a server; "" embeds the engine
	Database   string // default: that of the URL, else lockstep
	Engine     string // path of libchdb; "" searches the usual places

	// Patience is how long a push is tried while NATS does not answer, and how long ClickHouse may take for a small
	// answer; default 15 s.
	Patience time.Duration

	CacheBytes  int64       // memory for decoded states; default 256 MiB
	StateBudget int64       // bytes of state that a view may need in every replica without being asked for; default 16 GiB
	AllowSQL    bool        // spines and queries in SQL from clients
	ClientTLS   *tls.Config // towards NATS and ClickHouse, where their URLs ask for TLS; nil for the system's authorities
	Version     string
	Now         func() time.Time // default time.Now
	Logger      *slog.Logger
}

// Token is a bearer token that the HTTP server knows.
type Token = server.Token

// TLS names the PEM files of the HTTP server.
type TLS = server.TLS

// Limits bound what requests may take.
type Limits = server.Limits

// DefaultLimits returns what zero fields of Limits mean.
func DefaultLimits() Limits { return server.DefaultLimits() }

func (c Config) withDefaults() Config {
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:7600")
	c.LogBytes = cmp.Or(c.LogBytes, 64<<30)
	c.CacheBytes = cmp.Or(c.CacheBytes, 256<<20)
	c.StateBudget = cmp.Or(c.StateBudget, 16<<30)
	c.Patience = cmp.Or(c.Patience, 15*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if len(c.Roles) == 0 {
		c.Roles = Roles()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	if c.Data == "" {
		return feature.Errorf(feature.CodeInvalid, "no data folder is set: use --data DIR")
	}
	for _, r := range c.Roles {
		if !slices.Contains(Roles(), r) {
			return feature.Errorf(feature.CodeInvalid, "unknown role %q: expected serve, ingest or sink", r)
		}
	}
	if err := os.MkdirAll(c.Data, 0o755); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	return nil
}

func (c Config) has(r Role) bool { return slices.Contains(c.Roles, r) }
