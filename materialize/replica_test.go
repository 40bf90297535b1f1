package materialize_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/materialize"
)

// catchUp waits until the replica has applied seq.
func catchUp(t *testing.T, r *materialize.Replica, seq uint64) {
	t.Helper()
	if err := r.Wait(within(t), seq); err != nil {
		t.Fatal(err)
	}
}

// TestReplicaWasAway trims the log behind the position of a replica that does not run: it begins anew and misses nothing.
func TestReplicaWasAway(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	sink := w.sink()
	stopSink := run(t, sink.Run)
	replica := w.replica(sink)
	stop := run(t, replica.Run)
	catchUp(t, replica, w.publish(event{"u", 1, 1}, event{"away", 1, 5}))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if w.said.has("the replica begins anew") {
		t.Error("a new replica says that it begins anew")
	}
	w.publish(event{"u", 2, 2})
	last := w.publish(event{"u", 3, 3})
	w.covers(sink, last)
	if err := w.log.Trim(within(t), last); err != nil {
		t.Fatal(err)
	}
	replica = w.replica(sink)
	stop = run(t, replica.Run)
	catchUp(t, replica, w.publish(event{"v", 1, 7}))
	w.wantBoth("u", 3)
	w.wantBoth("away", 5)
	w.wantBoth("v", 7)
	if !w.said.has("the log does not reach back to it") {
		t.Error("it was not said that the replica begins anew")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := stopSink(); err != nil {
		t.Error(err)
	}
}

// TestReplicaIsAhead gives a replica a position that the log does not reach: it begins anew.
func TestReplicaIsAhead(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	sink := w.sink()
	stopSink := run(t, sink.Run)
	last := w.publish(event{"u", 1, 1})
	w.covers(sink, last)
	// It has applied entries that the log has lost.
	if err := w.online.Restart(feature.Cut{Log: w.log.ID(), Seq: 0}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.online.Follow(w.catalog); err != nil {
		t.Fatal(err)
	}
	for _, v := range w.catalog.Views {
		if err := w.online.SetReady(v.Ref()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.online.Apply(last+3, start, rowsOf(clicks, event{"u", 9, 999})); err != nil {
		t.Fatal(err)
	}
	replica := w.replica(sink)
	stop := run(t, replica.Run)
	catchUp(t, replica, last)
	w.wantBoth("u", 1)
	if !w.said.has("it has lost its end") {
		t.Error("it was not said that the replica begins anew")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := stopSink(); err != nil {
		t.Error(err)
	}
}

// TestReplicaOfAnotherProcess runs a replica beside a Follower, in a process without a sink: it waits for the watermark.
func TestReplicaOfAnotherProcess(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	follower := materialize.NewFollower(w.store, w.logger)
	replica := w.replica(follower)
	stop := run(t, follower.Run, replica.Run)
	last := w.publish(event{"u", 1, 1})
	if replica.Adopted() != nil {
		t.Error("the replica follows before anybody knows the watermark")
	}
	stopSink := run(t, w.sink().Run)
	catchUp(t, replica, last)
	w.covers(follower, last)
	w.wantBoth("u", 1)
	if err := follower.Failure(); err != nil {
		t.Error(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := stopSink(); err != nil {
		t.Error(err)
	}
}

// TestReplicaRebuilds loads a view again when the log says so, and takes an import in at its record.
func TestReplicaRebuilds(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	sink := w.sink()
	replica := w.replica(sink)
	stop := run(t, sink.Run, replica.Run)
	catchUp(t, replica, w.publish(event{"u", 1, 1}))
	importer := w.importer(nil)
	path := w.file("history.jsonl", `{"user": "u", "at": "2023-11-15T00:00:00Z", "n": 2}`)
	r, err := importer.Import(within(t), materialize.ImportRequest{Source: clicks, Path: path, Format: rowfile.JSONL, Name: "history.jsonl"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	catchUp(t, replica, r.Seq)
	w.wantBoth("u", 2)
	seq, err := w.log.PublishRecord(within(t), eventlog.Record{ID: "again", Kind: eventlog.RecordRebuild, Views: []string{"last_click"}})
	if err != nil {
		t.Fatal(err)
	}
	catchUp(t, replica, seq)
	w.wantBoth("u", 2)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestWaitSaysHowFar ends waits early: the error says how far the mover came.
func TestWaitSaysHowFar(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	sink := w.sink()
	replica := w.replica(sink)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{"sink": sink.Wait(ctx, 7), "replica": replica.Wait(ctx, 7)} {
		if feature.CodeOf(err) != feature.CodeUnavailable {
			t.Errorf("%s: %v, want %s", name, err, feature.CodeUnavailable)
		}
	}
}

// TestReplicaOnDisk goes on from the position of the last run without a new beginning.
func TestReplicaOnDisk(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.openReplica()
	sink := w.sink()
	stopSink := run(t, sink.Run)
	replica := w.replica(sink)
	stop := run(t, replica.Run)
	catchUp(t, replica, w.publish(event{"u", 1, 1}))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := w.online.Close(); err != nil {
		t.Fatal(err)
	}
	last := w.publish(event{"v", 1, 2})
	w.openReplica()
	if got := w.online.Position(); got.Log != w.log.ID() || got.Seq != 1 {
		t.Errorf("Position = %v, want 1 of %s", got, w.log.ID())
	}
	replica = w.replica(sink)
	stop = run(t, replica.Run)
	catchUp(t, replica, last)
	w.wantBoth("u", 1)
	w.wantBoth("v", 2)
	if w.said.has("begins anew") {
		t.Error("the replica began anew")
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if err := stopSink(); err != nil {
		t.Error(err)
	}
}

func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	writeFile(w.t, path, text)
	return path
}
