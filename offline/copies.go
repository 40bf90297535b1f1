package offline

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// A generation of a source with an id is rid of copies (rule E1) when the sink comes to its record: then the history holds
// all that arrived before it, and nothing else. So who fills a generation (an import, a copy of another table) needs to
// know nothing of what is there: it gives each row a _row of its own, the order of arrival within the generation, and
// its record a barrier in the log.

const (
	settleRows  = 1_000_000 // rows of a generation that are compared with the history at once
	settleParts = 10_000    // the most parts for that
	copiesRows  = 100_000   // copies found in a generation that are recorded at once
)

// arrived reads events with what rule E1 asks of them.
type arrived struct {
	*events
	IDs      []string // the parts of the id, never NULL
	Sum      string   // rowSum
	Place    string   // sequence at which the event arrived: its message's, or that of its import's record
	PlaceRow string   // its place in the message or the import
	TimeBase int64    // makes every event time positive
	Cuts     string   // of extent.sql
	Only     string   // a further condition, or ""
	places   []uint64 // for each of all generations the sequence of its record
	all      []uint64
}

func (s *Store) arrived(ctx context.Context, src *feature.Source, of readOf) (*arrived, error) {
	of.inputs = make([]feature.Input, len(src.Columns))
	for i, f := range src.Columns {
		of.inputs[i].Column = f.Name
	}
	e, err := s.visible(ctx, src, of)
	if err != nil {
		return nil, err
	}
	a := &arrived{
		events: e, TimeBase: -int64(feature.MinTime),
		Place:    "if(_gen = 0, _seq, transform(_gen, {places_of:Array(UInt64)}, {places:Array(UInt64)}, toUInt64(0)))",
		PlaceRow: "if(_gen = 0, toUInt64(_idx), _row)",
	}
	a.Sum = rowSum(e.Columns)
	for _, id := range src.ID {
		f, err := field(src, id)
		if err != nil {
			return nil, err
		}
		a.IDs = append(a.IDs, keyExpr(f, quote(id)))
	}
	sql, err := text("generation_places.sql", nil)
	if err != nil {
		return nil, err
	}
	err = s.conn.QueryRow(ctx, sql, clickhouse.Named("source", src.Name)).Scan(&a.all, &a.places)
	return a, failure("read the generations of "+src.Name, err)
}

func (a *arrived) params() []any {
	return append(a.events.params(), clickhouse.Named("places_of", a.all), clickhouse.Named("places", a.places))
}

// IDAliases are the aliases of the parts of the id.
func (a *arrived) IDAliases() []string {
	names := make([]string, len(a.IDs))
	for i := range names {
		names[i] = fmt.Sprintf("_i%d", i)
	}
	return names
}

// settle removes from a generation the rows that are copies, of what is visible in its edition or of an earlier row of it, and
// records them. It may run again, whatever became of an earlier attempt.
func (s *Store) settle(ctx context.Context, src *feature.Source, generation uint64, of readOf) error {
	a, err := s.arrived(ctx, src, of)
	if err != nil {
		return err
	}
	found, err := s.settleKnown(ctx, a, src, generation)
	if err != nil {
		return failure("look for copies in an import of "+src.Name, err)
	}
	if err := s.removeCopies(ctx, src, generation, found); err != nil {
		return err
	}
	if found, err = s.settleAlike(ctx, a, src, generation); err != nil {
		return failure("look for copies within an import of "+src.Name, err)
	}
	return s.removeCopies(ctx, src, generation, found)
}

// settleKnown records the rows that are copies of visible events, part by part of the generation's time. It reports
// whether there may be any.
func (s *Store) settleKnown(ctx context.Context, a *arrived, src *feature.Source, generation uint64) (bool, error) {
	bounds, err := s.extent(ctx, a, generation)
	if err != nil || bounds == nil {
		return false, err
	}
	sql, err := text("known.sql", a)
	if err != nil {
		return false, err
	}
	for i := range len(bounds) - 1 {
		from, to := bounds[i], bounds[i+1]
		if i > 0 {
			from++
		}
		if from > to {
			continue
		}
		err := s.conn.Exec(ctx, sql, append(a.params(),
			clickhouse.Named("source", src.Name), clickhouse.Named("generation", generation),
			clickhouse.Named("from", from), clickhouse.Named("to", to),
			clickhouse.Named("oldest", max(from-int64(src.Dedup), int64(feature.MinTime))), clickhouse.Named("newest", min(to+int64(src.Dedup), int64(feature.MaxTime))),
			clickhouse.Named("dedup", int64(src.Dedup)), clickhouse.Named("width", int64(src.Dedup)+1))...)
		if err != nil {
			return false, err
		}
	}
	duplicates, _, err := s.Copies(ctx, src.Name, generation)
	return duplicates > 0, err
}

// extent returns event times that cut a generation into parts, the first and the last included; nil if it has no rows.
func (s *Store) extent(ctx context.Context, a *arrived, generation uint64) ([]int64, error) {
	rows, bounds, err := s.quantiles(ctx, a, generation, 2)
	if err != nil || rows == 0 {
		return nil, err
	}
	if parts := min(settleParts, rows/settleRows+1); parts > 1 {
		_, bounds, err = s.quantiles(ctx, a, generation, int(parts))
	}
	return bounds, err
}

func (s *Store) quantiles(ctx context.Context, a *arrived, generation uint64, parts int) (rows uint64, bounds []int64, err error) {
	cuts := make([]string, parts-1)
	for i := range cuts {
		cuts[i] = fmt.Sprintf("%g", float64(i+1)/float64(parts))
	}
	a.Cuts = strings.Join(cuts, ", ")
	sql, err := text("extent.sql", a)
	if err != nil {
		return 0, nil, err
	}
	var first, last int64
	err = s.conn.QueryRow(ctx, sql, clickhouse.Named("generation", generation)).Scan(&rows, &first, &last, &bounds)
	bounds = append(append([]int64{first}, bounds...), last)
	slices.Sort(bounds)
	return rows, bounds, err
}

// settleAlike records the rows that are copies of an earlier row of the generation, which has no copies of anything else.
func (s *Store) settleAlike(ctx context.Context, a *arrived, src *feature.Source, generation uint64) (bool, error) {
	sql, err := text("alike.sql", a)
	if err != nil {
		return false, err
	}
	j := &alike{store: s, source: src.Name, generation: generation, place: a.Sequence + 1, span: src.Dedup}
	fields, err := idFields(src)
	if err != nil {
		return false, err
	}
	id, into := newKey(fields)
	var t int64
	var r arrivedRow
	into = append(into, &t, &r.sum, &r.row)
	err = s.each(ctx, query{"read rows of one id", sql, []any{clickhouse.Named("generation", generation)}}, func(rows driver.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		r.time = feature.Time(t)
		return j.take(ctx, keyOf(id), r)
	})
	if err != nil {
		return false, err
	}
	return j.found, j.flush(ctx)
}

// arrivedRow is a row of a generation.
type arrivedRow struct {
	time feature.Time
	sum  uint64
	row  uint64
}

// alike judges the rows of a generation, id by id in the order of their arrival.
type alike struct {
	store      *Store
	source     string
	generation uint64
	place      uint64
	span       feature.Span
	id         feature.Key
	events     []arrivedRow // of id, in order of time; any two are more than span apart
	found      bool
	rows       []uint64 // copies that are not recorded yet
	conflicts  []bool
	of         []uint64
}

func (j *alike) take(ctx context.Context, id feature.Key, r arrivedRow) error {
	if j.id == nil || !j.id.Equal(id) {
		j.id, j.events = id, j.events[:0]
	}
	at, _ := slices.BinarySearchFunc(j.events, r.time, func(e arrivedRow, t feature.Time) int { return int(min(max(e.time-t, -1), 1)) })
	var first *arrivedRow
	for i := max(at-1, 0); i < min(at+1, len(j.events)); i++ { // the events before and after it are the near ones
		e := &j.events[i]
		if max(e.time, r.time).Sub(min(e.time, r.time)) <= j.span && (first == nil || e.row < first.row) {
			first = e
		}
	}
	if first == nil {
		j.events = slices.Insert(j.events, at, r)
		return nil
	}
	j.found = true
	j.rows, j.conflicts, j.of = append(j.rows, r.row), append(j.conflicts, first.sum != r.sum), append(j.of, first.row)
	if len(j.rows) < copiesRows {
		return nil
	}
	return j.flush(ctx)
}

// flush records copies.
func (j *alike) flush(ctx context.Context) error {
	n := len(j.rows)
	if n == 0 {
		return nil
	}
	in := insertion{table: "copies", columns: []stored{
		{"source", "String", slices.Repeat([]string{j.source}, n)},
		{"generation", "UInt64", slices.Repeat([]uint64{j.generation}, n)},
		{"row", "UInt64", j.rows},
		{"conflict", "Bool", j.conflicts},
		{"of_seq", "UInt64", slices.Repeat([]uint64{j.place}, n)},
		{"of_row", "UInt64", j.of},
	}}
	j.rows, j.conflicts, j.of = nil, nil, nil
	return failure("record copies", j.store.insert(ctx, in))
}

// removeCopies removes the rows of a generation that are recorded as copies.
func (s *Store) removeCopies(ctx context.Context, src *feature.Source, generation uint64, found bool) error {
	if !found {
		return nil
	}
	sql, err := text("copies_remove.sql", quote(eventTable(src.Name)))
	if err != nil {
		return err
	}
	err = s.conn.Exec(ctx, sql, clickhouse.Named("source", src.Name), clickhouse.Named("generation", generation))
	return failure("remove copies from an import of "+src.Name, err)
}

// Copies returns how many rows of a generation are no events because they are copies, and how many of these differ from
// their event (rule E1). It is known once the watermark covers the generation's record.
func (s *Store) Copies(ctx context.Context, source string, generation uint64) (duplicates, conflicts int64, err error) {
	sql, err := text("copies_count.sql", nil)
	if err != nil {
		return 0, 0, err
	}
	err = s.conn.QueryRow(ctx, sql, clickhouse.Named("source", source), clickhouse.Named("generation", generation)).Scan(&duplicates, &conflicts)
	return duplicates, conflicts, failure("count copies", err)
}

// Conflicts returns rows of a generation that differ from the events that they are copies of, in order, limit at the most.
func (s *Store) Conflicts(ctx context.Context, source string, generation uint64, limit int) ([]feature.Copy, error) {
	sql, err := text("copies_conflicts.sql", nil)
	if err != nil {
		return nil, err
	}
	var out []feature.Copy
	q := query{"read the conflicts of " + source, sql, []any{clickhouse.Named("source", source), clickhouse.Named("generation", generation), clickhouse.Named("limit", int64(limit))}}
	err = s.each(ctx, q, func(rows driver.Rows) error {
		c := feature.Copy{Conflict: true}
		var row uint64
		if err := rows.Scan(&row, &c.Of.Seq, &c.Of.Row); err != nil {
			return err
		}
		c.Row = int(row)
		out = append(out, c)
		return nil
	})
	return out, err
}
