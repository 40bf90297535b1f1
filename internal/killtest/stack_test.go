package killtest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lockstepfs/lockstep/sdk"
)

// stack is a deployment: one process of Lockstep, with NATS in it or in a process of its own, and ClickHouse as a child of
// it or of a process of its own.
type stack struct {
	bin            string // the command
	dir            string // of all that the deployment keeps
	natsApart      bool
	engineApart    bool
	port, httpPort int // of NATS, and of ClickHouse if it is apart

	mu     sync.Mutex
	client *sdk.Client // of the server that runs, or ran last

	server, nats, engine *process
	children             []int // processes of the ClickHouse engine so far
}

func newStack(bin, dir string) (*stack, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	httpPort, err := freePort()
	if err != nil {
		return nil, err
	}
	return &stack{bin: bin, dir: dir, port: port, httpPort: httpPort}, os.MkdirAll(filepath.Join(dir, "tmp"), 0o755)
}

// freePort returns a port that nobody listens on, below those that the system gives to connections: it has to be free
// again when its server is killed and started.
func freePort() (int, error) {
	for range 100 {
		port := 20_000 + rand.IntN(10_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("find a free port: none of a hundred is")
}

func (s *stack) natsURL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }
func (s *stack) data() string    { return filepath.Join(s.dir, "data") }
func (s *stack) urlFile() string { return filepath.Join(s.dir, "url") }

// startNATS starts the NATS server.
func (s *stack) startNATS() (err error) {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	s.nats, err = spawn(filepath.Join(s.dir, "nats.log"), []string{natsSetting(s.port, filepath.Join(s.dir, "nats"))}, exe)
	return err
}

// startEngine starts the ClickHouse engine in a process apart and waits until it answers.
func (s *stack) startEngine(ctx context.Context) (err error) {
	file := filepath.Join(s.dir, "engine-url")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.engine, err = spawn(filepath.Join(s.dir, "engine.log"), []string{"TMPDIR=" + filepath.Join(s.dir, "tmp")},
		s.bin, "engine", "serve", "--data", s.data(), "--listen", fmt.Sprintf("127.0.0.1:%d", s.httpPort), "--url-file", file)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if !until(ctx, 10*time.Millisecond, func() bool { _, err := os.Stat(file); return err == nil || s.engine.ended() }) || s.engine.ended() {
		return fmt.Errorf("the engine does not start\n%s", s.engine.tail())
	}
	return nil
}

// parent is the process whose child the engine is.
func (s *stack) parent() *process {
	if s.engineApart {
		return s.engine
	}
	return s.server
}

// startServer starts Lockstep and returns at once.
func (s *stack) startServer() (err error) {
	if err := os.Remove(s.urlFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := []string{
		s.bin, "serve", "--allow-sql", "--data", s.data(), "--listen", "127.0.0.1:0", "--url-file", s.urlFile(), "--log-level", "info",
	}
	if s.natsApart {
		args = append(args, "--nats", s.natsURL())
	} else {
		args = append(args, "--nats-listen", strings.TrimPrefix(s.natsURL(), "nats://"))
	}
	if s.engineApart {
		args = append(args, "--clickhouse", fmt.Sprintf("http://127.0.0.1:%d", s.httpPort))
	}
	s.server, err = spawn(filepath.Join(s.dir, "server.log"), []string{"TMPDIR=" + filepath.Join(s.dir, "tmp")}, args...)
	return err
}

// ready waits until the server that was started answers reads.
func (s *stack) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var last error
	ok := until(ctx, 10*time.Millisecond, func() bool {
		if s.server.ended() {
			last = fmt.Errorf("the server ended: %v", s.server.err)
			cancel()
			return false
		}
		b, err := os.ReadFile(s.urlFile())
		if err != nil || !strings.HasSuffix(string(b), "\n") {
			return false
		}
		url := strings.TrimSpace(string(b))
		client, err := sdk.Open(url, sdk.Config{Retries: -1, Timeout: 15 * time.Second})
		if err != nil {
			last = err
			return false
		}
		if last = client.Ready(ctx); last != nil {
			return errors.Join(last, client.Close()) == nil
		}
		s.use(client)
		return true
	})
	if !ok {
		return fmt.Errorf("the server is not ready after two minutes: %w\n%s", last, s.server.tail())
	}
	s.children = append(s.children, children(s.parent().pid())...)
	return nil
}

func (s *stack) use(client *sdk.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		_ = s.client.Close()
	}
	s.client = client
}

// api returns the client of the server that runs, or ran last. It repeats nothing by itself.
func (s *stack) api() *sdk.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// url returns the URL of the server that runs, or ran last.
func (s *stack) url() (string, error) {
	b, err := os.ReadFile(s.urlFile())
	return strings.TrimSpace(string(b)), err
}

// killServer kills the server, and with it the engine if both is true and the engine is its child: else the child finds
// out by itself.
func (s *stack) killServer(both bool) {
	engines := children(s.server.pid())
	_ = s.server.cmd.Process.Kill()
	if both {
		for _, pid := range engines {
			killPID(pid)
		}
	}
	s.children = append(s.children, engines...)
	s.server.kill()
}

// killEngine kills the ClickHouse engine, which its parent starts again, or, if parent is true and the engine is apart, the
// parent too. It returns how many processes it found to kill.
func (s *stack) killEngine(parent bool) int {
	engines := children(s.parent().pid())
	for _, pid := range engines {
		killPID(pid)
	}
	s.children = append(s.children, engines...)
	if parent && s.engineApart {
		s.engine.kill()
	}
	return len(engines)
}

func killPID(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

// down stops all processes as an operator would and says what they left behind.
func (s *stack) down(ctx context.Context) error {
	if err := s.server.stop(); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	if s.engine != nil {
		if err := s.engine.stop(); err != nil {
			return fmt.Errorf("stop the engine: %w", err)
		}
	}
	if s.nats != nil {
		if err := s.nats.stop(); err != nil {
			return fmt.Errorf("stop NATS: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, pid := range s.children {
		if !until(ctx, 20*time.Millisecond, func() bool { return !runs(s.bin, pid) }) {
			return fmt.Errorf("the engine process %d outlives its server", pid)
		}
	}
	var left []string
	for _, pattern := range []string{"tmp/*", "data/uploads/*"} {
		found, err := filepath.Glob(filepath.Join(s.dir, pattern))
		if err != nil {
			return err
		}
		left = append(left, found...)
	}
	if len(left) > 0 {
		return fmt.Errorf("files are left behind: %q", left)
	}
	return nil
}

// abandon kills whatever still runs.
func (s *stack) abandon() {
	s.server.kill()
	s.engine.kill()
	s.nats.kill()
	for _, pid := range s.children {
		if runs(s.bin, pid) {
			killPID(pid)
		}
	}
	if c := s.api(); c != nil {
		_ = c.Close()
	}
}
