package chdb_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/internal/chtest"
)

// TestDeduplication: a block sent again with its token is acknowledged and not written.
func TestDeduplication(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	err := conn.Exec(t.Context(), "CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		token string
		want  uint64
	}{{"one", 3}, {"one", 3}, {"two", 6}, {"one", 6}} {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": tc.token, "async_insert": 0}))
		if err := insertNumbers(ctx, conn, 3); err != nil {
			t.Fatal(err)
		}
		if got := count(t, conn); got != tc.want {
			t.Errorf("%d rows after token %s, want %d", got, tc.token, tc.want)
		}
	}
}

// insertNumbers sends one batch of n rows into t.
func insertNumbers(ctx context.Context, conn clickhouse.Conn, n int) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO t (a)")
	if err != nil {
		return err
	}
	defer batch.Close()
	values := make([]int64, n)
	for i := range values {
		values[i] = int64(i)
	}
	if err := batch.Column(0).Append(values); err != nil {
		return err
	}
	return batch.Send()
}

func count(t *testing.T, conn clickhouse.Conn) (n uint64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestInserts: every way to write rows that the driver has.
func TestInserts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	engine := chtest.Engine(t)
	name := chtest.Database(t, engine)
	conn := chtest.Open(t, engine, name)
	if err := conn.Exec(ctx, "CREATE TABLE t (a Int64, b String DEFAULT 'd', c Int64 MATERIALIZED a + 1) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		"INSERT INTO t VALUES (1, 'a;b'), (2, 'it''s')",
		"INSERT INTO t (a) VALUES (3)",
		"/* FORMAT */ INSERT INTO t SELECT 4, 'x' SETTINGS max_threads = 1",
		"INSERT INTO t FORMAT JSONEachRow {\"a\": 5}",
	} {
		if err := conn.Exec(ctx, query); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	if err := conn.Exec(clickhouse.Context(ctx, clickhouse.WithAsync(true)), "INSERT INTO t (a) VALUES (6)"); err != nil {
		t.Errorf("an asynchronous insert: %v", err)
	}
	if err := insertNumbers(ctx, conn, 0); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
	if err := insertNumbers(ctx, conn, 4); err != nil {
		t.Errorf("a batch: %v", err)
	}
	if got := count(t, conn); got != 10 {
		t.Errorf("%d rows, want 10", got)
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO t (a)")
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	if err := batch.Append(int64(1)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(ctx, "DROP TABLE t"); err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*clickhouse.Exception](batch.Send()); !ok || e.Code != 60 {
		t.Errorf("insert into a table that is gone: %v, want code 60", e)
	}

	db := clickhouse.OpenDB(chtest.Options(engine, name))
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := tx.PrepareContext(ctx, "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	defer statement.Close()
	for i := range 5 {
		if _, err := statement.ExecContext(ctx, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count() FROM t WHERE a < ?", 3).Scan(&n); err != nil || n != 3 {
		t.Errorf("database/sql: %d rows, %v, want 3", n, err)
	}
}

// TestCutInsert: a body that breaks off writes nothing.
func TestCutInsert(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	if err := conn.Exec(t.Context(), "CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the source broke")
	if err := conn.InsertFormat(t.Context(), "CSV", "INSERT INTO t", &brokenReader{text: "1\n2\n3\n", err: broken}); !errors.Is(err, broken) {
		t.Errorf("insert from a broken source: %v", err)
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if got := count(t, conn); got != 0 {
		t.Errorf("%d rows of a broken insert", got)
	}
}

// brokenReader gives its text and then its error.
type brokenReader struct {
	text string
	err  error
}

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.text == "" {
		return 0, r.err
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}
