package online

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Store is a replica. Lookups and merges may run beside each other and beside the one goroutine that applies the
// log.
type Store struct {
	cfg    Config
	logger *slog.Logger
	disk   *disk
	cache  *cache

	life   sync.RWMutex // held for reading by lookups, so that Close waits for them
	closed bool         // guarded by life

	world    atomic.Pointer[world]
	position atomic.Pointer[feature.Cut]

	// The locks, in the order in which they are taken.
	flushing sync.Mutex // one flush at a time
	apply    sync.Mutex // held while the position and what goes with it move: between entries nobody holds it

	stored  map[feature.Ref]storedView // of the last run, until Follow takes them; guarded by apply
	drops   []uint32                   // ids whose data is to be deleted; guarded by apply
	nextID  uint32                     // guarded by apply
	changed bool                       // position or world since the last snapshot; guarded by apply
	scratch scratch                    // of the applier; guarded by apply

	pending *snapshot // what the last flush did not get to disk; guarded by flushing
	encoded []byte    // scratch; guarded by flushing

	dirtyBytes atomic.Int64
	kick       chan struct{} // wakes Run when much is dirty; capacity 1
	unsynced   atomic.Bool   // committed since the last sync
	failure    atomic.Pointer[error]
	counters   counters
	pool       sync.Pool // *scratch
}

// world is which views are followed. It never changes; a new one replaces it when a view comes, goes or is ready.
type world struct {
	number  uint64 // of the worlds before it
	tables  map[feature.Ref]*table
	sources map[string][]*table
	stored  map[feature.Ref]bool // views of the last run, in the first world only
}

// storedView is a view found on disk.
type storedView struct {
	id     uint32
	record viewRecord
}

// scratch is memory for one reader or writer.
type scratch struct {
	key    []byte
	parts  feature.Key
	one    [1]asof.Event
	values []feature.Value
}

// Open opens the replica in cfg.Dir, or makes a new one. What it has is served after Follow has said which
// views are wanted. The error says so if the folder is in use (CodeUnavailable) or is not a replica that can be used.
func Open(cfg Config) (*Store, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	d, err := openDisk(cfg)
	if err != nil {
		return nil, err
	}
	pos, views, err := d.load()
	if err != nil {
		return nil, errors.Join(unusable(cfg.Dir, d.found(err)), d.close())
	}
	c, err := newCache(cfg.CacheBytes)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	s := &Store{cfg: cfg, logger: cfg.Logger, disk: d, cache: c, nextID: pos.NextID, kick: make(chan struct{}, 1)}
	s.pool.New = func() any { return new(scratch) }
	s.position.Store(&feature.Cut{Log: pos.Log, Seq: pos.Seq})
	s.stored = map[feature.Ref]storedView{}
	stored := map[feature.Ref]bool{}
	for id, r := range views {
		if r.Joining { // interrupted: what it has of its history is not known
			s.drops = append(s.drops, id)
			continue
		}
		ref := feature.Ref{Name: r.Name, Version: r.Version}
		s.stored[ref], stored[ref] = storedView{id, r}, true
	}
	s.world.Store(&world{stored: stored})
	return s, nil
}

// Run flushes and syncs the store now and then until ctx ends, and flushes a last time then. A flush that fails is tried again at the next
// occasion: Health tells, and lookups are answered meanwhile. Run returns the error of the last flush, or ErrDamaged as soon as the folder
// turns out to be damaged: then the process has to begin anew.
func (s *Store) Run(ctx context.Context) error {
	flush := time.NewTicker(s.cfg.FlushInterval)
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.Flush()
		case <-flush.C:
			s.note(s.flushAndSync())
		case <-s.disk.health.ended:
			return s.Health()
		case <-s.kick:
			s.note(s.Flush())
		}
	}
}

// note logs a failure of work in the background once.
func (s *Store) note(err error) {
	var before *error
	if err == nil {
		before = s.failure.Swap(nil)
	} else {
		before = s.failure.Swap(&err)
	}
	switch {
	case err != nil && before == nil:
		s.logger.Error("the replica cannot flush and will try again", slog.Any("error", err))
	case err == nil && before != nil:
		s.logger.Info("the replica flushes again")
	}
}

// Sync flushes and returns when what was flushed survives a crash of the process and of the machine.
func (s *Store) Sync() error {
	if err := s.Flush(); err != nil {
		return err
	}
	if err := s.disk.settle(); err != nil {
		return fmt.Errorf("sync the replica: %w", err)
	}
	return nil
}

// flushAndSync is Sync that does not wait for the disk.
func (s *Store) flushAndSync() error {
	if err := s.Flush(); err != nil {
		return err
	}
	if !s.unsynced.Swap(false) {
		return nil
	}
	if err := s.disk.sync(); err != nil {
		s.unsynced.Store(true)
		return fmt.Errorf("sync the replica: %w", err)
	}
	return nil
}

// Close flushes what is not flushed and closes the store. Lookups answer CodeUnavailable from then on. Nothing
// may apply or merge meanwhile.
func (s *Store) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.Sync()
	s.cache.close()
	if err := errors.Join(err, s.disk.close()); err != nil {
		return fmt.Errorf("close the replica: %w", err)
	}
	return nil
}

// Position returns the cut that the replica stands at; its Log is "" before the first Restart.
func (s *Store) Position() feature.Cut { return *s.position.Load() }

// Health returns why the replica's copy on disk does not follow its memory, or nil. Values are right
// nevertheless.
func (s *Store) Health() error {
	if err := s.disk.health.err(); err != nil {
		return err
	}
	if e := s.failure.Load(); e != nil {
		return *e
	}
	return nil
}

// setWorld makes tables what is followed, and only then drops those of the tables before that are not among them:
// a lookup that meets a dropped table sees that the world has changed. Store.apply is held.
func (s *Store) setWorld(tables map[feature.Ref]*table) {
	was := s.world.Load()
	w := &world{number: was.number + 1, tables: tables, sources: map[string][]*table{}}
	for _, t := range tables {
		w.sources[t.view.Source] = append(w.sources[t.view.Source], t)
	}
	s.world.Store(w)
	for ref, t := range was.tables {
		if tables[ref] != t {
			s.drop(t)
		}
	}
	s.changed = true
}

// World returns a number that changes whenever a view comes, goes or is ready.
func (s *Store) World() uint64 { return s.world.Load().number }

// Ready reports whether lookups of the view are answered, or, before the first Follow, whether they were in the last run.
func (s *Store) Ready(v feature.Ref) bool {
	w := s.world.Load()
	t := w.tables[v]
	return w.stored[v] || t != nil && t.phase.Load() == ready
}
