package materialize_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/offline"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// importer returns an importer whose records go through record, if there is one.
func (w *world) importer(record func(context.Context, eventlog.Record) (uint64, error)) *materialize.Importer {
	im := &materialize.Importer{Archive: w.store, Log: w.log, Logger: w.logger, Now: time.Now}
	if record != nil {
		im.Log = recorder(record)
	}
	return im
}

type recorder func(context.Context, eventlog.Record) (uint64, error)

func (r recorder) PublishRecord(ctx context.Context, x eventlog.Record) (uint64, error) {
	return r(ctx, x)
}

func lines(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"user": "u%d", "at": "2023-11-15T00:00:00Z", "n": %d}`+"\n", i%7, from+i)
	}
	return b.String()
}

func (w *world) request(path string) materialize.ImportRequest {
	return materialize.ImportRequest{Source: clicks, Path: path, Format: rowfile.JSONL, Name: "clicks.jsonl"}
}

func TestImport(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	sink := w.sink()
	stop := run(t, sink.Run)
	path := w.file("clicks.jsonl", lines(0, 100))
	var told materialize.ImportProgress
	r, err := w.importer(nil).Import(within(t), w.request(path), func(p materialize.ImportProgress) { told = p })
	if err != nil || r.Rows != 100 || r.Already || told.Rows != 100 || told.Done != 1 {
		t.Fatalf("Import = %+v, %v, with progress %+v", r, err, told)
	}
	w.covers(sink, r.Seq)
	generations, err := w.store.Generations(t.Context(), "clicks", r.Seq)
	if err != nil || len(generations) != 1 || generations[0] != r.Generation {
		t.Errorf("generations %v, %v, want %d", generations, err, r.Generation)
	}
	again, err := w.importer(nil).Import(within(t), w.request(path), nil)
	if err != nil || !again.Already || again.Generation != r.Generation || again.Seq != r.Seq {
		t.Errorf("the same file again: %+v, %v; want that it is there already, as %+v", again, err, r)
	}
	if rows := w.count("clicks"); rows != 100 {
		t.Errorf("%d rows, want 100", rows)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func (w *world) count(source string) (rows uint64) {
	w.t.Helper()
	if err := w.conn.QueryRow(w.t.Context(), "SELECT count() FROM events_"+source).Scan(&rows); err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// TestImportBadRows imports nothing of a file with a bad row, says where it is, and takes the mended file.
func TestImportBadRows(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	path := w.file("clicks.jsonl", lines(0, 3)+`{"user": "u", "at": "yesterday", "n": 1}`+"\n")
	_, err := w.importer(nil).Import(within(t), w.request(path), nil)
	e, ok := errors.AsType[*feature.Error](err)
	if !ok || e.Code != feature.CodeInvalid || !strings.Contains(err.Error(), "clicks.jsonl:4") {
		t.Errorf("Import = %v, want %s that names line 4 of the file", err, feature.CodeInvalid)
	}
	if rows := w.count("clicks"); rows != 0 {
		t.Errorf("%d rows, want none", rows)
	}
	writeFile(t, path, lines(0, 4))
	if r, err := w.importer(nil).Import(within(t), w.request(path), nil); err != nil || r.Rows != 4 {
		t.Errorf("the mended file: %+v, %v", r, err)
	}
}

// TestImportLosesItsRecord has the log refuse the record: nobody sees the rows, and the next import of the file makes up
// for it.
func TestImportLosesItsRecord(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	sink := w.sink()
	stop := run(t, sink.Run)
	path := w.file("clicks.jsonl", lines(0, 10))
	away := feature.Errorf(feature.CodeUnavailable, "the log is away")
	_, err := w.importer(func(context.Context, eventlog.Record) (uint64, error) { return 0, away }).Import(within(t), w.request(path), nil)
	if !errors.Is(err, away) {
		t.Errorf("Import = %v, want %v", err, away)
	}
	last := w.publish(event{"u", 1, 1})
	w.covers(sink, last)
	if generations, err := w.store.Generations(t.Context(), "clicks", last); err != nil || len(generations) > 0 {
		t.Errorf("generations %v, %v, want none", generations, err)
	}
	r, err := w.importer(nil).Import(within(t), w.request(path), nil)
	if err != nil || !r.Already || r.Rows != 10 {
		t.Fatalf("Import again = %+v, %v", r, err)
	}
	w.covers(sink, r.Seq)
	if generations, err := w.store.Generations(t.Context(), "clicks", r.Seq); err != nil || len(generations) != 1 {
		t.Errorf("generations %v, %v, want one", generations, err)
	}
	if rows := w.count("clicks"); rows != 11 {
		t.Errorf("%d rows, want 11", rows)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// cutting is an archive that is cut off in the middle of an insert: some rows are in.
type cutting struct {
	*offline.Store
	conn  driver.Conn
	after int // inserts that come through; below 0: all
	rows  int64
}

func (c *cutting) InsertImport(ctx context.Context, src *feature.Source, im *feature.Imported, b *feature.Batch) error {
	if c.after == 0 {
		err := c.conn.Exec(ctx, "INSERT INTO events_clicks (at, _gen, _row) SELECT toDateTime64('2023-11-15', 6, 'UTC'), {gen:UInt64}, {row:UInt64} + number FROM numbers(100)",
			clickhouse.Named("gen", im.Generation), clickhouse.Named("row", uint64(im.Rows)))
		return errors.Join(feature.Errorf(feature.CodeUnavailable, "cut off"), err)
	}
	c.after--
	c.rows += int64(b.Rows)
	return c.Store.InsertImport(ctx, src, im, b)
}

// TestImportGoesOn cuts an import off twice: the third attempt inserts only what is not in, and every row is there once.
func TestImportGoesOn(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	const rows, part = 40_000, 8192
	path := w.file("clicks.jsonl", lines(0, rows))
	archive := &cutting{Store: w.store, conn: w.conn}
	im := w.importer(nil)
	im.Archive, im.Part = archive, part
	for attempt := range 2 {
		archive.after = 1 + attempt
		if _, err := im.Import(within(t), w.request(path), nil); !errors.Is(err, feature.ErrUnavailable) {
			t.Fatalf("attempt %d = %v", attempt, err)
		}
		if generations, err := w.store.Generations(t.Context(), "clicks", 1<<60); err != nil || len(generations) > 0 {
			t.Fatalf("the log names generations %v, %v after an import that was cut off", generations, err)
		}
	}
	before := archive.rows
	archive.after = -1
	r, err := im.Import(within(t), w.request(path), nil)
	if err != nil || r.Rows != rows || r.Already || r.Resumed != before || archive.rows != rows {
		t.Errorf("Import = %+v, %v; %d rows were inserted, %d of them before; want %d in all", r, err, archive.rows, before, rows)
	}
	var count, distinct, numbers uint64
	err = w.conn.QueryRow(t.Context(), "SELECT count(), uniqExact(_row), uniqExact(n) FROM events_clicks").Scan(&count, &distinct, &numbers)
	if err != nil || count != rows || distinct != rows || numbers != rows {
		t.Errorf("%d rows, %d places, %d events, %v; want %d of each", count, distinct, numbers, err, rows)
	}
}

// TestImportGoesOnWithItsDefinition begins anew when the source has changed since the import was cut off: what is in was read by another definition.
func TestImportGoesOnWithItsDefinition(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	path := w.file("clicks.jsonl", lines(0, 20_000))
	archive := &cutting{Store: w.store, conn: w.conn, after: 1}
	im := w.importer(nil)
	im.Archive, im.Part = archive, 8192
	if _, err := im.Import(within(t), w.request(path), nil); !errors.Is(err, feature.ErrUnavailable) {
		t.Fatal(err)
	}
	changed := *clicks
	changed.Version++
	req := w.request(path)
	req.Source, archive.after, archive.rows = &changed, -1, 0
	if r, err := im.Import(within(t), req, nil); err != nil || r.Resumed != 0 || archive.rows != 20_000 {
		t.Errorf("Import = %+v, %v; %d rows were inserted", r, err, archive.rows)
	}
}

// TestImportTakesTurns imports one file twice at a time: it is in once.
func TestImportTakesTurns(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	path := w.file("clicks.jsonl", lines(0, 20_000))
	im := w.importer(nil)
	im.Part = 8192
	var mu sync.Mutex
	im.Hold = func(ctx context.Context, _ string, do func(context.Context) error) error {
		if !mu.TryLock() {
			return feature.Errorf(feature.CodeConflict, "held")
		}
		defer mu.Unlock()
		return do(ctx)
	}
	var group errgroup.Group
	var fresh atomic.Int32
	for range 3 {
		group.Go(func() error {
			r, err := im.Import(within(t), w.request(path), nil)
			if !r.Already {
				fresh.Add(1)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil || fresh.Load() != 1 {
		t.Errorf("%v; %d imports added something, want one", err, fresh.Load())
	}
	if rows := w.count("clicks"); rows != 20_000 {
		t.Errorf("%d rows, want 20000", rows)
	}
}

// TestImportReplaces imports in place of what was there: again it is the same edition as long as nothing was added to it.
func TestImportReplaces(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	sink := w.sink()
	stop := run(t, sink.Run)
	im := w.importer(nil)
	src := *clicks
	load := func(path string, replace bool) materialize.ImportResult {
		t.Helper()
		req := w.request(path)
		req.Source, req.Replace = &src, replace
		r, err := im.Import(within(t), req, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.covers(sink, r.Seq)
		return r
	}
	first, other := w.file("first.jsonl", lines(0, 10)), w.file("other.jsonl", lines(10, 10))
	was := load(first, false)
	if was.Edition != 0 || was.Already {
		t.Errorf("the first import: %+v", was)
	}
	replaced := load(first, true) // the same rows, and nothing else
	if replaced.Already || replaced.Edition != replaced.Generation || replaced.Generation == was.Generation {
		t.Errorf("replaced: %+v, before %+v", replaced, was)
	}
	// The registry was not told, so it is asked for again.
	if again := load(first, true); !again.Already || again.Generation != replaced.Generation || again.Seq != replaced.Seq {
		t.Errorf("again: %+v, want %+v", again, replaced)
	}
	src.Edition = feature.Edition{Number: replaced.Edition, Seq: replaced.Seq}
	for _, replace := range []bool{true, false} {
		if again := load(first, replace); !again.Already || again.Generation != replaced.Generation {
			t.Errorf("once it is the edition, replace %t: %+v", replace, again)
		}
	}
	added := load(other, false)
	if added.Already || added.Edition != replaced.Edition {
		t.Errorf("added: %+v", added)
	}
	anew := load(first, true) // other is no part of it
	if anew.Already || anew.Edition <= replaced.Edition {
		t.Errorf("anew: %+v", anew)
	}
	src.Edition = feature.Edition{Number: anew.Edition, Seq: anew.Seq}
	if back := load(other, true); back.Already || back.Edition <= anew.Edition {
		t.Errorf("by what was added before: %+v", back)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
