package offline

import (
	"context"
	"iter"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Kept returns the view's clock over events, and those of them that a replica keeps (rule C4): of all events visible at cut
// when generation is 0, else of the imported events of that generation alone, recorded in the log or not. The clock is
// asof.NoClock when there is none. Values are in the order of View.Inputs. For a view with windows the events are all that
// some window sees, and those from which row features are read; else one for each event time. The rows come key by key in
// no promised order, are read while the sequence is ranged over, and end with an error when reading fails; the sequence can
// be ranged over once.
func (s *Store) Kept(ctx context.Context, v *feature.View, src *feature.Source, cut feature.Cut, generation uint64) (clock feature.Time, rows iter.Seq2[asof.Kept, error], err error) {
	e, err := s.visible(ctx, src, readOf{edition: v.Edition.Number, cut: cut, generation: generation, keys: v.Keys, inputs: v.Inputs()})
	if err != nil {
		return 0, nil, err
	}
	clock, err = s.clock(ctx, e)
	if err != nil || clock == asof.NoClock {
		return asof.NoClock, func(func(asof.Kept, error) bool) {}, err
	}
	k, err := newKeptQuery(e, src, v)
	if err != nil {
		return 0, nil, err
	}
	k.doing = "read the history of " + v.Ref().String()
	keep := asof.Keep(clock, v.History, v.Delay)
	k.args = append(e.params(), clickhouse.Named("keep", int64(max(keep, feature.MinTime-1))),
		clickhouse.Named("from", int64(max(asof.KeepFrom(v, keep), feature.MinTime-1))))
	return clock, func(yield func(asof.Kept, error) bool) { s.streamKept(ctx, k, yield) }, nil
}

// clock is the view's clock over the events, or asof.NoClock.
func (s *Store) clock(ctx context.Context, e *events) (feature.Time, error) {
	sql, err := text("clock.sql", e)
	if err != nil {
		return 0, err
	}
	var n uint64
	var clock int64
	err = s.conn.QueryRow(ctx, sql, e.params()...).Scan(&n, &clock)
	if n == 0 || err != nil {
		return asof.NoClock, failure("read the clock of a view", err)
	}
	return feature.Time(clock), nil
}

// keptQuery reads events with what makes their positions.
type keptQuery struct {
	query
	view     *feature.View
	values   int      // inputs, the first ones of a row
	tiebreak int      // column of the row that holds the tiebreak, or -1
	ordered  []int    // columns of the row in order of name, for imported events
	names    []string // of those
	placed   bool     // rows have the generation and the place in it of imported events
	types    []feature.Type
}

// newKeptQuery reads what a replica keeps of the view.
func newKeptQuery(e *events, src *feature.Source, v *feature.View) (*keptQuery, error) {
	k := &keptQuery{view: v, placed: v.Windowed()}
	k.selectAll(e, src)
	sql, err := text("kept.sql", struct {
		*events
		Windowed, Latest bool
	}{e, k.placed, slices.ContainsFunc(v.Features, func(f feature.Feature) bool { return f.Window == nil })})
	k.sql = sql
	return k, err
}

// selectAll makes the events' columns their inputs, then the tiebreak, then, where imported events are among them, all
// columns of the source in order of name: what makes their whole positions.
func (k *keptQuery) selectAll(e *events, src *feature.Source) {
	k.selectPositions(e, src)
	if slices.ContainsFunc(e.Generations, func(g uint64) bool { return g != 0 }) {
		for _, i := range wire.ColumnOrder(src.Columns) {
			k.ordered, k.names = append(k.ordered, len(e.Columns)), append(k.names, src.Columns[i].Name)
			e.Columns = append(e.Columns, newValueColumn(src.Columns[i], src.Columns[i].Name == src.EventTime))
		}
	}
	k.types = e.types()
}

// selectPositions makes the events' columns their inputs and then the tiebreak.
func (k *keptQuery) selectPositions(e *events, src *feature.Source) {
	k.values, k.tiebreak = len(e.Columns), -1
	if src.Tiebreak != "" {
		k.tiebreak = len(e.Columns)
		e.Columns = append(e.Columns, newValueColumn(feature.Field{Name: src.Tiebreak, Type: tiebreakType(src)}, src.Tiebreak == src.EventTime))
	}
}

func (s *Store) streamKept(ctx context.Context, k *keptQuery, yield func(asof.Kept, error) bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := false
	err := s.eachKept(ctx, k, func(x asof.Kept) error {
		if !yield(x, nil) {
			stopped = true
			return context.Canceled
		}
		return nil
	})
	if err != nil && !stopped {
		yield(asof.Kept{}, err)
	}
}

// eachKept runs a query and calls row for every event, which it may keep.
func (s *Store) eachKept(ctx context.Context, k *keptQuery, row func(asof.Kept) error) error {
	key, into := newKey(k.view.Entity.Key)
	var eventTime int64
	var p asof.Position
	values, intoValues := newCells(k.types)
	into = append(into, &eventTime, &p.Seq, &p.Idx)
	var generation, place uint64
	if k.placed {
		into = append(into, &generation, &place)
	}
	into = append(into, intoValues...)
	return s.each(ctx, k.query, func(rows driver.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		p.EventTime = feature.Time(eventTime)
		e := k.event(values, p)
		if k.placed && p.Seq == 0 {
			// Rows of equal values are different events to a window.
			e.Columns = string(wire.AppendRowPlace([]byte(e.Columns), generation, place))
		}
		return row(asof.Kept{Key: keyOf(key), Event: e})
	})
}

// event returns the row as an event with its position; p has what every event has.
func (k *keptQuery) event(row *cells, p asof.Position) asof.Event {
	if k.tiebreak >= 0 {
		p.TieNull, p.Tie = row.isNull(k.tiebreak), 0
		if !p.TieNull {
			p.Tie = row.vars[k.tiebreak].num
		}
	}
	if p.Seq == 0 {
		var b []byte
		for j, i := range k.ordered {
			b = wire.AppendOrderedColumn(b, k.names[j], row.value(i))
		}
		p.Columns = string(b)
	}
	e := asof.Event{Position: p, Deleted: row.flags[0]&flagDeleted != 0, Values: make([]feature.Value, k.values)}
	for i := range e.Values {
		e.Values[i] = row.value(i)
	}
	return e
}
