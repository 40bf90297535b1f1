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
	// drainWait is how long running statements may go on after the child was told to stop, abortWait how long the
	// killed ones may take to end.
	drainWait, abortWait = 5 * time.Second, 3 * time.Second
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
	// An interrupt typed at the terminal goes to the whole process group; the parent decides what becomes of the child.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
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
	bridge := &bridge{pool: c.engine}
	server := &http.Server{
		Handler:     bridge,
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    log.New(os.Stderr, "", 0),
	}
	served := make(chan error, 1) // read once below
	go func() { served <- server.Serve(c.listener) }()
	select {
	case <-ctx.Done():
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	}
	drain, stop := context.WithTimeout(context.WithoutCancel(ctx), drainWait)
	defer stop()
	go func() {
		select {
		case <-orphan:
			stop()
		case <-drain.Done():
		}
	}()
	if server.Shutdown(drain) != nil {
		abort()
		_ = server.Close()
	}
	// A connection with a running statement cannot be closed; then the process ends as in a crash, which loses nothing.
	if bridge.wait(abortWait) {
		c.engine.close()
	}
	select {
	case <-orphan:
		os.RemoveAll(filepath.Dir(c.cfg.Socket)) // nobody else will
	default:
	}
	return c.lock.Close()
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
