// Package migrations makes and changes Lockstep's system tables in ClickHouse. Each file holds one statement that may run
// again; event tables are not here, package offline makes them from the definitions.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database/clickhouse"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

//go:embed *.sql
var files embed.FS

// Up brings the system tables of db's current database to the newest version. It takes db over and closes it. Two processes
// must not run it at the same time on one database: the schema table has no lock.
func Up(ctx context.Context, db *sql.DB) (err error) {
	source, err := iofs.New(files, ".")
	if err != nil {
		return errors.Join(fmt.Errorf("read the migrations: %w", err), db.Close())
	}
	target, err := clickhouse.WithInstance(db, &clickhouse.Config{MigrationsTable: "schema_migrations", MigrationsTableEngine: "MergeTree"})
	if err != nil {
		return errors.Join(fmt.Errorf("open the table of migrations: %w", err), source.Close(), db.Close())
	}
	m, err := migrate.NewWithInstance("iofs", source, "clickhouse", target)
	if err != nil {
		return errors.Join(fmt.Errorf("prepare the migrations: %w", err), source.Close(), target.Close())
	}
	defer func() {
		sourceErr, targetErr := m.Close()
		err = errors.Join(err, sourceErr, targetErr)
	}()
	stop := context.AfterFunc(ctx, func() { m.GracefulStop <- true }) // between two files; the channel holds one
	defer stop()
	if err := m.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("migrate the system tables: %w", err)
	}
	return ctx.Err()
}
