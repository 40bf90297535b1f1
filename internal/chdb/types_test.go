package chdb_test

import (
	"math"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/internal/chtest"
)

// instants are the first one that the product knows, one before 1970 that is not a whole second, and the last one that
// the driver can hold as a time.Time: it counts nanoseconds on the way, see TestLateInstants.
var instants = []time.Time{
	time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC),
	time.Date(1969, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	time.Date(2001, 6, 24, 12, 30, 0, 1_000, time.UTC),
	time.Date(2262, 4, 11, 23, 47, 16, 854_775_000, time.UTC),
}

// TestTypes writes a row for each instant in every type that the product uses, row by row and by column, and reads it.
func TestTypes(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := chtest.Conn(t, chtest.Engine(t))
	err := conn.Exec(ctx, `CREATE TABLE t (n UInt32, i Int64, f Float64, b Bool, s String, t DateTime64(6, 'UTC'), u UInt64,
		ni Nullable(Int64), nf Nullable(Float64), nb Nullable(Bool), ns Nullable(String), nt Nullable(DateTime64(6, 'UTC')),
		ai Array(Int64), af Array(Float64), as Array(String), ab Array(Bool), at Array(DateTime64(6, 'UTC')),
		tu Tuple(Int64, String), l LowCardinality(String), ln LowCardinality(Nullable(String)), u8 UInt8, m Map(String, Int64)
	) ENGINE = MergeTree ORDER BY n`)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	var want []row
	for n, at := range instants {
		r := row{
			N: uint32(n), I: math.MinInt64, F: -0.1, B: n%2 == 0, S: "tab\t'quote' \\ \x00 ü", T: at, U: math.MaxUint64,
			AI: []int64{}, AF: []float64{1.5, -2}, AS: []string{"", "x"}, AB: []bool{true, false}, AT: []time.Time{at, at},
			TU: []any{int64(n), "x"}, L: "low", U8: 255, M: map[string]int64{"a": 1},
		}
		if n%2 == 0 {
			r.NI, r.NF, r.NB, r.NS, r.NT, r.LN = new(r.I), new(r.F), new(false), new(""), new(at), new("n")
		}
		want = append(want, r)
		if err := batch.Append(r.values()...); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatalf("Send: %v", err)
	}
	rows, err := conn.Query(ctx, "SELECT * FROM t ORDER BY n")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []row
	for rows.Next() {
		var r row
		if err := rows.Scan(r.pointers()...); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows read differ from rows written (-want +got):\n%s", diff)
	}
	var text []string
	if err := conn.QueryRow(ctx, "SELECT groupArray(toString(t)) FROM (SELECT t FROM t ORDER BY n)").Scan(&text); err != nil {
		t.Fatal(err)
	}
	wantText := []string{"1900-01-01 00:00:00.000000", "1969-12-31 23:59:59.999999", "2001-06-24 12:30:00.000001", "2262-04-11 23:47:16.854775"}
	if diff := cmp.Diff(wantText, text); diff != "" {
		t.Errorf("the engine's view of the instants differs (-want +got):\n%s", diff)
	}
}

// row has a field for each column of the table.
type row struct {
	N  uint32
	I  int64
	F  float64
	B  bool
	S  string
	T  time.Time
	U  uint64
	NI *int64
	NF *float64
	NB *bool
	NS *string
	NT *time.Time
	AI []int64
	AF []float64
	AS []string
	AB []bool
	AT []time.Time
	TU []any
	L  string
	LN *string
	U8 uint8
	M  map[string]int64
}

func (r *row) values() []any {
	return []any{r.N, r.I, r.F, r.B, r.S, r.T, r.U, r.NI, r.NF, r.NB, r.NS, r.NT, r.AI, r.AF, r.AS, r.AB, r.AT, r.TU, r.L, r.LN, r.U8, r.M}
}

func (r *row) pointers() []any {
	return []any{&r.N, &r.I, &r.F, &r.B, &r.S, &r.T, &r.U, &r.NI, &r.NF, &r.NB, &r.NS, &r.NT, &r.AI, &r.AF, &r.AS, &r.AB, &r.AT, &r.TU, &r.L, &r.LN, &r.U8, &r.M}
}

// TestColumns inserts by column, more rows than a block of the engine has, and reads them back.
func TestColumns(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := chtest.Conn(t, chtest.Engine(t))
	if err := conn.Exec(ctx, "CREATE TABLE t (k Int64, ts DateTime64(6, 'UTC'), v Nullable(Float64)) ENGINE = MergeTree ORDER BY (k, ts)"); err != nil {
		t.Fatal(err)
	}
	const n = 200_000
	keys, times, values := make([]int64, n), make([]time.Time, n), make([]*float64, n)
	for i := range n {
		keys[i], times[i] = int64(i), time.UnixMicro(int64(i)-n/2).UTC()
		if i%3 != 0 {
			values[i] = new(float64(i))
		}
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO t (k, ts, v)")
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	for i, column := range []any{keys, times, values} {
		if err := batch.Column(i).Append(column); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(ctx, "SELECT * FROM t ORDER BY k")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var k int64
		var ts time.Time
		var v *float64
		if err := rows.Scan(&k, &ts, &v); err != nil {
			t.Fatal(err)
		}
		if k != keys[seen] || !ts.Equal(times[seen]) || (v == nil) != (values[seen] == nil) || v != nil && *v != *values[seen] {
			t.Fatalf("row %d = %d %s %v, want %d %s %v", seen, k, ts, v, keys[seen], times[seen], values[seen])
		}
		seen++
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if seen != n {
		t.Errorf("read %d rows, want %d", seen, n)
	}
}

// TestLateInstants: the engine keeps DateTime64(6) up to 2299, but the driver corrupts what is after 2262 in both
// directions, and the engine reads a parameter of the last second before 1970 with the wrong sign. Microseconds in an
// Int64 arrive, through an ephemeral column and functions.
func TestLateInstants(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := chtest.Conn(t, chtest.Engine(t))
	err := conn.Exec(ctx, `CREATE TABLE t (us Int64 EPHEMERAL, t DateTime64(6, 'UTC') DEFAULT fromUnixTimestamp64Micro(us, 'UTC'))
		ENGINE = MergeTree ORDER BY t`)
	if err != nil {
		t.Fatal(err)
	}
	late := time.Date(2299, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	want := []int64{instants[0].UnixMicro(), -1, 0, late.UnixMicro()}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO t (us)")
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Close()
	if err := batch.Column(0).Append(want); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var got []int64
	var text string
	err = conn.QueryRow(ctx, "SELECT groupArray(toUnixTimestamp64Micro(t)), toString(max(t)) FROM (SELECT t FROM t ORDER BY t)").Scan(&got, &text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("microseconds (-want +got):\n%s", diff)
	}
	if text != "2299-12-31 23:59:59.999999" {
		t.Errorf("the last instant is %s in the engine", text)
	}
	for _, us := range want {
		var n uint64
		const count = "SELECT count() FROM t WHERE t = fromUnixTimestamp64Micro({us:Int64}, 'UTC')"
		if err := conn.QueryRow(ctx, count, clickhouse.Named("us", us)).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows at %d, %v, want 1", n, us, err)
		}
	}
}
