// Package chtest gives tests the real ClickHouse engine: one for each test binary, started when the first test asks, with
// data of its own that is gone afterwards.
//
//	func TestMain(m *testing.M) { chtest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		conn := chtest.Conn(t, chtest.Engine(t))
//		...
//	}
package chtest

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"github.com/lockstepfs/lockstep/internal/chdb"
)

// startWait bounds how long the engine may take to answer; a cold disk has to read half a gigabyte.
const startWait = 60 * time.Second

// shared is the engine of this test binary. A test binary is the one place where a variable of the package is the right
// thing: TestMain and the tests have nothing else in common.
var shared struct {
	mu     sync.Mutex
	engine *chdb.Engine
	err    error
	dir    string
	cancel context.CancelFunc
	done   chan struct{}
	names  atomic.Int64
}

// Main runs the tests of a binary, stops the engine, and exits; it fails when goroutines are left that the options do
// not excuse. Call it as TestMain's only statement.
func Main(m *testing.M, excuses ...goleak.Option) {
	chdb.ChildMain()
	code := m.Run()
	if err := Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the engine:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(excuses...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Engine returns the engine of this test binary. Without the library the test fails and says what to run.
func Engine(t testing.TB) *chdb.Engine {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.engine == nil && shared.err == nil {
		shared.err = start()
	}
	if shared.err != nil {
		t.Fatalf("start the ClickHouse engine: %v", shared.err)
	}
	return shared.engine
}

func start() error {
	dir, err := os.MkdirTemp("", "lockstep-chtest-")
	if err != nil {
		return err
	}
	engine, err := chdb.Open(chdb.Config{Dir: dir})
	if err != nil {
		os.RemoveAll(dir)
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	shared.engine, shared.dir, shared.cancel, shared.done = engine, dir, cancel, make(chan struct{})
	go func() {
		defer close(shared.done)
		_ = engine.Run(ctx) // Ready and every query return what goes wrong
	}()
	wait, stop := context.WithTimeout(ctx, startWait)
	defer stop()
	return engine.Ready(wait)
}

// Stop ends the engine, if there is one, and removes its data. Main does it; a TestMain of another shape calls it after
// its tests.
func Stop() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.engine == nil {
		return nil
	}
	shared.cancel()
	<-shared.done
	shared.engine, shared.err = nil, chdb.ErrStopped
	return os.RemoveAll(shared.dir)
}

// Options are what the driver needs to talk to the engine, with database as the current one.
func Options(engine *chdb.Engine, database string) *clickhouse.Options {
	return &clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{chdb.Addr},
		Auth:        clickhouse.Auth{Database: database},
		DialContext: engine.DialContext,
	}
}

// Conn creates a database for the test, named after it, and returns a connection to it. The connection is closed and the
// database dropped when the test ends; Database tells its name.
func Conn(t testing.TB, engine *chdb.Engine) driver.Conn {
	t.Helper()
	return Open(t, engine, Database(t, engine))
}

// Open returns a connection to a database that exists. It is closed when the test ends.
func Open(t testing.TB, engine *chdb.Engine, database string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(Options(engine, database))
	if err != nil {
		t.Fatalf("open a connection to the engine: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

var unfit = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// Database creates a database for the test and returns its name, which is unique and needs no quotes. It is dropped when
// the test ends.
func Database(t testing.TB, engine *chdb.Engine) string {
	t.Helper()
	name := strings.ToLower(unfit.ReplaceAllString(t.Name(), "_"))
	name = fmt.Sprintf("%s_%d", name[:min(len(name), 40)], shared.names.Add(1))
	exec(t, engine, "CREATE DATABASE "+name)
	t.Cleanup(func() { exec(t, engine, "DROP DATABASE IF EXISTS "+name+" SYNC") })
	return name
}

// exec runs one statement on a connection of its own. It does not use the test's context, which ends before cleanups.
func exec(t testing.TB, engine *chdb.Engine, sql string) {
	t.Helper()
	conn, err := clickhouse.Open(Options(engine, "default"))
	if err != nil {
		t.Fatalf("open a connection to the engine: %v", err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	if err := conn.Exec(ctx, sql); err != nil {
		t.Errorf("%s: %v", sql, err)
	}
}
