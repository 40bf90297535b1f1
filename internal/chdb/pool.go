package chdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"
)

// pool holds the connections of one engine. A connection whose session was touched (by settings, temporary tables, a
// failure) is closed after its statement instead of being cleaned: a new one costs less than half a millisecond, and has
// nothing to leak.
type pool struct {
	lib      *library
	args     []string
	version  string
	timezone string
	slots    chan struct{} // one token for each statement that may run
	killer   *killer
	control  *conn // runs the kills, and keeps the engine alive when no other connection is open

	mu   sync.Mutex
	idle []*conn
}

// newPool boots the engine.
func newPool(lib *library, cfg childConfig) (*pool, error) {
	p := &pool{lib: lib, slots: make(chan struct{}, cfg.Connections)}
	p.args = append(p.args, "--path="+filepath.Join(cfg.Dir, "clickhouse"))
	if cfg.Threads > 0 {
		p.args = append(p.args, "--max_threads="+strconv.Itoa(cfg.Threads))
	}
	if cfg.MaxMemory > 0 {
		p.args = append(p.args, "--max_server_memory_usage="+strconv.FormatInt(cfg.MaxMemory, 10))
	}
	for name, value := range cfg.Settings {
		p.args = append(p.args, "--"+name+"="+value)
	}
	slices.Sort(p.args)
	var err error
	if p.control, err = p.open(); err != nil {
		return nil, err
	}
	text, err := p.control.text("SELECT version(), timezone()")
	if err != nil {
		return nil, fmt.Errorf("ask the engine for its version: %w", err)
	}
	if _, err := fmt.Sscanf(text, "%s\t%s", &p.version, &p.timezone); err != nil {
		return nil, fmt.Errorf("read the engine's version from %q: %w", text, err)
	}
	p.killer = newKiller(p.control)
	return p, nil
}

func (p *pool) open() (*conn, error) {
	handle, err := p.lib.open(p.args)
	if err != nil {
		return nil, err
	}
	return &conn{lib: p.lib, handle: handle, database: "default"}, nil
}

// acquire waits for a turn and returns a connection with a clean session; release gives it back.
func (p *pool) acquire(ctx context.Context) (*conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := p.takeIdle(); c != nil {
		return c, nil
	}
	c, err := p.open()
	if err != nil {
		<-p.slots
		return nil, err
	}
	return c, nil
}

func (p *pool) takeIdle() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return c
}

func (p *pool) release(c *conn) {
	if c.touched {
		c.close()
	} else {
		p.mu.Lock()
		p.idle = append(p.idle, c)
		p.mu.Unlock()
	}
	<-p.slots
}

// close ends the engine; all connections have been released.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
	p.killer.close()
	p.control.close()
	p.lib.shutdown()
}

// conn is one session of the engine. It runs one statement at a time.
type conn struct {
	lib      *library
	handle   unsafe.Pointer
	database string
	touched  bool // the session is not as it was when opened, and is not to be used again: it is closed
}

func (c *conn) raw() uintptr { return *(*uintptr)(c.handle) }

func (c *conn) close() { c.lib.closeConn(c.handle) }

// run executes a statement and returns its whole result, which the caller destroys.
func (c *conn) run(s statement) (result, error) {
	r := result{lib: c.lib, handle: s.do(c.lib.query, c.raw())}
	if err := r.err(); err != nil {
		c.touched = true // a statement that was killed stays in the session, and in the engine's list
		r.destroy()
		return result{}, err
	}
	return r, nil
}

// text executes SQL and returns a copy of its result as tab-separated text.
func (c *conn) text(sql string) (string, error) {
	r, err := c.run(statement{sql: sql, format: "TabSeparated"})
	if err != nil {
		return "", err
	}
	defer r.destroy()
	return string(r.bytes()), nil
}

// use makes database the current one.
func (c *conn) use(database string) error {
	if database == "" {
		database = "default"
	}
	if database == c.database {
		return nil
	}
	if _, err := c.text("USE " + identifier(database)); err != nil {
		return err
	}
	c.database = database
	return nil
}

// set changes settings of the session, in one statement. readonly has one of its own, the last: it locks the others.
func (c *conn) set(settings []param) error {
	var changes []string
	readonly := ""
	for _, s := range settings {
		change := identifier(s.name) + " = " + literal(s.value)
		if s.name == "readonly" {
			readonly = change
			continue
		}
		changes = append(changes, change)
	}
	for _, list := range []string{strings.Join(changes, ", "), readonly} {
		if list == "" {
			continue
		}
		c.touched = true
		if _, err := c.text("SET " + list); err != nil {
			return err
		}
	}
	return nil
}

// The classes of statements, as the engine's own parser sees them.
const (
	classRead    = 0 // leaves no trace
	classControl = 3 // changes the session, among others
)

// classify says what sql would do and how many statements it holds.
func (c *conn) classify(sql string) (class, count uint32) {
	s := statement{sql: sql}
	out := &[4]uint32{16}
	if s.classify(c, out) != 0 {
		return classControl, 1
	}
	return out[3], out[1]
}

// result is a piece of a result in the engine's memory.
type result struct {
	lib    *library
	handle uintptr
}

func (r result) bytes() []byte { return r.lib.bytes(r.handle) }
func (r result) destroy()      { r.lib.destroyResult(r.handle) }

func (r result) err() error {
	if r.handle == 0 {
		return errors.New("the engine returned nothing")
	}
	if text := r.lib.resultError(r.handle); text != "" {
		return newException(text)
	}
	return nil
}
