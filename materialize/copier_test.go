package materialize_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/materialize"
)

// tabled is a world with a table of somebody else.
type tabled struct {
	*world
	theirs string
	src    *feature.Source
	copier *materialize.Copier
	log    *failing
}

// failing is a log whose records may be lost on their way.
type failing struct {
	*eventlog.Log
	record func(eventlog.Record) error // called before a record is published; nil for nothing
}

func (f *failing) PublishRecord(ctx context.Context, r eventlog.Record) (uint64, error) {
	if f.record != nil {
		if err := f.record(r); err != nil {
			return 0, err
		}
	}
	return f.Log.PublishRecord(ctx, r)
}

func newTabled(t *testing.T) *tabled {
	t.Helper()
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	sink := w.sink()
	run(t, sink.Run)
	x := &tabled{world: w, theirs: chtest.Database(t, chtest.Engine(t)), log: &failing{Log: w.log}}
	x.exec("CREATE TABLE %s.visits (id UInt32, user String, at DateTime, n Nullable(Int32), changed DateTime) ENGINE = MergeTree ORDER BY changed")
	x.src = &feature.Source{
		Name: "visits", EventTime: "at", MaxFuture: feature.Hour, ID: []string{"id"}, Dedup: feature.Day,
		Columns: append([]feature.Field{{Name: "id", Type: feature.Int64}}, clicks.Columns...),
		From:    &feature.From{Table: x.theirs + ".visits", Cursor: "changed", Overlap: feature.Hour},
	}
	if err := w.store.Ensure(t.Context(), x.src); err != nil {
		t.Fatal(err)
	}
	x.copier = &materialize.Copier{
		Tables: w.store, Log: x.log, Covered: sink, Logger: w.logger, Now: func() time.Time { return start.Std().Add(24 * time.Hour) },
		Hold: func(ctx context.Context, _ string, do func(context.Context) error) error { return do(ctx) },
	}
	return x
}

func (x *tabled) exec(format string) {
	x.t.Helper()
	if err := x.conn.Exec(x.t.Context(), fmt.Sprintf(format, x.theirs)); err != nil {
		x.t.Fatal(err)
	}
}

func (x *tabled) insert(id, minute int) {
	x.t.Helper()
	at := int64(start)/1e6 + int64(minute)*60
	x.exec(fmt.Sprintf("INSERT INTO %%s.visits VALUES (%d, 'u', %d, %d, %d)", id, at, id, at))
}

func (x *tabled) copy() (materialize.CopyResult, error) {
	return x.copier.Copy(within(x.t), x.src, materialize.CopyOptions{})
}

// TestCopyIsRecordedLater: a process dies between the rows and their record; the next copy brings the record.
func TestCopyIsRecordedLater(t *testing.T) {
	x := newTabled(t)
	x.insert(1, 0)
	x.log.record = func(eventlog.Record) error { return errors.New("the process died") }
	if _, err := x.copy(); err == nil || !strings.Contains(err.Error(), "the process died") {
		t.Fatalf("Copy = %v, want that the process died", err)
	}
	x.log.record = nil
	x.insert(2, 1)
	did, err := x.copy()
	if err != nil || did.Rows != 1 || did.Seq != 3 {
		t.Fatalf("Copy = %+v, %v, want the second row, recorded after the first", did, err)
	}
	x.wantHistory("visits", 1, 2)
	if did, err := x.copy(); err != nil || did.Rows != 0 || did.Generation != 0 {
		t.Errorf("Copy = %+v, %v, want nothing new", did, err)
	}
	if _, last, err := x.log.Bounds(t.Context()); err != nil || last != 4 {
		t.Errorf("the log ends at %d, %v, want 4: nothing new needs no record", last, err)
	}
}

// TestCopyIsOvertaken: a process that was stopped for long records its copy after another one went on from the same cursor.
func TestCopyIsOvertaken(t *testing.T) {
	x := newTabled(t)
	x.insert(1, 0)
	first, err := x.copy()
	if err != nil {
		t.Fatal(err)
	}
	x.insert(2, 1)
	x.log.record = func(r eventlog.Record) error {
		x.log.record = nil
		r.Generation = 4711 // of the other process
		_, err := x.log.PublishRecord(t.Context(), r)
		return err
	}
	if _, err := x.copy(); !errors.Is(err, feature.ErrConflict) {
		t.Fatalf("Copy = %v, want a CodeConflict error", err)
	}
	x.wantHistory("visits", 1)
	r, seq, err := x.log.Recorded(t.Context(), fmt.Sprintf("copy-visits-%d", first.Generation))
	if err != nil || seq != 3 || r.Generation != 4711 {
		t.Errorf("Recorded = %+v, %d, %v, want that of the other process at 3", r, seq, err)
	}
	if _, _, err := x.log.Recorded(t.Context(), "copy-visits-1"); !errors.Is(err, feature.ErrNotFound) {
		t.Errorf("Recorded of what is not there = %v, want a CodeNotFound error", err)
	}
}

// TestCopyRefusedRows: they become dead letters once.
func TestCopyRefusedRows(t *testing.T) {
	x := newTabled(t)
	x.insert(1, 0)
	x.exec("INSERT INTO %s.visits VALUES (2, unhex('ff'), 1700000000, 1, 1700000000)")
	for i := range 3 {
		did, err := x.copy()
		if err != nil || did.Refused != 1 {
			t.Fatalf("copy %d = %+v, %v, want 1 refused row", i, did, err)
		}
		letters, err := x.log.Letters(t.Context(), eventlog.LetterQuery{Source: "visits"})
		if err != nil || len(letters) != 1 || letters[0].Field != "user" || !strings.Contains(string(letters[0].Raw), `"id":2`) {
			t.Fatalf("letters after copy %d = %+v, %v, want that of 2", i, letters, err)
		}
	}
}

// TestCopyKnowsPushed: what was pushed under an id is not copied again (rule E1).
func TestCopyKnowsPushed(t *testing.T) {
	x := newTabled(t)
	b := feature.NewBatch(x.src)
	b.Append([]feature.Value{feature.Int64Value(1), feature.StringValue("u"), feature.TimestampValue(start), feature.Int64Value(1)})
	b.Append([]feature.Value{feature.Int64Value(2), feature.StringValue("u"), feature.TimestampValue(start - feature.Time(feature.Day) - 1), feature.Int64Value(2)})
	if _, err := x.log.Publish(within(t), b); err != nil {
		t.Fatal(err)
	}
	x.insert(1, 0)
	x.insert(2, 0) // further from the pushed one than dedup
	x.insert(3, 0)
	did, err := x.copy()
	if err != nil || did.Rows != 2 || did.Duplicates != 1 || did.Conflicts != 0 {
		t.Errorf("Copy = %+v, %v, want 2 rows and 1 duplicate", did, err)
	}
}

func TestCopyWithoutFrom(t *testing.T) {
	x := newTabled(t)
	if _, err := x.copier.Copy(t.Context(), clicks, materialize.CopyOptions{}); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("Copy of a source without from = %v, want a CodeInvalid error", err)
	}
}
