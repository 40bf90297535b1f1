package semtest_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/derive"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
	"github.com/lockstepfs/lockstep/internal/identity"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/internal/semtest"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/offline"
	"github.com/lockstepfs/lockstep/online"
)

// TestStream takes the whole road: gate and importer, the log, the sink into ClickHouse, the replica, and reads of both
// paths.
func TestStream(t *testing.T) {
	t.Parallel()
	testExecution(t, streamExecution(t))
}

func streamExecution(t *testing.T) semtest.Execution {
	engine := chtest.Engine(t)
	database := chtest.Database(t, engine)
	conn := chtest.Open(t, engine, database)
	cfg := offline.Config{Dial: engine.DialContext, Database: database, Patience: patience}
	return semtest.Execution{Name: "stream", Open: func(ctx context.Context, c *feature.Catalog) (semtest.Engine, error) {
		store, err := openEmpty(ctx, cfg, conn, c)
		if err != nil {
			return nil, err
		}
		e := &streamEngine{clickhouseEngine: clickhouseEngine{catalog: c, store: store}}
		if err := e.start(ctx); err != nil {
			return nil, errors.Join(err, e.Close())
		}
		return e, nil
	}}
}

// streamEngine is the whole road as a Replica and an Archive.
type streamEngine struct {
	clickhouseEngine
	dir     string
	imports int
	events  *eventlog.Log
	gate    *gate.Gate
	known   *identity.Publisher
	sink    *materialize.Sink
	present *present
	replica *materialize.Replica
	stop    context.CancelFunc
	group   errgroup.Group

	mu      sync.Mutex
	current *feature.Catalog
	changed chan struct{} // closed when current is replaced
}

// patience bounds how long ClickHouse may take to answer, and the replica and the sink to come to an entry: machines that run
// tests may be busy.
const patience = 3 * time.Minute

func (e *streamEngine) start(ctx context.Context) (err error) {
	logger := slog.New(slog.DiscardHandler)
	if e.dir, err = os.MkdirTemp("", "semtest-"); err != nil {
		return err
	}
	if e.events, err = eventlog.Open(ctx, eventlog.Config{Dir: filepath.Join(e.dir, "log"), Durability: eventlog.OS, Logger: logger}); err != nil {
		return err
	}
	store, err := online.Open(online.Config{CacheBytes: 1 << 20, Logger: logger})
	if err != nil {
		return err
	}
	e.log = e.events.ID()
	e.current, e.changed = e.catalog, make(chan struct{})
	catalog := func() *feature.Catalog {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.current
	}
	changed := func() <-chan struct{} {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.changed
	}
	e.present = &present{Store: store, taken: map[uint64]feature.Time{}}
	if e.ids, err = identity.Open(identity.Config{}); err != nil {
		return err
	}
	e.sink = materialize.NewSink(materialize.SinkConfig{Log: e.events, History: history{e.store}, Logger: logger, Wait: time.Millisecond})
	e.replica = materialize.NewReplica(materialize.ReplicaConfig{
		Log: e.events, Past: past{e.store, e.sink}, Present: e.present, Catalog: catalog, Changed: changed, Logger: logger,
	})
	e.known = identity.NewPublisher(identity.PublisherConfig{
		Index: e.ids, Log: e.events, Past: past{e.store, e.sink}, Catalog: catalog, Changed: changed, Logger: logger,
	})
	e.gate = gate.New(gate.Config{Catalog: catalog, Log: e.events, Identity: e.known, Dead: e.events, Logger: logger})
	ctx, e.stop = context.WithCancel(ctx)
	e.group.Go(func() error { return e.known.Run(ctx) })
	e.group.Go(func() error { return store.Run(ctx) })
	e.group.Go(func() error { return e.sink.Run(ctx) })
	e.group.Go(func() error { return e.replica.Run(ctx) })
	return e.followed(ctx)
}

// followed waits until the replica has taken up every view.
func (e *streamEngine) followed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, v := range e.catalog.Views {
		plan, err := e.catalog.PlanFeatures([]string{v.Ref().String() + "." + v.Features[0].Name})
		if err != nil {
			return err
		}
		for {
			_, err := e.present.Lookup(&feature.Lookup{Plan: plan, Keys: make([][]feature.Value, len(plan.Keys)), At: feature.MaxTime})
			if err == nil {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return err
			}
		}
	}
	return e.replica.Wait(ctx, 0)
}

func (e *streamEngine) Change(ctx context.Context, c *feature.Catalog) error {
	if err := e.clickhouseEngine.Change(ctx, c); err != nil {
		return err
	}
	e.mu.Lock()
	e.current = c
	close(e.changed)
	e.changed = make(chan struct{})
	e.mu.Unlock()
	return e.followed(ctx)
}

func (e *streamEngine) Push(ctx context.Context, m semtest.Message) (semtest.Receipt, error) {
	r, err := e.gate.Push(ctx, m.Source, m.Rows, gate.Atomic)
	if err != nil {
		return semtest.Receipt{}, err
	}
	e.seq = max(e.seq, r.Seq)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = e.replica.Wait(ctx, e.seq)
	return semtest.Receipt{Seq: r.Seq, Taken: e.present.takenAt(r.Seq), Duplicates: r.Duplicates, Conflicts: r.Conflicts}, err
}

func (e *streamEngine) Import(ctx context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.load(ctx, m, false)
}

func (e *streamEngine) Replace(ctx context.Context, m semtest.Message) (semtest.Receipt, error) {
	return e.load(ctx, m, true)
}

// load imports a file of JSON lines.
func (e *streamEngine) load(ctx context.Context, m semtest.Message, replace bool) (semtest.Receipt, error) {
	path := filepath.Join(e.dir, "import.jsonl")
	lines := make([][]byte, len(m.Rows))
	for i, row := range m.Rows {
		lines[i] = row
	}
	e.imports++
	lines = append(lines, bytes.Repeat([]byte("\n"), e.imports)) // the same rows again are a file of other content (E2)
	if err := os.WriteFile(path, bytes.Join(lines, []byte("\n")), 0o600); err != nil {
		return semtest.Receipt{}, err
	}
	im := materialize.Importer{Archive: e.store, Log: e.events, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
	req := materialize.ImportRequest{Source: e.catalog.Source(m.Source), Path: path, Format: rowfile.JSONL, Name: "import.jsonl", Replace: replace}
	r, err := im.Import(ctx, req, nil)
	if err != nil {
		return semtest.Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, e.seq, err = e.events.Bounds(ctx); err != nil { // there may be a barrier behind the record
		return semtest.Receipt{}, err
	}
	receipt := semtest.Receipt{Seq: r.Seq, Edition: feature.Edition{Number: r.Edition, Seq: r.Seq}}
	if err := e.replica.Wait(ctx, e.seq); err != nil || len(req.Source.ID) == 0 {
		return receipt, err
	}
	receipt.Duplicates, receipt.Conflicts, err = copies(ctx, e.store, req.Source, r.Generation)
	return receipt, err
}

func (e *streamEngine) Erase(ctx context.Context, entity string, key feature.Key) (semtest.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	eraser := materialize.Eraser{
		Catalog: func() *feature.Catalog { return e.catalog }, Log: e.events, Entries: e.events, Letters: e.events,
		Past: past{e.store, e.sink}, Present: e.everywhere,
	}
	r, err := eraser.Erase(ctx, materialize.EraseRequest{Entity: entity, Keys: []feature.Key{key}}, func(materialize.EraseProgress) {})
	if err != nil {
		return semtest.Receipt{}, err
	}
	_, e.seq, err = e.events.Bounds(ctx) // one more entry says that it is done
	return semtest.Receipt{Seq: r.Seq}, errors.Join(err, e.replica.Wait(ctx, e.seq))
}

// everywhere waits for the replica and for the gate.
func (e *streamEngine) everywhere(ctx context.Context, seq uint64) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for e.ids.Position().Seq < seq {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return e.replica.Wait(ctx, seq)
}

func (e *streamEngine) Asked(m semtest.Message) (*feature.Batch, error) {
	return e.gate.Asked(m.Source, m.Rows)
}

func (e *streamEngine) Read(ctx context.Context, l *feature.Lookup) ([]feature.Cell, error) {
	if err := e.knows(ctx, l); err != nil {
		return nil, err
	}
	l, err := judged(e.ids, e.catalog, l)
	if err != nil {
		return nil, err
	}
	a, err := derive.Lookup(l, e.present.Lookup)
	if err != nil {
		return nil, err
	}
	if a.Path != feature.PathOnline || a.Cut.Seq != e.seq || len(a.Stale) > 0 {
		return nil, errors.New("the answer does not say that it is online and at the end of the log")
	}
	return a.Cells, nil
}

// knows waits until the ids of the sources whose events the read brings are known.
func (e *streamEngine) knows(ctx context.Context, l *feature.Lookup) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, b := range l.Events {
		if src := e.catalog.Source(b.Source); len(src.ID) > 0 {
			if err := e.known.Wait(ctx, src, e.seq); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *streamEngine) covered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return e.sink.Wait(ctx, e.seq)
}

func (e *streamEngine) ReadAt(ctx context.Context, l *feature.Lookup, cut uint64) ([]feature.Cell, error) {
	if err := errors.Join(e.knows(ctx, l), e.covered(ctx)); err != nil {
		return nil, err
	}
	return e.clickhouseEngine.ReadAt(ctx, l, cut)
}

func (e *streamEngine) Train(ctx context.Context, r semtest.Training) (*feature.Batch, error) {
	if err := e.covered(ctx); err != nil {
		return nil, err
	}
	return e.clickhouseEngine.Train(ctx, r)
}

func (e *streamEngine) Close() error {
	var err error
	if e.stop != nil {
		e.stop()
		err = e.group.Wait()
	}
	if e.present != nil {
		err = errors.Join(err, e.present.Close())
	}
	if e.events != nil {
		err = errors.Join(err, e.events.Close())
	}
	return errors.Join(err, e.clickhouseEngine.Close(), os.RemoveAll(e.dir))
}

// present is the online store; it remembers when the log took what is applied.
type present struct {
	*online.Store

	mu    sync.Mutex
	taken map[uint64]feature.Time
}

func (p *present) Apply(seq uint64, taken feature.Time, b *feature.Batch) error {
	p.mu.Lock()
	p.taken[seq] = taken
	p.mu.Unlock()
	return p.Store.Apply(seq, taken, b)
}

func (p *present) takenAt(seq uint64) feature.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken[seq]
}

// history is the offline store as the sink writes it.
type history struct{ *offline.Store }

func (h history) Append(ctx context.Context, log string, entries []eventlog.Entry) error {
	out := make([]offline.Entry, len(entries))
	for i, e := range entries {
		out[i] = offline.Entry{Seq: e.Seq, Taken: e.Taken, Batch: e.Batch}
		if e.Record == nil {
			continue
		}
		switch e.Record.Kind {
		case eventlog.RecordImport:
			out[i].Import = &offline.ImportRecord{Source: e.Record.Source, Generation: e.Record.Generation, Edition: e.Record.Edition}
		case eventlog.RecordErase:
			for _, x := range e.Record.Erase {
				out[i].Erase = append(out[i].Erase, x.Erasure)
			}
		case eventlog.RecordRebuild, eventlog.RecordForget, eventlog.RecordErased: // nothing to the history
		}
	}
	return h.Store.Append(ctx, log, out)
}

// past is the offline store as the replica reads it.
type past struct {
	*offline.Store
	sink *materialize.Sink
}

func (p past) Wait(ctx context.Context, seq uint64) error { return p.sink.Wait(ctx, seq) }

func (p past) Watermark() feature.Cut { return p.sink.Watermark() }
