package killtest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// patience bounds how long everything may take to be level with the log.
const patience = 3 * time.Minute

// check compares the log with what the producers know, and both stores with the log.
func (r *round) check(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	log, err := eventlog.Open(ctx, eventlog.Config{URL: r.stack.natsURL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer log.Close()
	var f *found
	for {
		level, err := r.level(waiting)
		if err != nil {
			return err
		}
		if f, err = r.read(ctx, log); err != nil {
			return err
		}
		// A message that the inbox has acknowledged may be on its way, or in the log since they were level.
		if err = r.missing(f); err == nil && f.end == level {
			break
		}
		if err == nil {
			err = fmt.Errorf("the log went on from %d to %d after all were level with it", level, f.end)
		}
		if !pause(waiting, 50*time.Millisecond) {
			return err
		}
	}
	r.stage("level")
	for _, step := range []struct {
		name    string
		compare func(context.Context, *found) error
	}{{"rows", r.compareRows}, {"imports", r.compareImports}, {"orders", r.compareOrders}, {"each", r.compareEach}, {"features", r.compareFeatures}, {"verify", r.verify}} {
		if err := step.compare(ctx, f); err != nil {
			return err
		}
		r.stage(step.name)
	}
	return nil
}

// level waits until nothing is behind the log and nothing is called stale, and returns the last sequence of the log.
func (r *round) level(ctx context.Context) (uint64, error) {
	var last *api.Status
	var lastErr error
	ok := until(ctx, 20*time.Millisecond, func() bool {
		s, err := r.stack.api().Status(ctx)
		if err != nil {
			lastErr = err
			return false
		}
		last, lastErr = s, nil
		return s.Log != nil && s.Sink.Watermark.Log == s.Log.ID && s.Sink.Watermark.Seq == s.Log.Last && s.Replica.Position.Log == s.Log.ID &&
			s.Replica.Position.Seq == s.Log.Last && s.Sink.Behind == 0 && s.Replica.Behind == 0 && s.Replica.LagMS == 0 && len(s.Stale) == 0 &&
			!slices.ContainsFunc(s.Replica.Views, func(v api.ViewStatus) bool { return !v.Ready })
	})
	if ok {
		return last.Log.Last, nil
	}
	if lastErr != nil {
		return 0, fmt.Errorf("status: %w", lastErr)
	}
	return 0, fmt.Errorf("status does not come back to lag 0 within %s: log %+v, sink %+v, replica %+v, stale %q", patience, last.Log, last.Sink, last.Replica, last.Stale)
}

// found is what the log holds.
type found struct {
	entries []eventlog.Entry
	end     uint64           // its last sequence
	rows    map[int64]int    // by batch, how many of its rows are there
	last    map[int64]uint64 // by batch, the sequence of its last row
	records map[uint64]int   // by generation, how many records it has

	imported map[uint64]int64 // by generation, the batch whose file it is
	tables   map[int64]bool   // batches that were copied from a table
}

var errEnd = errors.New("the end of the log")

// read reads the log and checks that every row is one that was sent, unchanged, and there once.
func (r *round) read(ctx context.Context, log *eventlog.Log) (*found, error) {
	f := &found{rows: map[int64]int{}, last: map[int64]uint64{}, records: map[uint64]int{}, imported: map[uint64]int64{}, tables: map[int64]bool{}}
	var err error
	if _, f.end, err = log.Bounds(ctx); err != nil {
		return nil, err
	}
	seen := map[int64]uint64{}
	err = log.Tail(ctx, 1, func(e eventlog.Entry) error {
		f.entries = append(f.entries, e)
		if e.Record != nil && e.Record.Kind == eventlog.RecordImport {
			f.records[e.Record.Generation]++
		}
		if e.Batch != nil {
			if err := r.readRows(f, e, seen); err != nil {
				return err
			}
		}
		if e.Seq >= f.end {
			return errEnd
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	return f, nil
}

func (r *round) readRows(f *found, e eventlog.Entry, seen map[int64]uint64) error {
	for i := range e.Batch.Rows {
		n := e.Batch.Column("number").Value(i).Int64()
		if at, twice := seen[n]; twice {
			return fmt.Errorf("row %d is in the log twice, at %d and %d", n, at, e.Seq)
		}
		seen[n] = e.Seq
		x := r.book.batches[batchOf(n)]
		want := rowOf(n)
		if x == nil || x.file || x.source != e.Batch.Source || !slices.EqualFunc(e.Batch.Row(i), want.values(), feature.Value.Equal) {
			return fmt.Errorf("row %d at %d of the log is not one that was sent: %v", n, e.Seq, e.Batch.Row(i))
		}
		f.rows[x.id]++
		f.last[x.id] = e.Seq
	}
	return nil
}

// missing says which batch is not in the log as it should be: whole if it is acknowledged, else whole or not at all.
func (r *round) missing(f *found) error {
	for id, x := range r.book.batches {
		switch n := f.rows[id]; {
		case x.file, x.source == "orders":
		case x.acked && n != x.rows:
			return fmt.Errorf("%d of the %d rows of batch %d of %s are in the log, and it was acknowledged at %d", n, x.rows, id, x.source, x.seq)
		case n != 0 && n != x.rows:
			return fmt.Errorf("%d of the %d rows of batch %d of %s are in the log: it was not acknowledged, but is there half", n, x.rows, id, x.source)
		case x.seq != 0 && x.seq != f.last[id]:
			return fmt.Errorf("batch %d of %s was acknowledged at %d and is at %d", id, x.source, x.seq, f.last[id])
		}
	}
	return nil
}

// compareRows compares the streamed rows in ClickHouse with the log, entry by entry.
func (r *round) compareRows(ctx context.Context, f *found) error {
	for _, source := range sources() {
		got, err := r.stack.api().SQL(ctx, `SELECT _seq, count(), uniqExact(_idx), max(_idx), uniqExact(number), sum(number * (_idx + 1)), sum(account * (_idx + 1)),
			sum(toInt64(substring(shop, 2)) * (_idx + 1)), sum(amount), sum(toUnixTimestamp64Micro(at) % 1000000007 * (_idx + 1)), countIf(gone), sum(lengthUTF8(note))
			FROM events_`+source+` WHERE _gen = 0 GROUP BY _seq ORDER BY _seq`)
		if err != nil {
			return err
		}
		next := 0
		for _, e := range f.entries {
			if e.Batch == nil || e.Batch.Source != source {
				continue
			}
			want := summary(e)
			if next == len(got.Rows) || got.Rows[next].Values()[0].Int64() > want[0] {
				return fmt.Errorf("the %d rows of %s at %d of the log are not in ClickHouse", e.Batch.Rows, source, e.Seq)
			}
			for i, v := range got.Rows[next].Values() {
				if v.Int64() != want[i] {
					return fmt.Errorf("the rows of %s at %d of the log are summed up as %v in ClickHouse, want %v", source, e.Seq, got.Rows[next].Values(), want)
				}
			}
			next++
		}
		if next < len(got.Rows) {
			return fmt.Errorf("ClickHouse has rows of %s that the log has not: %v", source, got.Rows[next].Values())
		}
	}
	return nil
}

// summary is what compareRows asks for, of the rows of an entry.
func summary(e eventlog.Entry) []int64 {
	n := int64(e.Batch.Rows)
	sums := []int64{int64(e.Seq), n, n, n - 1, n, 0, 0, 0, 0, 0, 0, 0}
	for i := range n {
		w := rowOf(e.Batch.Column("number").Value(int(i)).Int64())
		sums[5] += w.number * (i + 1)
		sums[6] += w.account * (i + 1)
		sums[7] += w.shopNumber() * (i + 1)
		if !w.null {
			sums[8] += w.amount
		}
		sums[9] += w.at.UnixMicro() % 1_000_000_007 * (i + 1)
		if w.gone {
			sums[10]++
		}
		sums[11] += int64(len(w.note))
	}
	return sums
}

// compareImports checks that what the log names is visible, whole and once, and that nothing else is.
func (r *round) compareImports(ctx context.Context, f *found) error {
	named, err := r.stack.api().SQL(ctx, "SELECT generation, source, min(seq) AS at FROM generations GROUP BY generation, source ORDER BY at")
	if err != nil {
		return err
	}
	visible, copies := map[int64]bool{}, 0
	for _, row := range named.Rows {
		gen := row.Values()[0].Int64()
		if row.Values()[1].Str() == "orders" {
			copies++
		} else {
			visible[gen] = true
		}
		if f.records[uint64(gen)] != 1 {
			return fmt.Errorf("the log has %d records of generation %d, which ClickHouse shows", f.records[uint64(gen)], gen)
		}
	}
	if len(visible)+copies != len(f.records) {
		return fmt.Errorf("the log records %d imports and ClickHouse shows %d", len(f.records), len(visible)+copies)
	}
	shown := map[int64]int64{} // generations by file
	for _, source := range sources() {
		got, err := r.stack.api().SQL(ctx, "SELECT _gen, count(), uniqExact(number), min(number), max(number), countIf(_seq != 0) FROM events_"+source+
			" WHERE _gen != 0 GROUP BY _gen")
		if err != nil {
			return err
		}
		for _, row := range got.Rows {
			v := row.Values()
			gen, rows, different, least, greatest, streamed := v[0].Int64(), v[1].Int64(), v[2].Int64(), v[3].Int64(), v[4].Int64(), v[5].Int64()
			if !visible[gen] {
				r.tell("%d rows of an interrupted import, which nobody sees", rows)
				continue
			}
			x := r.book.batches[batchOf(least)]
			if x == nil || !x.file || x.source != source || rows != int64(x.rows) || different != rows || least != number(x.id, 0) || greatest != number(x.id, x.rows-1) || streamed != 0 {
				return fmt.Errorf("generation %d of %s has %d rows, %d different, from %d to %d, %d streamed: it is not the file %+v", gen, source, rows, different, least, greatest, streamed, x)
			}
			if other, twice := shown[x.id]; twice {
				return fmt.Errorf("the file of batch %d is visible twice, as generations %d and %d", x.id, other, gen)
			}
			shown[x.id] = gen
			f.imported[uint64(gen)] = x.id
		}
	}
	if len(shown) != len(visible) {
		return fmt.Errorf("%d imports are recorded and %d have rows", len(visible), len(shown))
	}
	for _, x := range r.book.batches {
		if _, ok := shown[x.id]; x.file && x.acked && !ok {
			return fmt.Errorf("the import of batch %d was acknowledged and is not visible", x.id)
		}
	}
	return nil
}
