package materialize_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/materialize"
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
