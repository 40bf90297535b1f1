package semtest_test

import (
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/derive"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/identity"
	"github.com/lockstepfs/lockstep/internal/semtest"
	"github.com/lockstepfs/lockstep/internal/wire"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/online"
)

// mode is what happens to the online store between two steps.
type mode string

const (
	inMemory  mode = "online"
	flushed   mode = "online, flushed after every step"
	restarted mode = "online, restarted after every step"
	joined    mode = "online, views joining before every read" // history and stream overlap (C1, C3)
)

func TestOnline(t *testing.T) {
	for _, m := range []mode{inMemory, flushed, restarted, joined} {
		t.Run(string(m), func(t *testing.T) { testExecution(t, onlineExecution(m)) })
	}
}

func onlineExecution(m mode) semtest.Execution {
	return semtest.Execution{Name: string(m), ForcesTaken: true, Open: func(_ context.Context, c *feature.Catalog) (semtest.Engine, error) {
		ids, err := knowing(c)
		if err != nil {
			return nil, err
		}
		e := &onlineEngine{mode: m, catalog: c, ids: ids}
		if m == restarted {
			if e.dir, err = os.MkdirTemp("", "semtest-"); err != nil {
				return nil, err
			}
		}
		return e, e.begin()
	}}
}

// onlineEngine is the online store, given what the log and the offline store would give it.
type onlineEngine struct {
	mode    mode
	catalog *feature.Catalog
	dir     string // "" keeps the store in memory
	store   *online.Store
	ids     *identity.Index
	seq     uint64
	log     []entry
	solid   int // entries of log that an erase lies behind: what they hold comes from the history alone
}

// entry is an entry of the log: rows that it took, or the rows of an import.
type entry struct {
	seq      uint64
	taken    feature.Time
	rows     *feature.Batch
	imported bool
	edition  uint64 // of what is imported
	erased   []bool // by row
}

// begin opens a store that has seen nothing and follows the catalog.
func (e *onlineEngine) begin() error {
	if err := e.open(); err != nil {
		return err
	}
	if err := e.store.Restart(feature.Cut{Log: "log"}); err != nil {
		return err
	}
	joining, err := e.store.Follow(e.catalog)
	if err != nil {
		return err
	}
	for _, v := range joining {
		if err := e.store.SetReady(v.Ref()); err != nil {
			return err
		}
	}
	return nil
}

// Change lets the views that come join with all that the log has.
func (e *onlineEngine) Change(_ context.Context, c *feature.Catalog) error {
	e.catalog = c
	if err := adopt(e.ids, c); err != nil {
		return err
	}
	joining, err := e.store.Follow(c)
	if err != nil {
		return err
	}
	for _, v := range joining {
		if err := errors.Join(e.merge(v, e.log), e.store.SetReady(v.Ref())); err != nil {
			return err
		}
	}
	return e.between()
}

func (e *onlineEngine) open() (err error) {
	e.store, err = online.Open(online.Config{Dir: e.dir, CacheBytes: 1 << 20, LeafEvents: 3})
	return err
}

func (e *onlineEngine) Push(_ context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.take(m, false, feature.Edition{})
}

func (e *onlineEngine) Import(_ context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.take(m, true, e.catalog.Source(m.Source).Edition)
}

func (e *onlineEngine) Replace(_ context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.take(m, true, feature.Edition{Number: e.seq + 1, Seq: e.seq + 1})
}

// Erase takes the key's events out of the log too, as ClickHouse loses them, and lets views join anew that lose events of
// other keys.
func (e *onlineEngine) Erase(_ context.Context, entity string, key feature.Key) (semtest.Receipt, error) {
	erasures, err := materialize.Erasures(e.catalog, entity, []feature.Key{key})
	if err != nil {
		return semtest.Receipt{}, err
	}
	e.seq++
	for _, x := range e.log {
		for i := range x.rows.Rows {
			for _, erasure := range erasures {
				if erasure.Source != x.rows.Source || !erasure.Holds(x.rows, i) {
					continue
				}
				x.erased[i] = true
				if src := e.catalog.Source(erasure.Source); len(src.ID) > 0 {
					if err := e.ids.Forget(src, x.rows.Slice(i, i+1), e.seq); err != nil {
						return semtest.Receipt{}, err
					}
				}
			}
		}
	}
	e.solid = len(e.log)
	if e.mode == joined {
		return semtest.Receipt{Seq: e.seq}, nil
	}
	for _, v := range e.catalog.Views {
		if err := e.forget(v, erasures, key); err != nil {
			return semtest.Receipt{}, err
		}
	}
	return semtest.Receipt{Seq: e.seq}, errors.Join(e.store.Advance(e.seq), e.between())
}

func (e *onlineEngine) forget(v *feature.View, erasures []eventlog.Erasure, key feature.Key) error {
	touched, own := false, true
	for _, x := range erasures {
		if x.Source == v.Source {
			touched, own = true, own && slices.Equal(x.Columns, v.Keys)
		}
	}
	switch {
	case !touched:
		return nil
	case own:
		return e.store.Erase(v.Ref(), []feature.Key{key})
	default:
		return errors.Join(e.store.Rejoin(v.Ref()), e.merge(v, e.log), e.store.SetReady(v.Ref()))
	}
}

func (e *onlineEngine) take(m semtest.Message, imported bool, edition feature.Edition) (semtest.Receipt, error) {
	rows, err := admit(e.catalog.Source(m.Source), m)
	if err != nil {
		return semtest.Receipt{}, err
	}
	e.seq++
	rows, receipt, err := e.distinct(rows, edition.Number)
	if err != nil {
		return semtest.Receipt{}, err
	}
	receipt.Taken, receipt.Edition = m.Taken, edition
	x := entry{seq: e.seq, taken: m.Taken, rows: rows, imported: imported, edition: edition.Number, erased: make([]bool, rows.Rows)}
	e.log = append(e.log, x)
	if e.mode != joined {
		err = e.apply(x)
	}
	return receipt, errors.Join(err, e.between())
}

// distinct returns the rows that are events (E1). What is imported into a later edition is compared with what is pushed and with
// that edition alone (E2).
func (e *onlineEngine) distinct(rows *feature.Batch, edition uint64) (*feature.Batch, semtest.Receipt, error) {
	src := e.catalog.Source(rows.Source)
	if edition == 0 || len(src.ID) == 0 {
		return distinct(e.ids, e.catalog, rows, e.seq)
	}
	ids, err := knowing(e.catalog)
	if err != nil {
		return nil, semtest.Receipt{}, err
	}
	seen := func(x entry) bool { return !x.imported || x.edition == edition }
	if err := e.learn(ids, src, seen); err != nil {
		return nil, semtest.Receipt{}, errors.Join(err, ids.Close())
	}
	fresh, receipt, err := distinct(ids, e.catalog, rows, e.seq)
	if err == nil {
		err = e.ids.Add(src, fresh, func(i int) feature.Place { return feature.Place{Seq: e.seq, Row: uint64(i)} })
	}
	return fresh, receipt, errors.Join(err, e.learn(e.ids, src, func(entry) bool { return true }), ids.Close())
}

// learn makes an index know some entries' rows: of those with one id and time the first to arrive, which it learns last.
func (e *onlineEngine) learn(ids *identity.Index, src *feature.Source, which func(entry) bool) (err error) {
	for _, x := range slices.Backward(e.log) {
		for i := x.rows.Rows - 1; i >= 0; i-- {
			if x.rows.Source == src.Name && which(x) && !x.erased[i] {
				err = errors.Join(err, ids.Add(src, x.rows.Slice(i, i+1), func(int) feature.Place { return feature.Place{Seq: x.seq, Row: uint64(i)} }))
			}
		}
	}
	return err
}

func (e *onlineEngine) apply(x entry) error {
	if !x.imported {
		return e.store.Apply(x.seq, x.taken, x.rows)
	}
	for _, v := range e.catalog.Views {
		if v.Source == x.rows.Source && v.Edition.Number == x.edition {
			if err := e.merge(v, []entry{x}); err != nil {
				return err
			}
		}
	}
	return e.store.Advance(x.seq)
}

// merge merges the events of some entries into a view, as ClickHouse would send them.
func (e *onlineEngine) merge(v *feature.View, from []entry) error {
	src := e.catalog.Source(v.Source)
	clock := asof.NoClock
	var kept []asof.Kept
	for _, x := range from {
		if x.rows.Source != v.Source || x.imported && x.edition != v.Edition.Number {
			continue
		}
		for i := range x.rows.Rows {
			k, available := eventOf(v, src, x, i)
			if k.Key.HasNull() || x.erased[i] {
				continue
			}
			clock = max(clock, asof.Clock(k.Event.EventTime, available))
			kept = append(kept, k)
		}
	}
	return e.store.Merge(v.Ref(), clock, each(kept))
}

func each(kept []asof.Kept) iter.Seq2[asof.Kept, error] {
	return func(yield func(asof.Kept, error) bool) {
		for _, k := range kept {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// eventOf returns a row as an event of the view, and when it was available (T2).
func eventOf(v *feature.View, src *feature.Source, x entry, row int) (asof.Kept, feature.Time) {
	value := func(column string) feature.Value {
		if c := x.rows.Column(column); c != nil {
			return c.Value(row)
		}
		return feature.Value{} // a column that came later
	}
	var k asof.Kept
	for _, column := range v.Keys {
		k.Key = append(k.Key, value(column))
	}
	for _, in := range v.Inputs() {
		k.Event.Values = append(k.Event.Values, inputOf(src, in, value))
	}
	k.Event.EventTime = value(src.EventTime).Time()
	if src.Tiebreak != "" {
		tie := value(src.Tiebreak)
		k.Event.TieNull, k.Event.Tie = tie.IsNull(), tie.Int64()
	}
	k.Event.Deleted = src.Deleted != "" && value(src.Deleted).Bool()
	if !x.imported {
		k.Event.Seq, k.Event.Idx = x.seq, uint32(row)
		return k, x.taken
	}
	columns := wire.AppendRowOrder(nil, x.rows, row, wire.ColumnOrder(x.rows.Fields))
	if v.Windowed() {
		columns = wire.AppendRowPlace(columns, x.seq, uint64(row))
	}
	k.Event.Columns = string(columns)
	if src.AvailableAt != "" && !value(src.AvailableAt).IsNull() {
		return k, value(src.AvailableAt).Time()
	}
	return k, k.Event.EventTime
}

// inputOf returns what a view reads of an event.
func inputOf(src *feature.Source, in feature.Input, value func(column string) feature.Value) feature.Value {
	if in.Where != "" {
		values := map[string]feature.Value{}
		for _, f := range src.Columns {
			values[f.Name] = value(f.Name)
		}
		if !semtest.Holds(src, in.Where, values) {
			return feature.Value{}
		}
	}
	if in.Computed != nil {
		return semtest.Formula(in.Computed.Expr, func(name string) (feature.Value, feature.Type) {
			t, _ := feature.TypeIn(src.Columns)(name)
			return value(name), t
		})
	}
	if in.Column == feature.AnyEvent {
		return feature.BoolValue(true)
	}
	return value(in.Column)
}

// between does what the mode says.
func (e *onlineEngine) between() error {
	switch e.mode {
	case flushed:
		return e.store.Flush()
	case restarted:
		if err := errors.Join(e.store.Close(), e.open()); err != nil {
			return err
		}
		joining, err := e.store.Follow(e.catalog)
		if err == nil && len(joining) > 0 {
			err = errors.New("views that were ready join again after a restart")
		}
		return err
	default:
		return nil
	}
}

// join makes a new store whose views join at the middle of the log: history up to a later place is merged while the
// rest of the log was applied already, so a part comes twice.
func (e *onlineEngine) join() error {
	if err := e.store.Close(); err != nil {
		return err
	}
	if err := e.open(); err != nil {
		return err
	}
	middle := max(len(e.log)/2, e.solid)
	cut := feature.Cut{Log: "log"}
	if middle > 0 {
		cut.Seq = e.log[middle-1].seq
	}
	if err := e.store.Restart(cut); err != nil {
		return err
	}
	joining, err := e.store.Follow(e.catalog)
	if err != nil {
		return err
	}
	for _, x := range e.log[middle:] {
		if err := e.apply(x); err != nil {
			return err
		}
	}
	if err := e.store.Advance(e.seq); err != nil {
		return err
	}
	for _, v := range joining {
		if err := e.merge(v, e.log[:min(middle+1, len(e.log))]); err != nil {
			return err
		}
		if err := e.store.SetReady(v.Ref()); err != nil {
			return err
		}
	}
	return nil
}

func (e *onlineEngine) Asked(m semtest.Message) (*feature.Batch, error) {
	return admit(e.catalog.Source(m.Source), m)
}

func (e *onlineEngine) Read(_ context.Context, l *feature.Lookup) ([]feature.Cell, error) {
	if e.mode == joined {
		if err := e.join(); err != nil {
			return nil, err
		}
	}
	l, err := judged(e.ids, e.catalog, l)
	if err != nil {
		return nil, err
	}
	a, err := derive.Lookup(l, e.store.Lookup)
	if err != nil {
		return nil, err
	}
	if a.Path != feature.PathOnline || a.Cut.Seq != e.seq || len(a.Stale) > 0 {
		return nil, errors.New("the answer does not say that it is online and at the end of the log")
	}
	return a.Cells, nil
}

func (e *onlineEngine) Close() error {
	err := errors.Join(e.store.Close(), e.ids.Close())
	if e.dir != "" {
		err = errors.Join(err, os.RemoveAll(e.dir))
	}
	return err
}
