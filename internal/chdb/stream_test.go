package chdb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/parquet-go/parquet-go"

	"github.com/lockstepfs/lockstep/internal/chdb"
	"github.com/lockstepfs/lockstep/internal/chtest"
)

// TestErrorInTheMiddle: a failure after rows were sent is an error with its code, never a short result, wherever it falls.
func TestErrorInTheMiddle(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	for _, block := range []int{1, 3, 7, 64, 1000, 65_000} {
		for _, after := range []int{1, 2, 9} {
			query := fmt.Sprintf("SELECT number, throwIf(number = %d, 'stop here') FROM numbers(%d) SETTINGS max_block_size = %d, max_threads = 1",
				block*after, 20*block, block)
			err := drain(t.Context(), conn, query) // Query itself fails when no piece was sent yet
			if e, ok := errors.AsType[*clickhouse.Exception](err); !ok || e.Code != 395 || !strings.Contains(e.Message, "stop here") {
				t.Errorf("%s: %v, want code 395", query, err)
			}
		}
	}
	// With wait_end_of_query the error comes instead of the rows.
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"wait_end_of_query": 1}))
	if _, err := conn.Query(ctx, "SELECT throwIf(number = 900000) FROM numbers(1000000)"); err == nil {
		t.Error("wait_end_of_query: no error from Query")
	}
	raw, err := conn.QueryFormat(t.Context(), "TSV", "SELECT throwIf(number = 900000) FROM numbers(1000000)")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	n, err := io.Copy(io.Discard, raw)
	if e, ok := errors.AsType[*clickhouse.Exception](err); !ok || e.Code != 395 || n == 0 {
		t.Errorf("raw result ended after %d bytes with %v, want code 395", n, err)
	}
}

// TestBackPressure: a reader that stops holds the engine up; memory does not grow with the result.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	engine := startEngine(t, chdb.Config{Dir: t.TempDir()})
	conn := chtest.Open(t, engine, "default")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows, err := conn.Query(ctx, "SELECT number, repeat('x', 200) FROM numbers(100000000)") // 20 GB
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for range 1_000_000 {
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
	}
	before := produced(t, conn)
	for range 20 { // about 20 ms of other work while nobody reads
		if err := conn.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := produced(t, conn); after > before+5_000_000 {
		t.Errorf("the engine went on from %d to %d rows while nobody read", before, after)
	}
	if peak := peakMemory(t, engine.Pid()); peak > 600<<20 {
		t.Errorf("the engine's peak memory is %d MB", peak>>20)
	} else {
		t.Logf("peak memory %d MB after %d rows", peak>>20, before)
	}
	cancel()
	for rows.Next() { // until the driver has noticed
	}
}

func produced(t *testing.T, conn clickhouse.Conn) (rows uint64) {
	t.Helper()
	const query = "SELECT sum(read_rows) FROM system.processes WHERE query LIKE '%repeat%' AND query NOT LIKE '%processes%'"
	if err := conn.QueryRow(t.Context(), query).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// peakMemory is the most memory that a process ever held, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// TestArrow: a streamed ArrowStream is one stream with all batches.
func TestArrow(t *testing.T) {
	t.Parallel()
	conn := chtest.Conn(t, chtest.Engine(t))
	for _, rows := range []int{0, 1, 500_000} {
		raw, err := conn.QueryFormat(t.Context(), "ArrowStream",
			"SELECT toInt64(number) AS n, toString(number) AS s, if(n % 2 = 0, NULL, n) AS o FROM numbers({rows:UInt64})",
			clickhouse.Named("rows", rows))
		if err != nil {
			t.Fatal(err)
		}
		reader, err := ipc.NewReader(raw)
		if err != nil {
			t.Fatalf("%d rows: %v", rows, err)
		}
		seen, sum, batches := 0, int64(0), 0
		for reader.Next() {
			batch := reader.RecordBatch()
			batches++
			for _, v := range batch.Column(0).(*array.Int64).Int64Values() {
				sum += v
			}
			seen += int(batch.NumRows())
		}
		if reader.Err() != nil || seen != rows || sum != int64(rows)*int64(rows-1)/2 {
			t.Errorf("%d rows: read %d with sum %d in %d batches, %v", rows, seen, sum, batches, reader.Err())
		}
		if got := len(reader.Schema().Fields()); got != 3 {
			t.Errorf("%d rows: %d columns, want 3", rows, got)
		}
		reader.Release()
		if rest, err := io.ReadAll(raw); err != nil || len(rest) > 0 {
			t.Errorf("%d rows: %d bytes after the stream, %v", rows, len(rest), err)
		}
		raw.Close()
	}
}

// TestFormats: other formats come whole, and rows go in as they came out.
func TestFormats(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := chtest.Conn(t, chtest.Engine(t))
	if err := conn.Exec(ctx, "CREATE TABLE t (n Int64, s Nullable(String)) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(ctx, "INSERT INTO t SELECT number, if(number % 2 = 0, NULL, toString(number)) FROM numbers(100000)"); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"Parquet", "ArrowStream", "CSV", "CSVWithNames", "JSONEachRow", "TSV", "Native", "RowBinary", "JSONCompact"} {
		raw, err := conn.QueryFormat(ctx, format, "SELECT * FROM t ORDER BY n SETTINGS max_block_size = 10000")
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		data, err := io.ReadAll(raw)
		if err = errors.Join(err, raw.Close()); err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if format == "Parquet" {
			if file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data))); err != nil || file.NumRows() != 100_000 {
				t.Errorf("Parquet file: %v", err)
			}
		}
		table := "back_" + format
		if err := conn.Exec(ctx, "CREATE TABLE "+table+" AS t"); err != nil {
			t.Fatal(err)
		}
		if err := conn.InsertFormat(ctx, format, "INSERT INTO "+table, bytes.NewReader(data)); err != nil {
			t.Errorf("insert %s: %v", format, err)
			continue
		}
		var n, differences uint64
		const compare = "SELECT (SELECT count() FROM %[1]s), (SELECT count() FROM (SELECT * FROM t EXCEPT SELECT * FROM %[1]s))"
		if err := conn.QueryRow(ctx, fmt.Sprintf(compare, table)).Scan(&n, &differences); err != nil || n != 100_000 || differences != 0 {
			t.Errorf("%s: %d rows came back, %d different, %v", format, n, differences, err)
		}
	}
	if err := conn.InsertFormat(ctx, "CSV", "INSERT INTO t", strings.NewReader("1,a\nx,b\n")); err == nil {
		t.Error("inserting a bad row: no error")
	}
}
