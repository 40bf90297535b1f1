package chdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// lockWait is how long a child waits for the data directory: a predecessor whose parent was killed needs a moment.
	lockWait = 3 * time.Second
	// drainWait is how long running statements may go on after the child was told to stop, flushWait how long the last
	// answers may take to be sent, abortWait how long killed statements may take to end.
	drainWait, flushWait, abortWait = 5 * time.Second, 200 * time.Millisecond, 3 * time.Second
)

// ChildMain turns the process into the engine if it was started to be one, and then never returns; in every other
// process it does nothing. It must be the first thing that main and TestMain do.
func ChildMain() {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	if err := errors.Join(os.Unsetenv(childEnv), runChild(text)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(text string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP) // the parent decides what becomes of the child
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	orphan := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(orphan)
		cancel()
	}()
	pipe := os.NewFile(3, "status")
	srv, version, err := boot(ctx, text)
	status := childStatus{Version: version}
	if err != nil {
		status.Error, status.InUse = err.Error(), errors.Is(err, ErrInUse)
	}
	if err := errors.Join(json.NewEncoder(pipe).Encode(status), pipe.Close()); err != nil {
		return fmt.Errorf("report to the parent: %w", err)
	}
	if err != nil {
		os.Exit(1) // the parent has the reason
	}
	return srv.run(ctx, orphan)
}

// child is everything the engine process holds.
type child struct {
	cfg      childConfig
	lock     *os.File
	engine   *pool
	listener net.Listener
}

// boot locks the data directory, starts the engine in it and listens.
func boot(ctx context.Context, text string) (*child, string, error) {
	c := &child{}
	if err := json.Unmarshal([]byte(text), &c.cfg); err != nil {
		return nil, "", fmt.Errorf("read %s: %w", childEnv, err)
	}
	var err error
	if c.lock, err = lockDir(c.cfg.Dir); err != nil {
		return nil, "", err
	}
	lib, err := loadLibrary(c.cfg.Library)
	if err != nil {
		return nil, "", err
	}
	if c.engine, err = newPool(lib, c.cfg); err != nil {
		return nil, "", err
	}
	if err := os.Remove(c.cfg.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("remove the old socket: %w", err)
	}
	if c.listener, err = (&net.ListenConfig{}).Listen(ctx, "unix", c.cfg.Socket); err != nil {
		return nil, "", fmt.Errorf("listen: %w", err)
	}
	return c, c.engine.version, nil
}

// run serves until ctx ends, lets running statements finish for a while (not at all when the parent is gone), kills the
// rest, and closes the engine.
func (c *child) run(ctx context.Context, orphan <-chan struct{}) error {
	base, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	bridge := newBridge(c.engine)
	server := &http.Server{
		Handler:     bridge,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    log.New(os.Stderr, "", 0),
	}
	served := make(chan error, 1) // read once below, or never
	go func() { served <- server.Serve(c.listener) }()
	select {
	case <-ctx.Done():
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	}
	bridge.stop()
	select {
	case <-bridge.idle:
	case <-orphan:
	case <-time.After(drainWait):
	}
	abort()
	c.finish(ctx, server, bridge)
	select {
	case <-orphan: // nobody else will
		os.Remove(c.cfg.Socket)
		if dir := filepath.Dir(c.cfg.Socket); dir != c.cfg.Dir {
			os.Remove(dir)
		}
	default:
	}
	return c.lock.Close()
}

// finish ends the connections of the clients and then those of the engine, which have no running statements any more. If
// they do, they cannot be closed, and the process ends as in a crash, which loses nothing.
func (c *child) finish(ctx context.Context, server *http.Server, bridge *bridge) {
	// What is written gets out; a connection that was opened and never used does not hold this up.
	flush, done := context.WithTimeout(context.WithoutCancel(ctx), flushWait)
	defer done()
	if server.Shutdown(flush) != nil {
		_ = server.Close()
	}
	select {
	case <-bridge.idle:
		c.engine.close()
	case <-time.After(abortWait):
	}
}

// lockDir takes the data directory for this process; the lock ends with it, however it ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			holder, _ := io.ReadAll(io.LimitReader(file, 20))
			return nil, fmt.Errorf("%w: %s, by process %s", ErrInUse, dir, holder)
		}
	}
	if err := file.Truncate(0); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if _, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}
