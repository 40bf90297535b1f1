package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"github.com/lockstepfs/lockstep/feature"
)

// embedded is a NATS server in this process.
type embedded struct {
	cfg    Config
	lock   *os.File
	broken chan struct{} // capacity 1: the server said that it cannot write
	done   chan struct{} // closed when mend has ended
	cancel context.CancelFunc

	mu     sync.Mutex
	server *server.Server // nil for a moment while it is started again
	port   int            // on which it listens
}

const startTimeout = 30 * time.Second

func startServer(cfg Config) (*embedded, error) {
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	e := &embedded{cfg: cfg, lock: lock, broken: make(chan struct{}, 1), done: make(chan struct{})}
	if err := e.start(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go func() {
		defer close(e.done)
		e.mend(ctx)
	}()
	return e, nil
}

func (e *embedded) start() error {
	opts, err := serverOptions(e.cfg)
	if err != nil {
		return err
	}
	if e.port != 0 {
		opts.Port = e.port
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("make NATS server: %w", err)
	}
	s.SetLoggerV2(natsLogger{e.cfg.Logger, e.cannotWrite}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		shutdown(s)
		return feature.Errorf(feature.CodeUnavailable, "the embedded NATS server on %s is not ready after %s", e.cfg.Dir, startTimeout)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server = s
	if addr, ok := s.Addr().(*net.TCPAddr); ok {
		e.port = addr.Port
	}
	return nil
}

// InProcessConn connects to the server that runs now.
func (e *embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return nil, errors.New("the server is being started again")
	}
	return e.server.InProcessConn()
}

func (e *embedded) clientURL() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server == nil {
		return ""
	}
	return e.server.ClientURL()
}

func serverOptions(cfg Config) (*server.Options, error) {
	opts := &server.Options{
		ServerName: "lockstep", JetStream: true, StoreDir: cfg.Dir, SyncAlways: cfg.Durability == Fsync, NoSigs: true,
		MaxPayload: maxPayload, MaxPending: 256 * mib, DontListen: cfg.Listen == "",
		// Each stream has its limit. One over all would have to hold the old and the new limits while they change.
		JetStreamMaxMemory: 256 * mib, JetStreamMaxStore: 1 << 50,
	}
	if cfg.Listen == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "listen address of NATS: %w", err)
	}
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "listen address of NATS %q: expected a port number", cfg.Listen)
	}
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	opts.Host = host
	return opts, nil
}

// stop stops the server as it is; what it has acknowledged is kept.
func (e *embedded) stop() {
	e.cancel()
	<-e.done
	e.halt()
	_ = e.lock.Close() // unlocks
}

// halt stops the server if one runs.
func (e *embedded) halt() {
	e.mu.Lock()
	s := e.server
	e.server = nil
	e.mu.Unlock()
	if s != nil {
		shutdown(s)
	}
}

func shutdown(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// lockDir makes the folder and takes its lock, which the system gives back when the process ends, however.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder of the log: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lockstep.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock of the log: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, feature.Errorf(feature.CodeConflict, "the log in %s is in use by another process: speak to that one, or stop it", dir)
	}
	return f, nil
}

// natsLogger gives the server's messages to slog. A notice is of no interest to whom the server is a part.
type natsLogger struct {
	log         *slog.Logger
	cannotWrite func() // is called when the server says that it could not store something: it does not answer the publisher then
}

func (l natsLogger) say(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, "nats server", slog.String("message", fmt.Sprintf(format, v...)))
}

func (l natsLogger) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l natsLogger) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l natsLogger) Debugf(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l natsLogger) Tracef(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }

// Errorf logs, and notices what it means.
func (l natsLogger) Errorf(format string, v ...any) {
	l.say(slog.LevelError, format, v)
	if strings.HasPrefix(fmt.Sprintf(format, v...), "JetStream failed to store") {
		l.cannotWrite()
	}
}

// Fatalf does not end the process: the server is a part of it, and its callers see errors.
func (l natsLogger) Fatalf(format string, v ...any) { l.say(slog.LevelError, format, v) }
