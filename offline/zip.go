package offline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Batches yields the rows of the training set in spine order (rule S1), each batch with the set's Fields and owned by the
// caller. One query runs for each view and role; their rows are put together here. It can be ranged over once; an error
// ends it.
func (t *TrainingSet) Batches(ctx context.Context) iter.Seq2[*feature.Batch, error] {
	return func(yield func(*feature.Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		z, err := t.open(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		defer z.close()
		for {
			b, err := z.next(t.store.cfg.ChunkRows)
			if err != nil {
				yield(nil, err)
				return
			}
			if b.Rows == 0 || !yield(b, nil) {
				return
			}
		}
	}
}

// zipper reads the spine and the newest events of each item side by side.
type zipper struct {
	set   *TrainingSet
	spine *spineStream
	items []*itemStream // nil where the item's source has no event table
	held  int64         // of Store.streams
}

func (t *TrainingSet) open(ctx context.Context) (*zipper, error) {
	z := &zipper{set: t, items: make([]*itemStream, len(t.ask.Plan.Items))}
	held := int64(len(z.items) + 1)
	if most := int64(max(2, t.store.cfg.Connections-4)); held > most {
		return nil, feature.Errorf(feature.CodeTooLarge, "the training set reads %d views and roles; at most %d fit: raise the connections to ClickHouse", len(z.items), most-1)
	}
	if err := t.store.streams.Acquire(ctx, held); err != nil {
		return nil, fmt.Errorf("wait for other training sets: %w", err)
	}
	z.held = held
	if err := z.openAll(ctx); err != nil {
		return nil, errors.Join(err, z.close())
	}
	return z, nil
}

// openAll starts one query after the other: each answers when its sweep is done, so that they do not compete for memory.
func (z *zipper) openAll(ctx context.Context) error {
	for i := range z.set.ask.Plan.Items {
		var err error
		if z.items[i], err = z.set.openItem(ctx, &z.set.ask.Plan.Items[i]); err != nil {
			return err
		}
	}
	var err error
	z.spine, err = z.set.openSpine(ctx)
	return err
}

func (z *zipper) close() error {
	var errs []error
	for _, it := range z.items {
		if it != nil {
			errs = append(errs, it.rows.Close())
		}
	}
	if z.spine != nil {
		errs = append(errs, z.spine.rows.Close())
	}
	z.set.store.streams.Release(z.held)
	return errors.Join(errs...)
}

// next returns up to n rows; none at the end.
func (z *zipper) next(n int) (*feature.Batch, error) {
	fields := z.set.Fields
	b := &feature.Batch{Fields: fields, Columns: make([]feature.Column, len(fields))}
	for i, f := range fields {
		b.Columns[i] = newColumnFor(f.Type, n)
	}
	plan := z.set.ask.Plan
	own := len(fields) - len(plan.Slots)
	for b.Rows < n {
		ok, err := z.spine.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return b, nil
		}
		for i := range own {
			z.spine.cells.appendTo(&b.Columns[i], i)
		}
		for _, it := range z.items {
			if it != nil {
				if err := it.seek(z.spine.rid); err != nil {
					return nil, err
				}
			}
		}
		for i, slot := range plan.Slots {
			v := plan.Items[slot.Item].View
			cell := z.items[slot.Item].cell(v, slot.Feature, asof.Hi(feature.Time(z.spine.time), v.Delay))
			b.Columns[own+i].Append(cell.Value)
		}
		b.Rows++
	}
	return b, nil
}

func newColumnFor(t feature.Type, n int) feature.Column {
	c := feature.Column{Type: t}
	switch {
	case t.List:
		c.Lists = make([][]feature.Value, 0, n)
	case t.Kind == feature.KindFloat64:
		c.Floats = make([]float64, 0, n)
	case t.Kind == feature.KindString:
		c.Strs = make([]string, 0, n)
	default:
		c.Ints = make([]int64, 0, n)
	}
	return c
}

// appendTo adds column i of the row to a column of its type.
func (c *cells) appendTo(to *feature.Column, i int) {
	v := &c.vars[i]
	if to.Nulls != nil || c.isNull(i) || to.Type.List {
		to.Append(c.value(i))
		return
	}
	switch to.Type.Kind {
	case feature.KindFloat64:
		to.Floats = append(to.Floats, v.float)
	case feature.KindString:
		to.Strs = append(to.Strs, v.str)
	default:
		to.Ints = append(to.Ints, v.num)
	}
}

// spineStream reads the staged spine in order.
type spineStream struct {
	rows  driver.Rows
	into  []any
	rid   uint64
	time  int64
	cells *cells
}

func (t *TrainingSet) openSpine(ctx context.Context) (*spineStream, error) {
	columns := make([]valueColumn, len(t.spine.fields))
	types := make([]feature.Type, len(columns))
	for i, f := range t.spine.fields {
		columns[i] = stagedValue(f, i)
		types[i] = f.Type
	}
	sql, err := text("spine_read.sql", struct {
		Table   string
		Flags   []string
		Columns []valueColumn
	}{quote(t.spine.table), flagWords(columns, "toUInt64(1)"), columns})
	if err != nil {
		return nil, err
	}
	s := &spineStream{}
	var into []any
	s.cells, into = newCells(types)
	s.into = append([]any{&s.rid, &s.time}, into...)
	if s.rows, err = t.store.conn.Query(ctx, sql); err != nil {
		return nil, failure("read the spine", err)
	}
	return s, nil
}

// stagedValue is column i of a staged spine as queries return it; instants are microseconds already.
func stagedValue(f feature.Field, i int) valueColumn {
	raw := f
	if raw.Type.Kind == feature.KindTimestamp {
		raw.Type.Kind = feature.KindInt64
	}
	c := newColumn(raw, spineColumn(i), spineHas(i), false)
	c.Field = f
	return c
}

func (s *spineStream) next() (bool, error) {
	if !s.rows.Next() {
		return false, failure("read the spine", s.rows.Err())
	}
	return true, failure("read the spine", s.rows.Scan(s.into...))
}

// itemStream reads the newest event of each spine row for one item. Rows with a NULL key are not in it (rule K3).
type itemStream struct {
	doing  string
	rows   driver.Rows
	into   []any
	rid    uint64 // of the row scanned last; noRow at the end
	time   int64
	cells  *cells
	column []int // for each feature of the view the place of its column
	match  bool  // whether the row scanned last is of the spine row sought last, and has an event
	event  asof.Event
}

const noRow = math.MaxUint64

// trainQuery is what train.sql needs.
type trainQuery struct {
	*events
	packed
	Ranked    bool // positions are ranks, because events differ in their columns alone (rule O2)
	Available bool // the clock is available (rule S2)
	Spine     string
	SpineKeys []spineKey
	OnlyKeys  bool
}

// sparse is how many times more events than spine rows there must be before events of other keys are sorted out first:
// that costs a look at each, which pays only when most of them go.
const sparse = 20

func (t *TrainingSet) openItem(ctx context.Context, it *feature.Item) (*itemStream, error) {
	s := t.store
	src, err := s.known(ctx, it.View.Source)
	if src == nil || err != nil {
		return nil, err
	}
	e, err := s.visible(ctx, src, readOf{edition: it.View.Edition.Number, cut: t.ask.Cut, keys: it.View.Keys, columns: it.View.Columns()})
	if err != nil {
		return nil, err
	}
	rows, err := s.eventRows(ctx, src.Name)
	if err != nil {
		return nil, err
	}
	q := trainQuery{
		events: e, packed: newPacked(src, e), Available: t.ask.Clock == feature.ClockAvailable,
		Spine: quote(t.spine.table), OnlyKeys: rows > sparse*t.spine.rows,
	}
	if q.Ranked, err = s.tied(ctx, src, e); err != nil {
		return nil, err
	}
	for _, name := range it.Keys {
		q.SpineKeys = append(q.SpineKeys, t.spine.keys[feature.FieldIndex(t.ask.Plan.Keys, name)])
	}
	name := "train.sql"
	if q.Available || q.Ranked || rows > uint64(s.cfg.JoinRows) {
		name = "train_large.sql"
	}
	sql, err := text(name, q)
	if err != nil {
		return nil, err
	}
	last := max(asof.Hi(t.spine.last, it.View.Delay), feature.MinTime)
	args := append(e.params(), clickhouse.Named("last", int64(last)), clickhouse.Named("delay", int64(it.View.Delay)))
	st := &itemStream{doing: "compute " + it.Role, column: featureColumns(it.View)}
	var into []any
	st.cells, into = newCells(e.types())
	st.into = append([]any{&st.rid, &st.time}, into...)
	if st.rows, err = s.conn.Query(ctx, sql, args...); err != nil {
		return nil, failure(st.doing, err)
	}
	return st, st.advance()
}

// advance scans the next row.
func (s *itemStream) advance() error {
	if !s.rows.Next() {
		s.rid = noRow
		return failure(s.doing, s.rows.Err())
	}
	return failure(s.doing, s.rows.Scan(s.into...))
}

// seek moves to the spine row rid, which comes after the one sought before.
func (s *itemStream) seek(rid uint64) error {
	for s.rid < rid {
		if err := s.advance(); err != nil {
			return err
		}
	}
	s.match = s.rid == rid && s.cells.flags[0]&flagMatched != 0
	s.event.EventTime, s.event.Deleted = feature.Time(s.time), s.cells.flags[0]&flagDeleted != 0
	return nil
}

// cell returns feature f of the spine row sought last; a nil stream has no events.
func (s *itemStream) cell(v *feature.View, f int, hi feature.Time) feature.Cell {
	if s == nil || !s.match {
		return asof.Latest(&v.Features[f], nil, feature.Value{}, hi)
	}
	return asof.Latest(&v.Features[f], &s.event, s.cells.value(s.column[f]), hi)
}
