package chdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// dialWait bounds how long a caller without a deadline of its own waits for an engine that is starting.
	dialWait = 30 * time.Second
	// stopWait is how long the child may take to finish its statements and close its files.
	stopWait = 15 * time.Second
	// The pause before a restart doubles from the first to the last, and starts over when a child lived this long.
	firstPause, lastPause, longLife = 50 * time.Millisecond, 5 * time.Second, 30 * time.Second
)

// Engine is a supervised ClickHouse. Its methods may be called from any goroutine, before, during and after Run.
type Engine struct {
	cfg Config

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced whenever one of the fields below changes
	child    *process      // nil while there is none that answers
	socket   string
	last     error // why there is no child
	stopped  bool
	restarts int64
}

// Run starts the engine and keeps it running until ctx ends, then lets running statements finish, for a while, and
// stops it. It returns nil then, and an error when the engine cannot start: the library does not load, or the data
// directory is in use (ErrInUse).
func (e *Engine) Run(ctx context.Context) error {
	dir, remove, err := socketDir(e.cfg.Dir)
	if err != nil {
		return e.end(err)
	}
	defer remove()
	return e.end(e.supervise(ctx, filepath.Join(dir, "engine.sock")))
}

func (e *Engine) supervise(ctx context.Context, socket string) error {
	pause := firstPause
	for up := false; ; {
		child, err := startProcess(ctx, e.cfg, socket)
		switch {
		case ctx.Err() != nil:
			return child.stop()
		case err != nil && (!up || errors.Is(err, ErrInUse)):
			return err
		case err != nil:
			e.down(err)
			e.cfg.Logger.Error("engine did not start", slog.Any("error", err), slog.Duration("pause", pause))
		default:
			up = true
			e.up(child, socket)
			e.cfg.Logger.Info("engine started", slog.Int("pid", child.pid()), slog.String("version", child.version))
			if stopped, err := e.watch(ctx, child); stopped {
				return err
			}
			if time.Since(child.since) > longLife {
				pause = firstPause
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
		e.mu.Lock()
		e.restarts++
		e.mu.Unlock()
	}
}

// watch waits for the end of ctx, in which case it stops the child and reports true, or for the end of the child.
func (e *Engine) watch(ctx context.Context, child *process) (bool, error) {
	select {
	case <-ctx.Done():
		err := child.stop()
		e.down(ErrStopped)
		return true, err
	case <-child.exited:
		err := child.failure()
		e.down(err)
		e.cfg.Logger.Error("engine ended, restarting it", slog.Any("error", err))
		return false, nil
	}
}

// Ready waits until the engine answers. It returns the reason when the engine has stopped, and the last failure when
// ctx ends first.
func (e *Engine) Ready(ctx context.Context) error {
	_, err := e.wait(ctx)
	return err
}

// DialContext connects to the engine; it is meant for clickhouse.Options.DialContext, with Protocol HTTP. It waits for
// an engine that is starting or restarting, at most half a minute. The address is ignored.
func (e *Engine) DialContext(ctx context.Context, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	var dialer net.Dialer
	for {
		socket, err := e.wait(ctx)
		if err != nil {
			return nil, err
		}
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err == nil {
			return conn, nil
		}
		// The child has just ended and its supervisor does not know yet.
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("dial engine: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Restarts is how many times the engine was started again after it had ended by itself.
func (e *Engine) Restarts() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.restarts
}

// Pid is the process id of the child, 0 while there is none.
func (e *Engine) Pid() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil {
		return 0
	}
	return e.child.pid()
}

// wait returns the socket of a running child.
func (e *Engine) wait(ctx context.Context) (string, error) {
	for {
		e.mu.Lock()
		child, socket, last, stopped, changed := e.child, e.socket, e.last, e.stopped, e.changed
		e.mu.Unlock()
		switch {
		case child != nil:
			return socket, nil
		case stopped:
			return "", errors.Join(ErrStopped, last)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", errors.Join(fmt.Errorf("wait for the engine: %w", ctx.Err()), last)
		}
	}
}

func (e *Engine) up(child *process, socket string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.child, e.socket, e.last = child, socket, nil
	e.broadcast()
}

func (e *Engine) down(reason error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.child, e.last = nil, reason
	e.broadcast()
}

// end records that there will be no more children, and why.
func (e *Engine) end(err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.child, e.stopped = nil, true
	if err != nil {
		e.last = err
	}
	e.broadcast()
	if err != nil {
		return fmt.Errorf("run engine: %w", err)
	}
	return nil
}

// broadcast wakes the waiters; mu is held.
func (e *Engine) broadcast() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// longestSocketDir leaves room for the socket's name: the address of a unix socket has at most 107 bytes.
const longestSocketDir = 90

// socketDir returns the folder of the socket: the data directory, where a socket that a kill left behind is found by the next
// child, or, if its path is too long, a private temporary folder. remove removes a temporary one.
func socketDir(data string) (dir string, remove func(), err error) {
	if len(data) <= longestSocketDir {
		return data, func() {}, nil
	}
	root := os.TempDir()
	if len(root) > 60 {
		root = "/tmp"
	}
	dir, err = os.MkdirTemp(root, "lockstep-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the engine's socket: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}
