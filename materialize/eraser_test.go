package materialize_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/materialize"
)

// person is a key whose bytes are found wherever they are.
const person = "alice.7c1f93@example.org"

// eraser returns an Eraser over the world's parts.
func (w *world) eraser(covered node.Covered, present func(context.Context, uint64) error) *materialize.Eraser {
	return &materialize.Eraser{
		Catalog: func() *feature.Catalog { return w.catalog }, Log: w.log, Entries: w.log, Letters: w.log,
		Past: node.Past{Store: w.store, Covered: covered}, Present: present,
	}
}

func erase(t *testing.T, e *materialize.Eraser, keys ...string) *materialize.EraseResult {
	t.Helper()
	r, err := e.Erase(within(t), eraseRequest(keys...), func(materialize.EraseProgress) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func eraseRequest(keys ...string) materialize.EraseRequest {
	req := materialize.EraseRequest{Entity: "user"}
	for _, k := range keys {
		req.Keys = append(req.Keys, feature.Key{feature.StringValue(k)})
	}
	return req
}

// wantMissing makes sure that both paths say that nothing is known of a user.
func (w *world) wantMissing(user string) {
	w.t.Helper()
	on, off := w.lookups(user)
	if want := fmt.Sprint(feature.Cell{}); on != want || off != want {
		w.t.Errorf("%s: %s online, %s offline, want %s", user, on, off, want)
	}
}

// filesWith returns the files of a folder that have a text in them.
func filesWith(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			found = append(found, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (w *world) importFile(text string) uint64 {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "clicks.jsonl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	im := &materialize.Importer{Archive: w.store, Log: w.log, Logger: w.logger, Now: start.Std}
	r, err := im.Import(within(w.t), materialize.ImportRequest{Source: clicks, Path: path, Format: rowfile.JSONL, Name: "clicks.jsonl"}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Seq
}

// TestErase: a key is gone from the history, the replica, the dead letters and the log, with its bytes; it stays so for a
// replica that is started again, that was away and that is new; and what comes later counts.
func TestErase(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	sink := w.sink()
	stopSink := run(t, sink.Run)
	replica := w.replica(sink)
	stop := run(t, replica.Run)
	w.publish(event{person, 1, 1}, event{"bob", 1, 2})
	w.publish(event{"bob", 2, 3})
	w.importFile(`{"user": "` + person + `", "at": "2023-11-14T22:13:25Z", "n": 4}` + "\n" + `{"user": "carol", "at": "2023-11-14T22:13:26Z", "n": 5}`)
	letters := []eventlog.Letter{
		{Source: "clicks", Reason: "bad", Raw: []byte(`{"user": "` + person + `", "at": 5}`)},
		{Source: "clicks", Reason: "bad", Raw: []byte(`{"user": "bob", "note": "about ` + person + `"}`)}, // bob's
		{Source: "clicks", Reason: "no such column", Raw: []byte(`{"usr": "` + person + `"}`)},
		{Source: "clicks", Reason: "not JSON", Raw: []byte(`{"user": "x` + person + ``)}, // another word
	}
	if err := w.log.Refuse(within(t), letters...); err != nil {
		t.Fatal(err)
	}
	last := w.publish(event{"bob", 3, 6})
	catchUp(t, replica, last)
	if err := errors.Join(stop(), w.online.Close()); err != nil {
		t.Fatal(err)
	}
	away := filepath.Join(w.dir, "away") // a replica at this position
	if err := os.CopyFS(away, os.DirFS(filepath.Join(w.dir, "replica"))); err != nil {
		t.Fatal(err)
	}
	if len(filesWith(t, filepath.Join(w.dir, "log"), person)) == 0 || len(filesWith(t, filepath.Join(w.dir, "replica"), person)) == 0 {
		t.Fatal("the test does not see the key in files before it is erased")
	}
	w.openReplica()
	replica = w.replica(sink)
	stop = run(t, replica.Run)
	catchUp(t, replica, last)
	w.wantBoth(person, 4)

	dry, err := w.eraser(sink, replica.Wait).Erase(within(t), materialize.EraseRequest{Entity: "user", Keys: eraseRequest(person).Keys, DryRun: true}, func(materialize.EraseProgress) {})
	if err != nil || dry.Seq != 0 || dry.Sources[0].Rows != 2 || dry.Letters != 2 {
		t.Errorf("a dry run = %+v, %v, want 2 rows and 2 letters", dry, err)
	}
	w.wantBoth(person, 4)

	r := erase(t, w.eraser(sink, replica.Wait), person, "nobody")
	if r.Sources[0].Source != "clicks" || r.Sources[0].Rows != 2 || r.Sources[1].Rows != 0 || r.Entries != 1 || r.Letters != 2 || len(r.Views) != 0 {
		t.Errorf("Erase = %+v, want 2 rows of clicks, 1 entry and 2 letters", r)
	}
	w.wantHistory("clicks", 5, 2, 3, 6)
	w.wantMissing(person)
	w.wantBoth("bob", 6)
	w.wantBoth("carol", 5)
	left, err := w.log.Letters(within(t), eventlog.LetterQuery{})
	if err != nil || len(left) != 2 {
		t.Errorf("letters %v, %v are left, want 2", left, err)
	}
	if err := w.log.Discard(within(t), left[0].Seq, left[1].Seq); err != nil {
		t.Fatal(err)
	}

	// Events after it count, also under the same key, and are erased again.
	catchUp(t, replica, w.publish(event{person, 0, 7}))
	w.wantBoth(person, 7)
	if r := erase(t, w.eraser(sink, replica.Wait), person); r.Sources[0].Rows != 1 || r.Entries != 1 {
		t.Errorf("Erase again = %+v, want 1 row in 1 entry", r)
	}
	w.wantMissing(person)
	if err := errors.Join(stop(), w.online.Close()); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"replica", "log"} {
		for _, file := range filesWith(t, filepath.Join(w.dir, dir), person) {
			if !strings.Contains(file, deadStream) { // the two letters that were discarded, not erased
				t.Errorf("%s still has the key", file)
			}
		}
	}

	for _, dir := range []string{"replica", "away", "new"} {
		if dir != "replica" {
			if err := os.RemoveAll(filepath.Join(w.dir, "replica")); err != nil {
				t.Fatal(err)
			}
		}
		if dir == "away" {
			if err := os.Rename(away, filepath.Join(w.dir, "replica")); err != nil {
				t.Fatal(err)
			}
		}
		w.openReplica()
		replica = w.replica(sink)
		stop = run(t, replica.Run)
		catchUp(t, replica, w.publish(event{"dave", 1, 8}))
		w.wantMissing(person)
		w.wantBoth("bob", 6)
		w.wantBoth("carol", 5)
		if err := errors.Join(stop(), w.online.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stopSink(); err != nil {
		t.Error(err)
	}
}

// deadStream is in the paths of the files of refused rows.
const deadStream = "LOCKSTEP_DEAD"

// slowPast shows a history that was read before an erase: it gives the last row of the first read when release is closed.
type slowPast struct {
	node.Past
	read, release chan struct{}
}

func (p *slowPast) Kept(ctx context.Context, v *feature.View, src *feature.Source, cut feature.Cut, generation uint64) (feature.Time, iter.Seq2[asof.Kept, error], error) {
	clock, rows, err := p.Past.Kept(ctx, v, src, cut, generation)
	if err != nil || v.Name != "last_click" {
		return clock, rows, err
	}
	select {
	case <-p.read: // not the first
		return clock, rows, nil
	default:
	}
	return clock, func(yield func(asof.Kept, error) bool) {
		for k, err := range rows {
			if !yield(k, err) {
				return
			}
		}
		close(p.read)
		select {
		case <-p.release:
		case <-ctx.Done():
			yield(asof.Kept{}, ctx.Err())
		}
	}, nil
}

// TestEraseWhileAViewJoins: what a view has merged of its history when a key is erased does not bring the key back.
func TestEraseWhileAViewJoins(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	sink := w.sink()
	stopSink := run(t, sink.Run)
	w.covers(sink, w.publish(event{person, 1, 1}, event{"bob", 1, 2}))
	past := &slowPast{node.Past{Store: w.store, Covered: sink}, make(chan struct{}), make(chan struct{})}
	replica := materialize.NewReplica(materialize.ReplicaConfig{
		Log: w.log, Past: past, Present: w.online, Logger: w.logger,
		Catalog: func() *feature.Catalog { return w.catalog }, Changed: func() <-chan struct{} { return nil },
	})
	stop := run(t, replica.Run)
	<-past.read
	erase(t, w.eraser(sink, replica.Wait), person)
	close(past.release)
	w.wantMissing(person)
	w.wantBoth("bob", 2)
	if err := errors.Join(stop(), stopSink()); err != nil {
		t.Error(err)
	}
}

// TestEraseCutOff: an erase that ended in the middle is of full effect, says what is left to do, and does it when it is
// repeated.
func TestEraseCutOff(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	sink := w.sink()
	replica := w.replica(sink)
	stop := run(t, sink.Run, replica.Run)
	catchUp(t, replica, w.publish(event{person, 1, 1}, event{"bob", 1, 2}))
	broken := errors.New("broken")
	_, err := w.eraser(sink, func(context.Context, uint64) error { return broken }).Erase(within(t), eraseRequest(person), func(materialize.EraseProgress) {})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "erase them again") {
		t.Errorf("Erase = %v, want what was broken and what to do", err)
	}
	_, last, err := w.log.Bounds(within(t))
	if err != nil {
		t.Fatal(err)
	}
	catchUp(t, replica, last)
	w.wantMissing(person)
	if len(filesWith(t, filepath.Join(w.dir, "log"), person)) == 0 {
		t.Error("the log does not have the key any more: the test tests nothing")
	}
	if r := erase(t, w.eraser(sink, replica.Wait), person); r.Sources[0].Rows != 0 || r.Entries != 1 {
		t.Errorf("Erase again = %+v, want 1 entry and no row", r)
	}
	if found := filesWith(t, filepath.Join(w.dir, "log"), person); len(found) > 0 {
		t.Errorf("%v still have the key", found)
	}
	w.wantMissing(person)
	w.wantBoth("bob", 2)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestEraseUnknown(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	e := w.eraser(nil, nil)
	w.catalog.Entities = append(w.catalog.Entities, &feature.Entity{Name: "empty"})
	for entity, code := range map[string]feature.Code{"nobody": feature.CodeNotFound, "empty": feature.CodeInvalid} {
		if _, err := e.Erase(within(t), materialize.EraseRequest{Entity: entity}, nil); feature.CodeOf(err) != code {
			t.Errorf("Erase of a key of %s = %v, want %s", entity, err, code)
		}
	}
}
