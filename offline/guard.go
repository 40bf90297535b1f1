package offline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/breaker"
)

// insertLimit is how long an insert may take: what hangs longer is given up, and the same insert is made again.
const insertLimit = 5 * time.Minute

// errSlow is the cause of a context that ended because ClickHouse took too long, and not because the caller went away.
var errSlow = errors.New("ClickHouse did not answer in time")

// inTime returns a context for statements that are to be answered within d.
func inTime(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, errSlow)
}

// guarded is the connections to ClickHouse behind a breaker: while it is away, calls fail at once.
type guarded struct {
	conn    driver.Conn
	breaker *breaker.Breaker
}

func newGuarded(conn driver.Conn, cfg Config) *guarded {
	return &guarded{conn, breaker.New(breaker.Config{Name: "ClickHouse", Probe: conn.Ping, Logger: cfg.Logger})}
}

// do makes a call, and tells the breaker whether it reached ClickHouse.
func (g *guarded) do(ctx context.Context, call func() error) error {
	if err := g.breaker.Allow(ctx); err != nil {
		return err
	}
	err := call()
	switch {
	case err == nil:
		g.breaker.Note(nil)
	case errors.Is(context.Cause(ctx), errSlow):
		err = fmt.Errorf("%w: %w", errSlow, err)
		g.breaker.Note(err)
	case unreachable(err) && ctx.Err() == nil:
		g.breaker.Note(err)
	}
	return err
}

// Query is the driver's.
func (g *guarded) Query(ctx context.Context, sql string, args ...any) (rows driver.Rows, err error) {
	err = g.do(ctx, func() error {
		rows, err = g.conn.Query(ctx, sql, args...)
		return err
	})
	return rows, err
}

// QueryRow is the driver's.
func (g *guarded) QueryRow(ctx context.Context, sql string, args ...any) driver.Row {
	var row driver.Row
	err := g.do(ctx, func() error {
		row = g.conn.QueryRow(ctx, sql, args...)
		return row.Err()
	})
	if err != nil {
		return failedRow{err}
	}
	return row
}

// Exec is the driver's.
func (g *guarded) Exec(ctx context.Context, sql string, args ...any) error {
	return g.do(ctx, func() error { return g.conn.Exec(ctx, sql, args...) })
}

// failedRow is the row of a query that failed.
type failedRow struct{ err error }

func (r failedRow) Err() error           { return r.err }
func (r failedRow) Scan(...any) error    { return r.err }
func (r failedRow) ScanStruct(any) error { return r.err }

// Failure returns why calls to ClickHouse fail at once, or nil while they are made.
func (s *Store) Failure() error {
	if err := s.conn.breaker.Failure(); err != nil {
		return feature.Hide(err, "ClickHouse cannot be reached")
	}
	return nil
}
