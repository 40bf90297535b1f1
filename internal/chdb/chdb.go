// Package chdb runs the real ClickHouse engine without a server: libchdb in a supervised child process, behind a unix
// socket, spoken to by the ordinary driver over HTTP.
//
// The engine lives in a child because a fault in it must not end the process that asked: a crash is an error to the
// callers of that moment and a restart. The child is the running executable again, so main (and TestMain) must call
// ChildMain before anything else.
//
//	engine, err := chdb.Open(chdb.Config{Dir: "data/engine", Logger: logger})
//	go engine.Run(ctx)
//	conn, err := clickhouse.Open(&clickhouse.Options{
//		Protocol: clickhouse.HTTP, Addr: []string{chdb.Addr}, DialContext: engine.DialContext,
//	})
package chdb

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
)

// Addr is the address to give to the driver. It is only a name: DialContext leads to the socket whatever it says.
const Addr = "engine"

var (
	// ErrInUse says that another process has the data directory open.
	ErrInUse = errors.New("data directory is in use by another process")
	// ErrNotInstalled says that libchdb was not found; the message around it says what to run.
	ErrNotInstalled = errors.New("the ClickHouse engine is not installed")
	// ErrStopped says that the engine was stopped, or never came up, and will not come back.
	ErrStopped = errors.New("the ClickHouse engine is stopped")
)

// Config says where the engine keeps its data and how much of the machine it may use. Only Dir is required.
type Config struct {
	// Dir is the data directory; it is created when missing, and one process at a time may have it open.
	Dir string
	// Library is the path of libchdb.so; empty means Find.
	Library string
	// Connections is how many statements run at a time; more of them wait. Default 16.
	Connections int
	// Threads bounds the threads of one query; 0 leaves it to the engine (one per core).
	Threads int
	// MaxMemory bounds the memory of all queries together, in bytes; 0 leaves it to the engine (90 % of the machine).
	MaxMemory int64
	// Settings are ClickHouse settings that every statement starts with. Inserts are synchronous (async_insert=0)
	// unless this or the statement says otherwise.
	Settings map[string]string
	// Logger takes what the supervisor has to say and what the engine prints. Default: nothing is logged.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Connections = cmp.Or(c.Connections, 16)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	settings := map[string]string{"async_insert": "0", "implicit_select": "0"}
	maps.Copy(settings, c.Settings)
	c.Settings = settings
	return c
}

func (c Config) validate() error {
	switch {
	case c.Dir == "":
		return errors.New("open engine: Dir is empty")
	case c.Connections < 1:
		return fmt.Errorf("open engine: Connections is %d, want at least 1", c.Connections)
	case c.Threads < 0:
		return fmt.Errorf("open engine: Threads is %d, want at least 0", c.Threads)
	case c.MaxMemory < 0:
		return fmt.Errorf("open engine: MaxMemory is %d, want at least 0", c.MaxMemory)
	}
	return nil
}

// Open checks the configuration, finds the library and creates the data directory. The engine starts in Run.
func Open(cfg Config) (*Engine, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if os.Getenv(childEnv) != "" {
		return nil, errors.New("open engine: this process is an engine child: main or TestMain must call chdb.ChildMain first")
	}
	if cfg.Library == "" {
		path, err := Find("")
		if err != nil {
			return nil, fmt.Errorf("open engine: %w", err)
		}
		cfg.Library = path
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open engine: %w", err)
	}
	return &Engine{cfg: cfg, changed: make(chan struct{})}, nil
}
