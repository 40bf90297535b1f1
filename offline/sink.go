package offline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cespare/xxhash/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// Entry is an entry of the log on its way into the history. One of Batch, Import and Erase may be set; an entry with none
// only moves the watermark.
type Entry struct {
	Seq    uint64
	Taken  feature.Time   // when the log took it: available_at of its rows (rule T2)
	Batch  *feature.Batch // rows of one source, whose table Ensure has made
	Import *ImportRecord
	Erase  []feature.Erasure // rule E3
}

// ImportRecord says that a generation of imported events counts from its entry on (rule C3).
type ImportRecord struct {
	Source     string
	Generation uint64
	Edition    uint64 // that it belongs to (rule E2)
}

// progress is what the system tables say about the sink.
type progress struct {
	mark feature.Cut       // the watermark, of the log that the history follows now; Log "" when nothing was ever taken in
	at   time.Time         // when the history came to it, by ClickHouse's clock
	open feature.Cut       // last sequence of the batch of that log begun last
	from uint64            // its first sequence
	logs map[string]uint64 // every log that the history ever followed, with its watermark
}

// unfinished reports whether the batch begun last has not moved the watermark.
func (p *progress) unfinished() bool { return p.open.Log != "" && p.open.Seq > p.mark.Seq }

// progress reads the system tables. A history that went on with another log has rows of several: sequences only grow, so
// that the greatest watermark is the present one, of equal ones the latest.
func (s *Store) progress(ctx context.Context) (progress, error) {
	sql, err := text("progress.sql", nil)
	if err != nil {
		return progress{}, err
	}
	ctx, cancel := inTime(ctx, s.cfg.Patience)
	defer cancel()
	p := progress{logs: map[string]uint64{}}
	batches := map[string]progress{}
	err = s.each(ctx, query{"read the watermark", sql, nil}, func(rows driver.Rows) error {
		var what, log string
		var first, last uint64
		var at time.Time
		if err := rows.Scan(&what, &log, &first, &last, &at); err != nil {
			return err
		}
		if what == "watermark" {
			p.logs[log] = last
		}
		switch {
		case what == "batch":
			batches[log] = progress{open: feature.Cut{Log: log, Seq: last}, from: first}
		case p.mark.Log == "" || last > p.mark.Seq || last == p.mark.Seq && at.After(p.at):
			p.mark, p.at = feature.Cut{Log: log, Seq: last}, at
		}
		return nil
	})
	b := batches[p.mark.Log]
	p.open, p.from = b.open, b.from
	return p, err
}

// Watermark returns the cut that the history covers; its Log is "" when nothing was ever taken in.
func (s *Store) Watermark(ctx context.Context) (feature.Cut, error) {
	p, err := s.progress(ctx)
	return p.mark, err
}

// Reach is how far the history knows the log.
type Reach struct {
	Watermark feature.Cut
	Begun     uint64    // the last sequence of the batch begun last; 0 when there was none
	At        time.Time // when the watermark was reached, by ClickHouse's clock
}

// Reach returns how far the history knows the log: nothing of it as long as there are no system tables.
func (s *Store) Reach(ctx context.Context) (Reach, error) {
	p, err := s.progress(ctx)
	if e, ok := errors.AsType[*clickhouse.Exception](err); ok && e.Code == unknownTable {
		return Reach{}, nil
	}
	return Reach{p.mark, p.open.Seq, p.at}, err
}

// Recover returns the watermark and the last sequence of a batch that was begun and not finished, 0 when there is none. The
// next Append must then carry exactly the entries after the watermark up to that sequence.
func (s *Store) Recover(ctx context.Context) (watermark feature.Cut, open uint64, err error) {
	p, err := s.progress(ctx)
	if err != nil || !p.unfinished() {
		return p.mark, 0, err
	}
	return p.mark, p.open.Seq, nil
}

// Follow makes the history go on with another log behind a sequence, which is not before the watermark: what Append adds
// next is of that log. The log has nothing between the watermark and there, and up to the watermark only what the history
// has. An unfinished batch of the log so far is taken out again, because the new log may hold other entries in its place.
// Again with the same log Follow changes nothing.
func (s *Store) Follow(ctx context.Context, logID string, after uint64) error {
	p, err := s.progress(ctx)
	if err != nil || p.mark.Log == logID {
		return err
	}
	if p.unfinished() {
		if err := s.removeAbove(ctx, p.mark.Seq); err != nil {
			return err
		}
	}
	at := max(now(), p.at.UnixMicro()+1) // later than the last, whatever the clocks say
	first := insertion{table: "watermarks", columns: []stored{
		{"log", "String", []string{logID}}, {"seq", "UInt64", []uint64{max(after, p.mark.Seq)}}, {"reached_at", "DateTime64(6, 'UTC')", []time.Time{time.UnixMicro(at).UTC()}},
	}}
	return failure("follow another log", s.insert(ctx, first))
}

// removeAbove takes out what the log gave above a sequence.
func (s *Store) removeAbove(ctx context.Context, seq uint64) error {
	tables := []string{"generations"}
	q := query{
		"look for event tables", "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {prefix:String})",
		[]any{clickhouse.Named("prefix", eventPrefix)},
	}
	err := s.each(ctx, q, func(rows driver.Rows) error {
		var name string
		err := rows.Scan(&name)
		tables = append(tables, name)
		return err
	})
	if err != nil {
		return err
	}
	for _, table := range tables {
		column := "_seq"
		if table == "generations" {
			column = "seq"
		}
		sql, err := text("remove_above.sql", struct{ Table, Column string }{quote(table), column})
		if err != nil {
			return err
		}
		if err := s.conn.Exec(ctx, sql, clickhouse.Named("seq", seq)); err != nil {
			return failure("take an unfinished batch out of "+table, err)
		}
	}
	return nil
}

// Append adds entries, which are in ascending order of Seq and all of the log logID, to the history exactly once, and
// advances the watermark to the last of them. The history follows that log since Follow. After an error it is not known which of them are in: the next Append must
// carry the same entries, which Recover delimits. An Append of another log, of entries below the watermark or of other
// entries than those of an unfinished batch is a CodeConflict error and changes nothing.
func (s *Store) Append(ctx context.Context, logID string, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	p, err := s.progress(ctx)
	if err != nil {
		return err
	}
	first, last := entries[0].Seq, entries[len(entries)-1].Seq
	if err := p.accepts(logID, entries); err != nil {
		return err
	}
	again := p.unfinished()
	if !again {
		begun := insertion{table: "sink_batches", columns: []stored{
			{"log", "String", []string{logID}}, {"first", "UInt64", []uint64{first}}, {"last", "UInt64", []uint64{last}},
		}}
		if err := s.insert(ctx, begun); err != nil {
			return failure("begin a batch", err)
		}
	}
	groups, err := s.group(entries)
	if err != nil {
		return err
	}
	for _, g := range groups {
		in := g.insertion()
		in.token = fmt.Sprintf("%s/%d-%d/%s/%016x", logID, first, last, in.table, g.shape())
		err := s.insert(ctx, in)
		if err == nil && again {
			err = s.complete(ctx, g, in)
		}
		if err != nil {
			return failure("insert events of "+g.source, err)
		}
	}
	// Behind all rows, also where the batch was begun before: what is erased may just have been written again.
	if err := s.takeRecords(ctx, entries); err != nil {
		return err
	}
	done := insertion{table: "watermarks", columns: []stored{{"log", "String", []string{logID}}, {"seq", "UInt64", []uint64{last}}}}
	return failure("advance the watermark", s.insert(ctx, done))
}

// accepts returns an error unless the entries may come next.
func (p *progress) accepts(logID string, entries []Entry) error {
	first, last := entries[0].Seq, entries[len(entries)-1].Seq
	if !slices.IsSortedFunc(entries, func(a, b Entry) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1 // equal sequences are out of order too
	}) {
		return fmt.Errorf("append to the history: entries %d to %d are not in order", first, last)
	}
	if p.mark.Log != logID {
		return feature.Errorf(feature.CodeConflict, "the history follows log %q, not log %q", p.mark.Log, logID)
	}
	switch {
	case first <= p.mark.Seq:
		return feature.Errorf(feature.CodeConflict, "the history covers the log up to %d: entry %d cannot be added again", p.mark.Seq, first)
	case p.unfinished() && (first != p.from || last != p.open.Seq):
		return feature.Errorf(feature.CodeConflict, "the batch of entries %d to %d was begun and must be finished first, not %d to %d", p.from, p.open.Seq, first, last)
	}
	return nil
}

// rowGroup is the rows of entries that go in by one insert.
type rowGroup struct {
	source    string
	eventTime string
	batch     feature.Batch
	marks     marks
}

// group puts the entries' rows together by source and columns, in order of first use: a function of the entries alone, so
// that a replay makes the same inserts under the same tokens, even when an entry has been lost since.
func (s *Store) group(entries []Entry) ([]*rowGroup, error) {
	var groups []*rowGroup
	for _, e := range entries {
		if e.Batch == nil || e.Batch.Rows == 0 {
			continue
		}
		at := slices.IndexFunc(groups, func(g *rowGroup) bool {
			return g.source == e.Batch.Source && slices.Equal(g.batch.Fields, e.Batch.Fields)
		})
		if at < 0 {
			src := s.source(e.Batch.Source)
			if src == nil {
				return nil, feature.Errorf(feature.CodeUnavailable, "the definition of source %s has not arrived at the history yet", e.Batch.Source)
			}
			g := &rowGroup{source: src.Name, eventTime: src.EventTime}
			g.batch = feature.Batch{Source: src.Name, Fields: e.Batch.Fields, Columns: make([]feature.Column, len(e.Batch.Columns))}
			for i := range g.batch.Columns {
				g.batch.Columns[i].Type = e.Batch.Columns[i].Type
			}
			groups = append(groups, g)
			at = len(groups) - 1
		}
		groups[at].add(e)
	}
	return groups, nil
}

func (g *rowGroup) insertion() insertion {
	return insertion{table: eventTable(g.source), columns: append(eventRows(&g.batch, g.eventTime), g.marks.columns()...)}
}

// shape tells groups of one source apart.
func (g *rowGroup) shape() uint64 {
	h := xxhash.New()
	for _, f := range g.batch.Fields {
		fmt.Fprintf(h, "%q %s\n", f.Name, f.Type)
	}
	return h.Sum64()
}

func (g *rowGroup) add(e Entry) {
	g.batch.AppendBatch(e.Batch)
	for i := range e.Batch.Rows {
		g.marks.available = append(g.marks.available, int64(e.Taken))
		g.marks.seq = append(g.marks.seq, e.Seq)
		g.marks.idx = append(g.marks.idx, uint32(i))
		g.marks.gen = append(g.marks.gen, 0)
	}
}

// takeRecords does what entries without rows say, one after the other: it erases, and makes generations visible, each
// without the rows that are copies of what was visible before it.
func (s *Store) takeRecords(ctx context.Context, entries []Entry) error {
	for _, e := range entries {
		if err := s.erase(ctx, e.Erase, e.Seq); err != nil {
			return err
		}
		if e.Import == nil {
			continue
		}
		src := s.source(e.Import.Source)
		if src == nil {
			return feature.Errorf(feature.CodeUnavailable, "the definition of source %s has not arrived at the history yet", e.Import.Source)
		}
		if len(src.ID) > 0 {
			if err := s.settle(ctx, src, e.Import.Generation, readOf{edition: e.Import.Edition, cut: feature.Cut{Seq: e.Seq - 1}}); err != nil {
				return err
			}
		}
		in := insertion{table: "generations", columns: []stored{
			{"source", "String", []string{e.Import.Source}},
			{"generation", "UInt64", []uint64{e.Import.Generation}},
			{"seq", "SimpleAggregateFunction(min, UInt64)", []uint64{e.Seq}},
			{"edition", "SimpleAggregateFunction(max, UInt64)", []uint64{e.Import.Edition}},
		}}
		if err := s.insert(ctx, in); err != nil {
			return failure("record an import", err)
		}
	}
	return nil
}

// now is for marks in system tables and names of staged tables, never for an answer.
func now() int64 { return time.Now().UnixMicro() }
