package materialize_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/materialize"
)

// TestSinkExactlyOnce cuts the connections to ClickHouse, again and again, and begins the sink anew now and then: every row is
// in the history once, over many partitions and in two tables.
func TestSinkExactlyOnce(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	cut := &cutter{dial: chtest.Engine(t).DialContext, random: rand.New(rand.NewPCG(1, 2))}
	w.openStore(cut.dialContext)
	const calls, perCall = 30, 60
	var want []int64
	publish := func(from, to int) uint64 {
		var last uint64
		for i := from; i < to; i++ {
			var events []event
			for k := range perCall {
				n := int64(i*perCall + k)
				events = append(events, event{"u", k * 31 * 24 * 60, n}) // a month each
				want = append(want, n)
			}
			seq, err := w.log.Publish(within(t), rowsOf(clicks, events...), rowsOf(orders, events...))
			if err != nil {
				t.Fatal(err)
			}
			last = seq
		}
		return last
	}
	for round := range 3 {
		cut.set(true)
		sink := w.sink()
		stop := run(t, sink.Run)
		last := publish(round*calls/3, (round+1)*calls/3)
		eventually(t, "connections are cut, or all is in", func() bool { return cut.count() >= 4*(round+1) || sink.Watermark().Seq >= last })
		if round == 2 { // the last one ends in peace
			cut.set(false)
			w.covers(sink, last)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	for _, source := range []string{"clicks", "orders"} {
		var rows, different, partitions uint64
		sql := fmt.Sprintf("SELECT count(), uniqExact(n), uniqExact(toYYYYMM(at)) FROM events_%s", source)
		if err := w.conn.QueryRow(t.Context(), sql).Scan(&rows, &different, &partitions); err != nil {
			t.Fatal(err)
		}
		if rows != calls*perCall || different != rows || partitions < 50 {
			t.Errorf("%s: %d rows, %d different, in %d partitions; want %d of each, in at least 50", source, rows, different, partitions, calls*perCall)
		}
	}
	if cut.count() < 8 {
		t.Errorf("%d connections were cut, want at least 8", cut.count())
	}
}

// TestSinkGathers checks that empty row groups, of which every message from the inbox for a source with an id leaves one, do
// not end a batch, and that a record does.
func TestSinkGathers(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	var want []int64
	for n := range int64(5) {
		w.publish(event{"u", int(n), n})
		want = append(want, n)
		if err := w.log.PublishBarrier(within(t), rowsOf(clicks)); err != nil {
			t.Fatal(err)
		}
	}
	last, err := w.log.PublishRecord(within(t), eventlog.Record{ID: "end", Kind: eventlog.RecordRebuild})
	if err != nil {
		t.Fatal(err)
	}
	sink := materialize.NewSink(materialize.SinkConfig{Log: w.log, History: node.History{Store: w.store}, Logger: w.logger, Wait: time.Hour})
	stop := run(t, sink.Run)
	w.covers(sink, last)
	w.wantHistory("clicks", want...)
	var first uint64
	if err := w.conn.QueryRow(t.Context(), "SELECT max(first) FROM sink_batches").Scan(&first); err != nil {
		t.Fatal(err)
	}
	if first != 1 {
		t.Errorf("the last batch is of the entries %d to %d, want all of them in one", first, last)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// cutter dials connections that break now and then.
type cutter struct {
	dial func(context.Context, string) (net.Conn, error)

	mu     sync.Mutex
	random *rand.Rand
	on     bool
	cuts   int
}

func (c *cutter) set(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
}

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

func (c *cutter) dialContext(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: conn, cutter: c}, nil
}

// cutConn breaks before every tenth read or write or so.
type cutConn struct {
	net.Conn
	cutter *cutter
}

func (c *cutConn) broken() bool {
	c.cutter.mu.Lock()
	defer c.cutter.mu.Unlock()
	if !c.cutter.on || c.cutter.random.IntN(10) > 0 {
		return false
	}
	c.cutter.cuts++
	_ = c.Close()
	return true
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.broken() {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	if c.broken() {
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(p)
}

// TestSinkOfAnotherLog makes the log anew: the history goes on, with what the old log gave still in it.
func TestSinkOfAnotherLog(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	sink := w.sink()
	stop := run(t, sink.Run)
	last := w.publish(event{"u", 1, 1}, event{"v", 1, 2})
	w.covers(sink, last)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	id := w.log.ID()
	_ = w.log.Close()
	if err := os.RemoveAll(filepath.Join(w.dir, "log")); err != nil {
		t.Fatal(err)
	}
	w.openLog(eventlog.Config{})
	sink = w.sink()
	stop = run(t, sink.Run)
	seq := w.publish(event{"u", 1, 3}) // at the instant of the first: the later arrival is the newer one (O1)
	if w.log.ID() == id || seq != last+1 {
		t.Errorf("log %s after %s, first sequence %d, want another log and %d", w.log.ID(), id, seq, last+1)
	}
	w.covers(sink, seq)
	w.wantHistory("clicks", 1, 2, 3)
	w.openReplica()
	replica := w.replica(sink)
	stopReplica := run(t, replica.Run)
	if err := replica.Wait(within(t), seq); err != nil {
		t.Fatal(err)
	}
	w.wantBoth("u", 3)
	w.wantBoth("v", 2)
	if err := errors.Join(stopReplica(), stop()); err != nil {
		t.Fatal(err)
	}
	if !w.said.has("the history goes on with another log") {
		t.Error("it was not said that the log is another one")
	}
}

// TestSinkOfAForeignLog gives a history to a log that has entries of its own: it is refused, not mixed.
func TestSinkOfAForeignLog(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	sink := w.sink()
	stop := run(t, sink.Run)
	w.covers(sink, w.publish(event{"u", 1, 1}))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// A log that was made for this history would go on behind it; this one is another deployment's.
	foreign, err := eventlog.Open(t.Context(), eventlog.Config{Dir: t.TempDir(), Durability: eventlog.OS, Logger: w.logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { foreign.Close() })
	w.log = foreign
	w.publish(event{"u", 1, 7})
	if err := w.sink().Run(within(t)); !errors.Is(err, feature.ErrConflict) {
		t.Errorf("Run = %v, want %s", err, feature.CodeConflict)
	}
	w.wantHistory("clicks", 1)
}

// TestSinkTakesOutAnUnfinishedBatch leaves a batch half in and then loses the log's end: none of it stays.
func TestSinkTakesOutAnUnfinishedBatch(t *testing.T) {
	w := newWorld(t)
	w.openLog(eventlog.Config{})
	w.publish(event{"u", 1, 1})
	sink := w.sink()
	stop := run(t, sink.Run)
	w.covers(sink, 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// A batch up to 5, of which the rows of entry 2 and 3 got in.
	for _, sql := range []string{
		"INSERT INTO sink_batches (log, first, last) VALUES ('" + w.log.ID() + "', 2, 5)",
		"INSERT INTO events_clicks (user, _us_at, n, _us__available_at, _seq, _idx, _gen) VALUES ('u', 0, 2, 0, 2, 0, 0), ('u', 0, 3, 0, 3, 0, 0)",
	} {
		if err := w.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	w.publish(event{"u", 2, 22}) // the log has come back up to 1 and goes on
	id := w.log.ID()
	_ = w.log.Close()
	w.openLog(eventlog.Config{})
	if w.log.ID() == id {
		t.Error("a log that lost its end kept its identity")
	}
	sink = w.sink()
	stop = run(t, sink.Run)
	w.covers(sink, w.publish(event{"u", 3, 33}))
	w.wantHistory("clicks", 1, 22, 33)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestSinkPassesOverDamage damages the log in three ways: what is left gets into the history, what is lost leaves a letter.
func TestSinkPassesOverDamage(t *testing.T) {
	damages := map[string]struct {
		do      func(t *testing.T, w *world, s jetstream.Stream)
		want    []int64
		letters int
		raw     string
	}{
		"a message that cannot be read": {func(t *testing.T, w *world, _ jetstream.Stream) {
			if _, err := w.log.JetStream().Publish(within(t), "lockstep.log.clicks.0", []byte("damaged")); err != nil {
				t.Fatal(err)
			}
		}, []int64{1, 2, 3, 4, 5}, 1, "damaged"},
		"messages that cannot be read, one behind the other": {func(t *testing.T, w *world, _ jetstream.Stream) {
			for range 3 {
				if _, err := w.log.JetStream().Publish(within(t), "lockstep.log.clicks.0", []byte("damaged")); err != nil {
					t.Fatal(err)
				}
			}
		}, []int64{1, 2, 3, 4, 5}, 3, "damaged"},
		"messages that are gone": {func(t *testing.T, _ *world, s jetstream.Stream) {
			for _, seq := range []uint64{2, 3} {
				if err := s.DeleteMsg(within(t), seq); err != nil {
					t.Fatal(err)
				}
			}
		}, []int64{1, 4, 5}, 1, ""},
		"a beginning that is gone": {func(t *testing.T, _ *world, s jetstream.Stream) {
			if err := s.Purge(within(t), jetstream.WithPurgeSequence(4)); err != nil {
				t.Fatal(err)
			}
		}, []int64{4, 5}, 1, ""},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.openLog(eventlog.Config{})
			for n := range int64(4) {
				w.publish(event{"u", int(n), n + 1})
			}
			s, err := w.log.JetStream().Stream(within(t), "LOCKSTEP_LOG")
			if err != nil {
				t.Fatal(err)
			}
			damage.do(t, w, s)
			last := w.publish(event{"u", 5, 5})
			w.openReplica()
			sink := w.sink()
			replica := w.replica(sink)
			stop := run(t, sink.Run, replica.Run)
			w.covers(sink, last)
			w.wantHistory("clicks", damage.want...)
			letters, err := w.log.Letters(within(t), eventlog.LetterQuery{})
			if err != nil || len(letters) != damage.letters || string(letters[0].Raw) != damage.raw {
				t.Errorf("letters %+v, %v; want %d with %q", letters, err, damage.letters, damage.raw)
			}
			_, last, err = w.log.Bounds(within(t)) // behind it there is a record
			if err == nil {
				err = replica.Wait(within(t), last)
			}
			if err != nil {
				t.Fatal(err)
			}
			w.wantBoth("u", 5)
			if err := stop(); err != nil {
				t.Error(err)
			}
			if !w.said.has("the log has lost entries that the history does not have") {
				t.Error("the loss was not logged")
			}
		})
	}
}

// TestSinkPassesOverDamageWithinABatch loses entries of a batch that was begun: the batch keeps its bounds.
func TestSinkPassesOverDamageWithinABatch(t *testing.T) {
	for name, first := range map[string]uint64{"its beginning": 3, "all of it": 6} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.openLog(eventlog.Config{})
			for n := range int64(6) {
				w.publish(event{"u", int(n), n + 1})
			}
			if err := w.store.Follow(t.Context(), w.log.ID(), 0); err != nil {
				t.Fatal(err)
			}
			if err := w.conn.Exec(t.Context(), "INSERT INTO sink_batches (log, first, last) VALUES ('"+w.log.ID()+"', 1, 4)"); err != nil {
				t.Fatal(err)
			}
			if err := w.log.Trim(within(t), first); err != nil {
				t.Fatal(err)
			}
			sink := w.sink()
			stop := run(t, sink.Run)
			w.covers(sink, 6)
			var want []int64
			for n := int64(first); n <= 6; n++ {
				want = append(want, n)
			}
			w.wantHistory("clicks", want...)
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
