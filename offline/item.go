package offline

import (
	"context"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// itemReader makes the cells of one item of the plan, spine row by spine row.
type itemReader struct {
	view    *feature.View
	keys    []int // for each part of the view's key its place among the spine's columns
	latest  *latestStream
	windows *windowStream
	streams []*ridStream // all that these read

	asked bool         // whether the spine row sought last has a key (rule K3)
	hi    feature.Time // of that row
}

// newItemReader prepares the queries for an item; an item whose source has no event table needs none.
func (t *TrainingSet) newItemReader(ctx context.Context, item int) (*itemReader, error) {
	it := &t.ask.Plan.Items[item]
	r := &itemReader{view: it.View}
	for _, name := range it.Keys {
		r.keys = append(r.keys, t.spine.at[feature.FieldIndex(t.ask.Plan.Keys, name)])
	}
	src, err := t.store.known(ctx, it.View.Source)
	if err != nil {
		return nil, err
	}
	latest, windows := askedFeatures(t.ask.Plan, item)
	if len(windows) > 0 {
		if r.windows, err = t.newWindowStream(ctx, src, it, windows); err != nil {
			return nil, err
		}
		r.streams = append(r.streams, r.windows.streams()...)
	}
	if len(latest) > 0 && src != nil {
		if r.latest, err = t.newLatestStream(ctx, src, it); err != nil {
			return nil, err
		}
		r.streams = append(r.streams, &r.latest.ridStream)
	}
	return r, nil
}

// askedFeatures are the features of an item that the plan asks for: those of rows and those of windows.
func askedFeatures(p *feature.Plan, item int) (latest, windows []int) {
	for _, slot := range p.Slots {
		switch {
		case slot.Item != item:
		case p.Items[item].View.Features[slot.Feature].Window != nil:
			windows = append(windows, slot.Feature)
		default:
			latest = append(latest, slot.Feature)
		}
	}
	return latest, windows
}

// latestInputs are the inputs of the view's row features, and for each feature the place of its own among them.
func latestInputs(v *feature.View) (inputs []feature.Input, column []int) {
	column = make([]int, len(v.Features))
	all := v.Inputs()
	for i, in := range all {
		used := false
		for f := range v.Features {
			if v.Features[f].Window == nil && v.InputOf(f, all) == i {
				column[f], used = len(inputs), true
			}
		}
		if used {
			inputs = append(inputs, in)
		}
	}
	return inputs, column
}

// seek moves to a spine row that comes after the one sought before.
func (r *itemReader) seek(row *spineStream) error {
	r.asked, r.hi = true, asof.Hi(feature.Time(row.time), r.view.Delay)
	for _, i := range r.keys {
		r.asked = r.asked && !row.cells.isNull(i)
	}
	for _, s := range r.streams {
		if err := s.seek(row.rid); err != nil {
			return err
		}
	}
	return nil
}

// writer adds the value of feature f for the spine row sought last to a column.
func (r *itemReader) writer(f int) func(to *feature.Column) {
	def := &r.view.Features[f]
	if def.Window == nil {
		return func(to *feature.Column) { to.Append(r.row(def, f).Value) }
	}
	unkeyed, null := asof.Unkeyed(def).Value, asof.Windowed(def, feature.Value{}).Value
	finish, row := r.windows.finisher(f), &r.windows.row
	return func(to *feature.Column) {
		switch {
		case !r.asked:
			to.Append(unkeyed)
		case !finish(row, to):
			to.Append(null)
		}
	}
}

// row returns the cell of a row feature.
func (r *itemReader) row(def *feature.Feature, f int) feature.Cell {
	switch {
	case r.latest != nil && r.latest.match:
		return r.latest.cell(def, f, r.hi)
	case !r.asked:
		return asof.Unkeyed(def)
	default:
		return asof.Latest(def, nil, feature.Value{}, r.hi)
	}
}

// ridStream reads queries, one after the other, whose rows begin with the number of a spine row and come in its order. Spine rows
// may have none.
type ridStream struct {
	query query   // the one that is read
	later []query // those that come after it
	ask   func(query) (driver.Rows, error)
	rows  driver.Rows
	into  []any
	rid   uint64 // of the row scanned last; noRow at the end
	match bool   // whether the row scanned last is of the spine row sought last
}

const noRow = math.MaxUint64

// open asks the first query; ctx holds for the others too.
func (s *ridStream) open(ctx context.Context, store *Store) error {
	s.ask = func(q query) (driver.Rows, error) { return store.conn.Query(ctx, q.sql, q.args...) }
	if err := s.askNext(); err != nil {
		return err
	}
	return s.advance()
}

func (s *ridStream) askNext() error {
	s.query, s.later = s.later[0], s.later[1:]
	rows, err := s.ask(s.query)
	if err != nil {
		return failure(s.query.doing, err)
	}
	s.rows = rows
	return nil
}

func (s *ridStream) close() error {
	if s.rows == nil {
		return nil
	}
	return s.rows.Close()
}

// advance scans the next row.
func (s *ridStream) advance() error {
	for !s.rows.Next() {
		if err := s.rows.Err(); err != nil { // at the end they are closed
			return failure(s.query.doing, err)
		}
		if len(s.later) == 0 {
			s.rid = noRow
			return nil
		}
		if err := s.askNext(); err != nil {
			return err
		}
	}
	return failure(s.query.doing, s.rows.Scan(s.into...))
}

func (s *ridStream) seek(rid uint64) error {
	for s.rid < rid {
		if err := s.advance(); err != nil {
			return err
		}
	}
	s.match = s.rid == rid
	return nil
}

// latestStream reads the newest event of each spine row for one item. Rows with a NULL key are not in it (rule K3).
type latestStream struct {
	ridStream
	time   int64
	cells  *cells
	column []int // for each feature of the view the place of its input
	event  asof.Event
}

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

func (t *TrainingSet) newLatestStream(ctx context.Context, src *feature.Source, it *feature.Item) (*latestStream, error) {
	s := t.store
	inputs, column := latestInputs(it.View)
	e, err := s.visible(ctx, src, readOf{edition: it.View.Edition.Number, cut: t.ask.Cut, at: t.at, keys: it.View.Keys, inputs: inputs})
	if err != nil {
		return nil, err
	}
	rows, err := t.eventRows(ctx, src.Name)
	if err != nil {
		return nil, err
	}
	q := trainQuery{
		events: e, packed: newPacked(src, e), Available: t.ask.Clock == feature.ClockAvailable,
		Spine: quote(t.spine.table), SpineKeys: t.spineKeys(it), OnlyKeys: rows > sparse*t.spine.rows,
	}
	if q.Ranked, err = s.tied(ctx, src, e); err != nil {
		return nil, err
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
	st := &latestStream{column: column}
	st.later = []query{{"compute " + it.Role, sql, args}}
	var into []any
	st.cells, into = newCells(e.types())
	st.into = append([]any{&st.rid, &st.time}, into...)
	return st, nil
}

// spineKeys are the columns of the staged spine that hold the parts of the item's key.
func (t *TrainingSet) spineKeys(it *feature.Item) []spineKey {
	var keys []spineKey
	for _, name := range it.Keys {
		keys = append(keys, t.spine.keys[feature.FieldIndex(t.ask.Plan.Keys, name)])
	}
	return keys
}

// cell returns a row feature of the spine row sought last.
func (s *latestStream) cell(def *feature.Feature, f int, hi feature.Time) feature.Cell {
	if s.cells.flags[0]&flagMatched == 0 {
		return asof.Latest(def, nil, feature.Value{}, hi)
	}
	s.event.EventTime, s.event.Deleted = feature.Time(s.time), s.cells.flags[0]&flagDeleted != 0
	return asof.Latest(def, &s.event, s.cells.value(s.column[f]), hi)
}
