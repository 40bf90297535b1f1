package offline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/semaphore"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/migrations"
)

// Store is the history. It is safe for concurrent use, except that one goroutine at a time may call Append in all
// processes of a deployment. Errors have CodeUnavailable when ClickHouse cannot be reached.
type Store struct {
	cfg     Config
	options *clickhouse.Options
	conn    *guarded
	streams *semaphore.Weighted // connections that training sets may hold

	mu      sync.Mutex
	sources map[string]*feature.Source // those that Ensure saw
	retains map[string]retained        // what their tables keep
	latest  uint64                     // generation given out last
	ties    map[string]bool            // answers of tied

	computing map[string]bool // what functions returns
}

// Open connects, makes the database if there is none and, with the embedded engine, removes what training sets left behind
// when an earlier process died. The caller owns the Store and calls Close.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	options, err := cfg.options()
	if err != nil {
		return nil, err
	}
	if err := createDatabase(ctx, options); err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "open ClickHouse: %w", err)
	}
	s := &Store{
		cfg: cfg, options: options, conn: newGuarded(conn, cfg), streams: semaphore.NewWeighted(int64(max(2, cfg.Connections-4))),
		sources: map[string]*feature.Source{}, retains: map[string]retained{}, ties: map[string]bool{},
	}
	if err := s.dropLeftovers(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func createDatabase(ctx context.Context, options *clickhouse.Options) error {
	o := *options
	o.Auth.Database = "default"
	conn, err := clickhouse.Open(&o)
	if err != nil {
		return feature.Errorf(feature.CodeInvalid, "open ClickHouse: %w", err)
	}
	defer conn.Close()
	sql := "CREATE DATABASE IF NOT EXISTS " + quote(options.Auth.Database)
	return failure("create the database", conn.Exec(ctx, sql))
}

// Close ends all connections.
func (s *Store) Close() error { return s.conn.conn.Close() }

// Ping returns nil when ClickHouse answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := inTime(ctx, s.cfg.Patience)
	defer cancel()
	return failure("ping", s.conn.do(ctx, func() error { return s.conn.conn.Ping(ctx) }))
}

// Migrate brings the system tables to the newest version; see migrations.Up.
func (s *Store) Migrate(ctx context.Context) error {
	options := *s.options
	options.ReadTimeout = 4 * s.cfg.Patience // the library that migrates passes no context on
	return failure("migrate", migrations.Up(ctx, clickhouse.OpenDB(&options)))
}

// staleAfter is the age from which a staged spine in a server's database is taken for a leftover: another process may be
// using younger ones.
const staleAfter = 24 * time.Hour

// dropLeftovers removes staged spines that nobody uses any more.
func (s *Store) dropLeftovers(ctx context.Context) error {
	age := staleAfter
	if s.cfg.Dial != nil {
		age = 0 // the embedded engine has one user
	}
	sql, err := text("leftovers.sql", nil)
	if err != nil {
		return err
	}
	var names []string
	err = s.conn.QueryRow(ctx, sql, clickhouse.Named("prefix", spinePrefix), clickhouse.Named("age", int64(age/time.Second))).Scan(&names)
	if err != nil {
		return failure("look for leftovers", err)
	}
	for _, name := range names {
		if err := s.conn.Exec(ctx, "DROP TABLE IF EXISTS "+quote(name)+" SYNC"); err != nil {
			return failure("remove leftovers", err)
		}
	}
	return nil
}

// source returns the definition that Ensure saw last, or nil.
func (s *Store) source(name string) *feature.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sources[name]
}

// known returns the source's definition; nil when there is no event table at all, so that nothing has happened yet.
func (s *Store) known(ctx context.Context, name string) (*feature.Source, error) {
	if src := s.source(name); src != nil {
		return src, nil
	}
	ctx, cancel := inTime(ctx, s.cfg.Patience)
	defer cancel()
	var exists uint8
	if err := s.conn.QueryRow(ctx, "EXISTS TABLE "+quote(eventTable(name))).Scan(&exists); err != nil {
		return nil, failure("look for the event table of "+name, err)
	}
	if exists != 0 {
		return nil, feature.Errorf(feature.CodeUnavailable, "the definition of source %s has not arrived here yet", name)
	}
	return nil, nil
}

// each runs a query and calls row for every row, which it may Scan.
func (s *Store) each(ctx context.Context, q query, row func(driver.Rows) error) error {
	rows, err := s.conn.Query(ctx, q.sql, q.args...)
	if err != nil {
		return failure(q.doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("%s: %w", q.doing, err)
		}
	}
	return failure(q.doing, rows.Err())
}

// query is a rendered statement with its parameters, and what it is for in words.
type query struct {
	doing string
	sql   string
	args  []any
}
