package chdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/internal/chtest"
)

func TestMain(m *testing.M) { chtest.Main(m) }

// TestHandshake pins the one thing that depends on the driver's version: the answer to its first query.
func TestHandshake(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatalf("Ping: %v", err)
	}
	version, err := conn.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if version.Version.Major != 26 || version.Timezone.String() != "UTC" || version.Revision != 0 {
		t.Errorf("ServerVersion() = %s, want version 26 in UTC at revision 0", version)
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	const nasty = "tab\t newline\n quote' back\\slash {x:String} ü"
	var (
		s    string
		n    *int64
		i    int64
		at   time.Time
		list []string
	)
	row := conn.QueryRow(t.Context(), `SELECT {s:String}, {n:Nullable(Int64)}, {i:Int64}, {at:DateTime64(6, 'UTC')}, {list:Array(String)}`,
		clickhouse.Named("s", nasty), clickhouse.Named("n", nil), clickhouse.Named("i", int64(-5)),
		clickhouse.DateNamed("at", instants[2], clickhouse.MicroSeconds), clickhouse.Named("list", []string{"a'b", `c\d`, "e\tf"}))
	if err := row.Scan(&s, &n, &i, &at, &list); err != nil {
		t.Fatal(err)
	}
	if s != nasty || n != nil || i != -5 || !at.Equal(instants[2]) {
		t.Errorf("parameters came back as %q %v %d %s", s, n, i, at)
	}
	if diff := cmp.Diff([]string{"a'b", `c\d`, "e\tf"}, list); diff != "" {
		t.Errorf("list parameter (-want +got):\n%s", diff)
	}
	// A parameter also reaches a statement that is not a SELECT, and a result without rows.
	if err := conn.Exec(t.Context(), "CREATE TABLE t (s String) ENGINE = Memory"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), "INSERT INTO t SELECT {s:String}", clickhouse.Named("s", nasty)); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), "SELECT s FROM t WHERE s = {s:String}", clickhouse.Named("s", nasty)).Scan(&s); err != nil || s != nasty {
		t.Errorf("inserted parameter = %q, %v", s, err)
	}
}

// TestEmptyResults: a result without rows still has columns.
func TestEmptyResults(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	for _, tc := range []struct {
		query string
		args  []any
		want  []string
	}{
		{"SELECT 1 AS a, 'x' AS b, NULL AS c WHERE 0", nil, []string{"a UInt8", "b String", "c Nullable(Nothing)"}},
		{"SELECT number AS `odd ``name` FROM numbers(10) WHERE number > 100; -- done", nil, []string{"odd `name UInt64"}},
		{"SELECT number + {n:UInt8} AS x FROM numbers(0)", []any{clickhouse.Named("n", 3)}, []string{"x UInt64"}},
		{"WITH q AS (SELECT 1 AS a) SELECT * FROM q WHERE a = 2 ORDER BY a LIMIT 1 SETTINGS max_threads = 1", nil, []string{"a UInt8"}},
		{"SHOW TABLES", nil, []string{"name String"}},
		{"SELECT toDateTime64(0, 6, 'UTC') AS t, [1] AS l, tuple(1, 'a') AS u LIMIT 0", nil, []string{"t DateTime64(6, 'UTC')", "l Array(UInt8)", "u Tuple(UInt8, String)"}},
	} {
		rows, err := conn.Query(t.Context(), tc.query, tc.args...)
		if err != nil {
			t.Errorf("%s: %v", tc.query, err)
			continue
		}
		var got []string
		for _, c := range rows.ColumnTypes() {
			got = append(got, c.Name()+" "+c.DatabaseTypeName())
		}
		if rows.Next() || rows.Err() != nil {
			t.Errorf("%s: a row, or %v, want neither", tc.query, rows.Err())
		}
		rows.Close()
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: columns (-want +got):\n%s", tc.query, diff)
		}
	}
}

// TestErrors: errors have ClickHouse's codes, and the connection goes on.
func TestErrors(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	for _, tc := range []struct {
		query string
		code  int32
	}{
		{"SELECT nope", 47},
		{"SELECT * FROM nope", 60},
		{"nonsense", 62},
		{"SELECT 1; SELECT 2", 62},
		{"CREATE TABLE t (a Int8) ENGINE = Nope", 56},
		{"SELECT throwIf(1, 'stop')", 395},
		{"DROP TABLE nope", 60},
		{"INSERT INTO nope SELECT 1", 60},
		{"SELECT {x:Int8}", 456},
		{"", 62},
	} {
		err := conn.Exec(t.Context(), tc.query)
		if e, ok := errors.AsType[*clickhouse.Exception](err); !ok || e.Code != tc.code {
			t.Errorf("%q: %v, want code %d", tc.query, err, tc.code)
		}
		if rows, err := conn.Query(t.Context(), tc.query); err == nil {
			rows.Close()
			t.Errorf("%q as a query: no error, want code %d", tc.query, tc.code)
		}
	}
	other := chtest.Open(t, chtest.Engine(t), "no_such_database")
	if e, ok := errors.AsType[*clickhouse.Exception](other.Ping(t.Context())); !ok || e.Code != 81 {
		t.Errorf("ping an unknown database: %v, want code 81", other.Ping(t.Context()))
	}
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("Ping after the errors: %v", err)
	}
}

// TestSettings: a setting holds for its statement and no other, also after an error.
func TestSettings(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	threads := func(ctx context.Context) (n uint64) {
		t.Helper()
		if err := conn.QueryRow(ctx, "SELECT getSetting('max_block_size')::UInt64").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	usual := threads(t.Context())
	with := func(settings clickhouse.Settings) context.Context {
		return clickhouse.Context(t.Context(), clickhouse.WithSettings(settings), clickhouse.WithQueryID("it's */ a 'query'"))
	}
	if got := threads(with(clickhouse.Settings{"max_block_size": 123})); got != 123 {
		t.Errorf("max_block_size = %d, want the 123 it was set to", got)
	}
	if err := conn.Exec(with(clickhouse.Settings{"max_block_size": 123}), "SELECT nope"); err == nil {
		t.Error("SELECT nope: no error")
	}
	if err := conn.Exec(with(clickhouse.Settings{"max_block_size": 123, "no_such_setting": 1}), "SELECT 1"); err == nil {
		t.Error("an unknown setting: no error")
	} else if e, ok := errors.AsType[*clickhouse.Exception](err); !ok || e.Code != 115 {
		t.Errorf("an unknown setting: %v, want code 115", err)
	}
	if err := conn.Exec(t.Context(), "SET max_block_size = 123"); err != nil {
		t.Error(err)
	}
	readonly := with(clickhouse.Settings{"readonly": 1, "max_block_size": 123})
	if e, ok := errors.AsType[*clickhouse.Exception](conn.Exec(readonly, "CREATE TABLE t (a Int8) ENGINE = Memory")); !ok || e.Code != 164 {
		t.Errorf("CREATE TABLE with readonly: %v, want code 164", e)
	}
	for range 40 { // more often than there are connections
		if got := threads(t.Context()); got != usual {
			t.Fatalf("max_block_size = %d, want the usual %d", got, usual)
		}
	}
	if err := conn.Exec(t.Context(), "CREATE TABLE t (a Int8) ENGINE = Memory"); err != nil {
		t.Errorf("CREATE TABLE after readonly: %v", err)
	}
}

// TestExternalTables: each statement sees its own, several at a time with the same name.
func TestExternalTables(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	var group errgroup.Group
	for i := range 6 {
		group.Go(func() error {
			table, err := ext.NewTable("spine", ext.Column("k", "Int64"), ext.Column("ts", "DateTime64(6, 'UTC')"), ext.Column("s", "Nullable(String)"))
			if err != nil {
				return err
			}
			for j := range 1000 {
				if err := table.Append(int64(i*1000+j), instants[1], nil); err != nil {
					return err
				}
			}
			ctx := clickhouse.Context(t.Context(), clickhouse.WithExternalTable(table),
				clickhouse.WithSettings(clickhouse.Settings{"join_use_nulls": 1}), clickhouse.WithParameters(clickhouse.Parameters{"p": "7"}))
			var sum int64
			var at time.Time
			var p uint8
			if err := conn.QueryRow(ctx, "SELECT sum(k), any(ts), {p:UInt8} FROM spine WHERE s IS NULL").Scan(&sum, &at, &p); err != nil {
				return err
			}
			if want := int64(i*1_000_000 + 499_500); sum != want || !at.Equal(instants[1]) || p != 7 {
				return fmt.Errorf("sum of table %d = %d at %s, want %d", i, sum, at, want)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if err := conn.Exec(t.Context(), "SELECT * FROM spine"); err == nil {
		t.Error("an external table outlived its statement")
	}
}

// TestConcurrency: several statements run at a time, and more of them than there are connections wait for their turn.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	engine := chtest.Engine(t)
	options := chtest.Options(engine, chtest.Database(t, engine))
	options.MaxOpenConns = 40
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var group errgroup.Group
	for i := range 40 {
		group.Go(func() error {
			var n uint64
			err := conn.QueryRow(t.Context(), "SELECT count() + {i:UInt64} FROM numbers(100000) WHERE sleepEachRow(0.000001) = 0 SETTINGS max_block_size = 50000",
				clickhouse.Named("i", i)).Scan(&n)
			if err == nil && n != 100_000+uint64(i) {
				err = fmt.Errorf("query %d = %d", i, n)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// TestCancel: when the caller gives up, a long aggregation ends in the engine too, at once.
func TestCancel(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	for _, query := range []string{
		"SELECT sum(sin(number)) /* aggregate */ FROM numbers(1000000000000)",
		"SELECT number, sin(number) /* stream */ FROM numbers(1000000000000)",
		"CREATE TABLE t ENGINE = Memory AS SELECT sum(sin(number)) AS /* create */ s FROM numbers(1000000000000)",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- drain(ctx, conn, query) }()
		running := func() (n uint64) {
			const count = "SELECT count() FROM system.processes WHERE query LIKE {q:String} AND query NOT LIKE '%processes%'"
			if err := conn.QueryRow(t.Context(), count, clickhouse.Named("q", "%"+query)).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		await(t, "the query to run", func() bool { return running() == 1 })
		start := time.Now()
		cancel()
		if err := <-ended; err == nil {
			t.Errorf("%s: no error after it was cancelled", query)
		}
		await(t, "the query to end", func() bool { return running() == 0 })
		t.Logf("%s: ended after %s", query, time.Since(start).Round(time.Millisecond))
		if took := time.Since(start); took > 10*time.Second { // they would take hours
			t.Errorf("%s: ran on for %s", query, took)
		}
	}
}

// drain reads a query to its end.
func drain(ctx context.Context, conn clickhouse.Conn, query string) error {
	if strings.HasPrefix(query, "CREATE") {
		return conn.Exec(ctx, query)
	}
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// await polls until the condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited too long for %s", what)
		}
	}
}
