package eventlog

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"github.com/lockstepfs/lockstep/feature"
)

// embedded is a NATS server in this process.
type embedded struct {
	server *server.Server
	lock   *os.File
}

const startTimeout = 30 * time.Second

func startServer(cfg Config) (*embedded, error) {
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	opts, err := serverOptions(cfg)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("make NATS server: %w", err)
	}
	s.SetLoggerV2(natsLogger{cfg.Logger}, false, false, false)
	e := &embedded{server: s, lock: lock}
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		e.stop()
		return nil, feature.Errorf(feature.CodeUnavailable, "the embedded NATS server on %s is not ready after %s", cfg.Dir, startTimeout)
	}
	return e, nil
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
	e.server.Shutdown()
	e.server.WaitForShutdown()
	_ = e.lock.Close() // unlocks
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
type natsLogger struct{ log *slog.Logger }

func (l natsLogger) say(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, "nats server", slog.String("message", fmt.Sprintf(format, v...)))
}

func (l natsLogger) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l natsLogger) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l natsLogger) Errorf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l natsLogger) Debugf(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l natsLogger) Tracef(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }

// Fatalf does not end the process: the server is a part of it, and its callers see errors.
func (l natsLogger) Fatalf(format string, v ...any) { l.say(slog.LevelError, format, v) }
