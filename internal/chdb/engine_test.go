package chdb_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/internal/chdb"
	"github.com/lockstepfs/lockstep/internal/chtest"
)

// startEngine runs an engine of the test's own until the test ends.
func startEngine(t *testing.T, cfg chdb.Config) *chdb.Engine {
	t.Helper()
	engine, err := chdb.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := engine.Ready(context.Background()); !errors.Is(err, chdb.ErrStopped) {
			t.Errorf("Ready after Run: %v, want ErrStopped", err)
		}
	})
	wait, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := engine.Ready(wait); err != nil {
		t.Fatal(err)
	}
	return engine
}

// TestCrash: when the child is killed, a running statement is an error, the engine comes back, and it has every row that
// was acknowledged.
func TestCrash(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	engine := startEngine(t, chdb.Config{Dir: t.TempDir()})
	conn := chtest.Open(t, engine, "default")
	if err := conn.Exec(ctx, "CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	acknowledged := uint64(0)
	for round := range 2 {
		pid := engine.Pid()
		query, inserts := make(chan error, 1), make(chan uint64, 1)
		rows, err := conn.Query(ctx, "SELECT number, repeat('x', 200) FROM numbers(100000000)")
		if err != nil {
			t.Fatal(err)
		}
		go func() { query <- drain(ctx, conn, "SELECT sum(sin(number)) FROM numbers(1000000000000)") }()
		first := make(chan struct{})
		go func() {
			n := uint64(0)
			for insertNumbers(ctx, conn, 1000) == nil {
				if n += 1000; n == 5000 {
					close(first)
				}
			}
			inserts <- n
		}()
		<-first
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := <-query; err == nil {
			t.Error("a query over the crash: no error")
		}
		for rows.Next() {
		}
		if rows.Err() == nil {
			t.Error("a result over the crash: no error")
		}
		rows.Close()
		acknowledged += <-inserts
		await(t, "a new child", func() bool { return engine.Pid() != 0 && engine.Pid() != pid })
		// An insert that was not acknowledged may have been written, whole.
		got := count(t, conn)
		if got != acknowledged && got != acknowledged+1000 {
			t.Errorf("round %d: %d rows, want the %d acknowledged ones, or one insert more", round, got, acknowledged)
		}
		acknowledged = got
	}
	if got := engine.Restarts(); got != 2 {
		t.Errorf("Restarts() = %d, want 2", got)
	}
}

// TestDirInUse: a second engine in the same directory is refused, with a reason, and the first does not notice.
func TestDirInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	engine := startEngine(t, chdb.Config{Dir: dir})
	second, err := chdb.Open(chdb.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	err = second.Run(t.Context())
	if !errors.Is(err, chdb.ErrInUse) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), fmt.Sprint(engine.Pid())) {
		t.Errorf("a second engine: %v, want ErrInUse with the directory and the process", err)
	}
	if err := second.Ready(t.Context()); !errors.Is(err, chdb.ErrInUse) {
		t.Errorf("Ready of the second engine: %v, want ErrInUse", err)
	}
	if err := chtest.Open(t, engine, "default").Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNothingOutside: the engine leaves nothing outside its directory, where nobody would find it after a kill.
func TestNothingOutside(t *testing.T) {
	outside := t.TempDir()
	t.Setenv("TMPDIR", outside)
	engine := startEngine(t, chdb.Config{Dir: t.TempDir()})
	if err := chtest.Open(t, engine, "default").Ping(t.Context()); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(outside)
	if err != nil || len(left) > 0 {
		t.Errorf("outside of the directory: %v, %v", left, err)
	}
}

// TestReopen: what was written is there after a stop and a start, and settings of the configuration hold.
func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("write", func(t *testing.T) {
		conn := chtest.Open(t, startEngine(t, chdb.Config{Dir: dir}), "default")
		if err := conn.Exec(t.Context(), "CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a"); err != nil {
			t.Fatal(err)
		}
		if err := insertNumbers(t.Context(), conn, 10); err != nil {
			t.Fatal(err)
		}
	})
	engine := startEngine(t, chdb.Config{Dir: dir, Threads: 1, MaxMemory: 1 << 30, Connections: 1, Settings: map[string]string{"max_block_size": "77"}})
	conn := chtest.Open(t, engine, "default")
	if got := count(t, conn); got != 10 {
		t.Errorf("%d rows after the stop, want 10", got)
	}
	var threads, block uint64
	var memory string
	err := conn.QueryRow(t.Context(), `SELECT getSetting('max_threads')::UInt64, getSetting('max_block_size')::UInt64,
		(SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage')`).Scan(&threads, &block, &memory)
	if err != nil || threads != 1 || block != 77 || memory != "1073741824" {
		t.Errorf("configured threads, block size, memory = %d, %d, %s, %v", threads, block, memory, err)
	}
	if err := conn.Exec(t.Context(), "SELECT groupArray(repeat('x', 100000)) FROM numbers(100000)"); err == nil {
		t.Error("a query beyond MaxMemory: no error")
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("Ping after too much memory: %v", err)
	}
}

// TestStopWithStatements: a stop does not wait for ever for a statement, nor for a reader that does not read.
func TestStopWithStatements(t *testing.T) {
	t.Parallel()
	engine, err := chdb.Open(chdb.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	conn := chtest.Open(t, engine, "default")
	rows, err := conn.Query(t.Context(), "SELECT number, repeat('x', 200) FROM numbers(100000000)")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	query := make(chan error, 1)
	go func() { query <- drain(t.Context(), conn, "SELECT sum(sin(number)) FROM numbers(1000000000000)") }()
	await(t, "the query to run", func() bool {
		var n uint64
		err := conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%sin(%' AND query NOT LIKE '%processes%'").Scan(&n)
		return err == nil && n == 1
	})
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := <-query; err == nil {
		t.Error("a query over the stop: no error")
	}
	for rows.Next() {
	}
	if rows.Err() == nil {
		t.Error("a result over the stop: no error")
	}
	if _, err := engine.DialContext(t.Context(), ""); !errors.Is(err, chdb.ErrStopped) {
		t.Errorf("DialContext after the stop: %v, want ErrStopped", err)
	}
}

// TestBadLibrary: what cannot start says why.
func TestBadLibrary(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(path, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	engine, err := chdb.Open(chdb.Config{Dir: t.TempDir(), Library: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Run(t.Context()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Run with a bad library: %v, want an error that names it", err)
	}
	if _, err := chdb.Open(chdb.Config{}); err == nil {
		t.Error("Open without a directory: no error")
	}
}

// TestServe: the engine answers on a TCP port as a ClickHouse server does.
func TestServe(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	engine := chtest.Engine(t)
	go func() { ended <- engine.Serve(ctx, listener) }()
	conn, err := clickhouse.Open(&clickhouse.Options{Protocol: clickhouse.HTTP, Addr: []string{listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var n uint8
	if err := conn.QueryRow(t.Context(), "SELECT 7").Scan(&n); err != nil || n != 7 {
		t.Errorf("SELECT 7 = %d, %v", n, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// parentEnv makes TestParent the parent in TestOrphan: it names the data directory.
const parentEnv = "LOCKSTEP_TEST_PARENT"

// TestParent is not a test by itself: it starts an engine, prints its process id, and waits to be killed.
func TestParent(t *testing.T) {
	dir := os.Getenv(parentEnv)
	if dir == "" {
		return
	}
	engine := startEngine(t, chdb.Config{Dir: dir})
	fmt.Printf("\nengine %d\n", engine.Pid())
	select {}
}

// TestOrphan: the child does not outlive a parent that was killed, and the directory is free for the next one.
func TestOrphan(t *testing.T) {
	t.Parallel()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	parent := exec.CommandContext(t.Context(), executable, "-test.run=^TestParent$")
	parent.Env = append(os.Environ(), parentEnv+"="+dir)
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(output); pid == 0 && lines.Scan(); {
		fmt.Sscanf(lines.Text(), "engine %d", &pid)
	}
	if pid == 0 {
		t.Fatal("the parent did not start an engine")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	parent.Wait()
	next := startEngine(t, chdb.Config{Dir: dir})
	if err := chtest.Open(t, next, "default").Ping(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, "the orphan to end", func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(state), ") Z ")
	})
}
