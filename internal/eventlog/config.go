package eventlog

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Durability says what an acknowledgement of an embedded log means.
type Durability string

// The durabilities. The zero Durability is Fsync.
const (
	Fsync Durability = "fsync" // on disk
	OS    Durability = "os"    // with the operating system: lost if the machine stops within two minutes, kept if the process does
)

// Config configures a Log. URL or Dir is needed; everything else has a default.
type Config struct {
	URL         string      // of the NATS servers, separated by commas; "" runs a server in this process
	Credentials string      // file with NATS credentials for URL; "" for none
	TLS         *tls.Config // for servers that speak TLS, as a URL of tls:// demands; nil trusts the system's authorities
	Replicas    int         // of the streams made at URL; default 1

	Dir    string // folder of the embedded server; one process at a time
	Listen string // loopback address on which the embedded server listens; "" for none; port 0 takes a free one

	Durability Durability
	MaxBytes   int64 // most bytes of LOCKSTEP_LOG, which refuses more until Trim makes room; default 16 GiB
	DeadBytes  int64 // most bytes of LOCKSTEP_DEAD, which drops its oldest letters; default 1 GiB
	InboxBytes int64 // most bytes of LOCKSTEP_IN, which refuses more; default 1 GiB

	Covered Covered // what the offline store has of a log

	QueueBytes int64         // most bytes of rows that wait to be published; more callers wait; default 64 MiB
	Patience   time.Duration // how long a publish is tried again while the servers do not answer; default 15 s
	Logger     *slog.Logger
}

const (
	mib = 1 << 20
	gib = 1 << 30

	maxPayload = 8 * mib         // of a message of the embedded server
	attempt    = 5 * time.Second // how long one try of a publish or request waits for its answer
	dedup      = 2 * time.Minute // how long JetStream knows the id of a message; Patience is well below
)

func (c Config) withDefaults() Config {
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.Durability = cmp.Or(c.Durability, Fsync)
	c.MaxBytes = cmp.Or(c.MaxBytes, 16*gib)
	c.DeadBytes = cmp.Or(c.DeadBytes, gib)
	c.InboxBytes = cmp.Or(c.InboxBytes, gib)
	c.QueueBytes = cmp.Or(c.QueueBytes, 64*mib)
	c.Patience = cmp.Or(c.Patience, 15*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.URL == "" && c.Dir == "":
		return feature.Errorf(feature.CodeInvalid, "the log needs a folder or the URL of NATS servers")
	case c.URL != "" && c.Listen != "":
		return feature.Errorf(feature.CodeInvalid, "a NATS server at a URL does not listen here: leave out the listen address or the URL")
	case c.Durability != Fsync && c.Durability != OS:
		return feature.Errorf(feature.CodeInvalid, "unknown durability %q: expected fsync or os", c.Durability)
	case c.MaxBytes < 0 || c.DeadBytes < 0 || c.InboxBytes < 0 || c.QueueBytes < 0:
		return feature.Errorf(feature.CodeInvalid, "the log's limits must be positive")
	case c.Patience < 0 || c.Patience > dedup/2:
		return feature.Errorf(feature.CodeInvalid, "the patience of a publish must be at most %s, within which the servers tell a repetition", dedup/2)
	}
	if c.Listen != "" {
		return checkLoopback(c.Listen)
	}
	return nil
}

// checkLoopback refuses addresses that other machines reach: the embedded server asks nobody who they are.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return feature.Errorf(feature.CodeInvalid, "listen address of NATS: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return feature.Errorf(feature.CodeInvalid, "listen address of NATS %q: the embedded server listens on loopback only; run nats-server for others and name its URL", addr)
	}
	return nil
}
