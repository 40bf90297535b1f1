package semtest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/derive"
	"github.com/lockstepfs/lockstep/internal/identity"
	"github.com/lockstepfs/lockstep/internal/semtest"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/offline"
)

func TestMain(m *testing.M) { chtest.Main(m) }

// TestClickHouse runs beside TestStream: both wait for the engine most of the time, each for one of its threads.
func TestClickHouse(t *testing.T) {
	t.Parallel()
	testExecution(t, clickhouseExecution(t))
}

// clickhouseExecution keeps one database for all worlds and empties it between them.
func clickhouseExecution(t *testing.T) semtest.Execution {
	engine := chtest.Engine(t)
	database := chtest.Database(t, engine)
	conn := chtest.Open(t, engine, database)
	cfg := offline.Config{Dial: engine.DialContext, Database: database, Patience: patience, MapValues: 4} // sets in pieces
	return semtest.Execution{Name: "clickhouse", ForcesTaken: true, Open: func(ctx context.Context, c *feature.Catalog) (semtest.Engine, error) {
		store, err := openEmpty(ctx, cfg, conn, c)
		if err != nil {
			return nil, err
		}
		if err := store.Follow(ctx, "log", 0); err != nil {
			return nil, errors.Join(err, store.Close())
		}
		ids, err := knowing(c)
		return &clickhouseEngine{catalog: c, store: store, ids: ids, log: "log"}, err
	}}
}

// openEmpty opens a store on a database without events and with tables for the catalog's sources.
func openEmpty(ctx context.Context, cfg offline.Config, conn driver.Conn, c *feature.Catalog) (*offline.Store, error) {
	store, err := offline.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	err = errors.Join(store.Migrate(ctx), empty(ctx, conn))
	for _, src := range c.Sources {
		err = errors.Join(err, store.Ensure(ctx, src))
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// empty drops the event tables and empties the system tables, except the one that says which migrations ran.
func empty(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.Query(ctx, "SELECT name FROM system.tables WHERE database = currentDatabase() AND name NOT LIKE '%migration%'")
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
	}
	for _, name := range names {
		sql := "TRUNCATE TABLE `" + name + "`"
		if len(name) > 7 && name[:7] == "events_" {
			sql = "DROP TABLE `" + name + "` SYNC"
		}
		if err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return rows.Err()
}

// clickhouseEngine is the offline store, given what the sink and the importer would give it. Entries wait until
// somebody reads, so that several go into one batch.
type clickhouseEngine struct {
	catalog *feature.Catalog
	store   *offline.Store
	ids     *identity.Index
	seq     uint64
	log     string // its identity
	waiting []offline.Entry
}

func (e *clickhouseEngine) Push(_ context.Context, m semtest.Message) (semtest.Receipt, error) {
	rows, err := admit(e.catalog.Source(m.Source), m)
	if err != nil {
		return semtest.Receipt{}, err
	}
	e.seq++
	rows, receipt, err := distinct(e.ids, e.catalog, rows, e.seq)
	receipt.Taken = m.Taken
	e.waiting = append(e.waiting, offline.Entry{Seq: e.seq, Taken: m.Taken, Batch: rows})
	return receipt, err
}

func (e *clickhouseEngine) Import(ctx context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.load(ctx, m, false)
}

func (e *clickhouseEngine) Replace(ctx context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.load(ctx, m, true)
}

func (e *clickhouseEngine) load(ctx context.Context, m semtest.Message, replace bool) (semtest.Receipt, error) {
	src := e.catalog.Source(m.Source)
	rows, err := admit(src, m)
	if err != nil {
		return semtest.Receipt{}, err
	}
	e.seq++
	im, err := e.store.BeginImport(ctx, src, feature.File{Name: "a file", Hash: fmt.Sprint(e.seq)}, replace)
	if err != nil {
		return semtest.Receipt{}, err
	}
	// In two parts.
	half := rows.Rows / 2
	err = errors.Join(
		e.store.InsertImport(ctx, src, im, rows.Slice(0, half)),
		e.store.InsertImport(ctx, src, im, rows.Slice(half, rows.Rows)),
		e.store.FinishImport(ctx, src, im))
	gen := im.Generation
	e.waiting = append(e.waiting, offline.Entry{Seq: e.seq, Taken: m.Taken, Import: &offline.ImportRecord{Source: src.Name, Generation: gen, Edition: im.Edition}})
	receipt := semtest.Receipt{Seq: e.seq, Taken: m.Taken, Edition: feature.Edition{Number: im.Edition, Seq: e.seq}}
	if err != nil || len(src.ID) == 0 {
		return receipt, err
	}
	if err := e.settle(ctx); err != nil {
		return receipt, err
	}
	receipt.Duplicates, receipt.Conflicts, err = copies(ctx, e.store, src, gen)
	for b, arrived := range e.store.Arrivals(ctx, src, e.cut(0), gen) {
		err = errors.Join(err, arrived)
		if err == nil {
			err = e.ids.AddArrivals(src, b, im.Edition)
		}
	}
	return receipt, err
}

func copies(ctx context.Context, store *offline.Store, src *feature.Source, generation uint64) (duplicates, conflicts int, err error) {
	d, c, err := store.Copies(ctx, src.Name, generation)
	return int(d), int(c), err
}

func (e *clickhouseEngine) Erase(ctx context.Context, entity string, key feature.Key) (semtest.Receipt, error) {
	erasures, err := materialize.Erasures(e.catalog, entity, []feature.Key{key})
	if err != nil {
		return semtest.Receipt{}, err
	}
	e.seq++
	x := offline.Entry{Seq: e.seq}
	for _, erasure := range erasures {
		x.Erase = append(x.Erase, erasure.Erasure)
		src := e.catalog.Source(erasure.Source)
		if len(src.ID) == 0 {
			continue
		}
		if err := e.settle(ctx); err != nil { // what is erased must be in
			return semtest.Receipt{}, err
		}
		for b, err := range e.store.ErasedIDs(ctx, erasure.Erasure, e.seq) {
			if err == nil {
				err = e.ids.Forget(src, b, e.seq)
			}
			if err != nil {
				return semtest.Receipt{}, err
			}
		}
	}
	e.waiting = append(e.waiting, x)
	return semtest.Receipt{Seq: e.seq}, nil
}

func (e *clickhouseEngine) Change(ctx context.Context, c *feature.Catalog) (err error) {
	e.catalog = c
	for _, src := range c.Sources {
		err = errors.Join(err, e.store.Ensure(ctx, src))
	}
	return errors.Join(err, adopt(e.ids, c))
}

func (e *clickhouseEngine) settle(ctx context.Context) error {
	waiting := e.waiting
	e.waiting = nil
	return e.store.Append(ctx, e.log, waiting)
}

func (e *clickhouseEngine) cut(cut uint64) feature.Cut {
	if cut == 0 {
		cut = e.seq
	}
	return feature.Cut{Log: e.log, Seq: cut}
}

func (e *clickhouseEngine) Asked(m semtest.Message) (*feature.Batch, error) {
	return admit(e.catalog.Source(m.Source), m)
}

func (e *clickhouseEngine) ReadAt(ctx context.Context, l *feature.Lookup, cut uint64) ([]feature.Cell, error) {
	if err := e.settle(ctx); err != nil {
		return nil, err
	}
	l, err := judged(e.ids, e.catalog, l)
	if err != nil {
		return nil, err
	}
	a, err := derive.Lookup(l, func(l *feature.Lookup) (*feature.Answer, error) { return e.store.Lookup(ctx, l, e.cut(cut)) })
	if err != nil {
		return nil, err
	}
	if a.Path != feature.PathOffline || a.Cut != e.cut(cut) {
		return nil, errors.New("the answer does not say that it is offline and at the cut asked for")
	}
	return a.Cells, nil
}

func (e *clickhouseEngine) Train(ctx context.Context, r semtest.Training) (out *feature.Batch, err error) {
	if err := e.settle(ctx); err != nil {
		return nil, err
	}
	ask := offline.Training{Plan: r.Plan.Base(), KeysAll: r.Spine == nil, At: r.At, Clock: r.Clock, Cut: e.cut(r.Cut)}
	if r.Spine != nil {
		ask.Fields, ask.TimeColumn, ask.Spine = r.Spine.Fields, r.Time, halves(r.Spine)
	}
	set, err := e.store.Train(ctx, ask)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, set.Close()) }() //nolint:contextcheck // closing does not end with the request
	if set.Cut != ask.Cut {
		return nil, fmt.Errorf("the training set is of cut %v, want %v", set.Cut, ask.Cut)
	}
	derived, err := derive.NewTraining(r.Plan, set.Fields)
	if err != nil {
		return nil, err
	}
	out = &feature.Batch{Fields: derived.Fields, Columns: make([]feature.Column, len(derived.Fields))}
	for i, f := range derived.Fields {
		out.Columns[i].Type = f.Type
	}
	for b, err := range derived.Batches(set.Batches(ctx)) {
		if err != nil {
			return nil, err
		}
		out.AppendBatch(b)
	}
	if uint64(out.Rows) != set.Rows {
		return nil, fmt.Errorf("the training set has %d rows, not the %d that it says", out.Rows, set.Rows)
	}
	if r.Spine == nil {
		return sorted(out), nil // nobody promises an order of all keys
	}
	return out, nil
}

// halves yields a batch in two.
func halves(b *feature.Batch) iter.Seq2[*feature.Batch, error] {
	return func(yield func(*feature.Batch, error) bool) {
		if half := b.Rows / 2; yield(b.Slice(0, half), nil) {
			yield(b.Slice(half, b.Rows), nil)
		}
	}
}

// sorted returns the rows in order of their values.
func sorted(b *feature.Batch) *feature.Batch {
	rows := make([][]feature.Value, b.Rows)
	for i := range rows {
		rows[i] = b.Row(i)
	}
	slices.SortFunc(rows, func(x, y []feature.Value) int { return slices.CompareFunc(x, y, feature.Compare) })
	out := &feature.Batch{Fields: b.Fields, Columns: make([]feature.Column, len(b.Fields))}
	for i, f := range b.Fields {
		out.Columns[i].Type = f.Type
	}
	for _, row := range rows {
		out.Append(row)
	}
	return out
}

func (e *clickhouseEngine) Close() error {
	if e.ids != nil {
		return errors.Join(e.store.Close(), e.ids.Close())
	}
	return e.store.Close()
}
