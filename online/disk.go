package online

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// The keys on disk: docs/format/replica.md.
const (
	formatKey   = "f"
	positionKey = "p"
	viewPrefix  = 'v'
	statePrefix = 's'

	formatName = "lockstep replica 2"
)

// positionRecord is the value of positionKey.
type positionRecord struct {
	Log    string `json:"log"`
	Seq    uint64 `json:"seq"`
	NextID uint32 `json:"next_id"` // the next table's id
}

// viewRecord is the value of a view's key.
type viewRecord struct {
	Name        string `json:"name"`
	Version     int    `json:"version"`
	Fingerprint string `json:"fingerprint"`
	Joining     bool   `json:"joining,omitempty"`
	Loading     bool   `json:"loading,omitempty"`
	Clock       int64  `json:"clock"`
	Sketch      []byte `json:"sketch"` // of keys
	Nulls       int64  `json:"nulls"`
}

// disk is the replica's copy in Pebble.
type disk struct {
	cfg    Config
	health health
	db     *pebble.DB
	lock   *pebble.Lock
}

// options returns how Pebble is used. There is no write-ahead log: a batch holds the position that it leads to, so
// what a crash takes is applied again from the log; and Pebble cannot survive a failing write-ahead log (a full
// disk), while it tries again to write tables.
func (d *disk) options(cfg Config) *pebble.Options {
	o := &pebble.Options{
		FS:                          cfg.FS,
		DisableWAL:                  true,
		Merger:                      stateMerger(),
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   64 << 20,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       8,
		LBaseMaxBytes:               256 << 20,
		Logger:                      &d.health,
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].IndexBlockSize = 256 << 10 // one level of index: every read is of one key
	}
	o.EventListener = &pebble.EventListener{
		BackgroundError: d.health.throttle,
		DataCorruption:  func(i pebble.DataCorruptionInfo) { d.damage(fmt.Errorf("a table is damaged: %s", i)) },
		FlushEnd:        func(i pebble.FlushInfo) { d.health.flushed(i.Err) },
	}
	return o
}

func openDisk(cfg Config) (*disk, error) {
	d := &disk{cfg: cfg}
	d.health.logger, d.health.ended = cfg.Logger, make(chan struct{})
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the replica's folder: %w", err)
	}
	names, err := cfg.FS.List(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("look into the replica's folder: %w", err)
	}
	if slices.Contains(names, damagedName) {
		return nil, unusable(cfg.Dir, fmt.Errorf("%w: it was found so in the last run", ErrDamaged))
	}
	desc, err := pebble.Peek(cfg.Dir, cfg.FS)
	if err != nil {
		return nil, unusable(cfg.Dir, fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	if !desc.Exists && slices.ContainsFunc(names, func(n string) bool { return n != "LOCK" }) {
		return nil, unusable(cfg.Dir, errors.New("it holds other files"))
	}
	if err := d.open(cfg); err != nil {
		return nil, err
	}
	if err := d.checkFormat(desc.Exists); err != nil {
		return nil, errors.Join(unusable(cfg.Dir, d.found(err)), d.close())
	}
	return d, nil
}

func (d *disk) open(cfg Config) (err error) {
	lock, err := pebble.LockDirectory(cfg.Dir, cfg.FS)
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "the replica's folder %s is in use, probably by another process: %w", cfg.Dir, err)
	}
	o := d.options(cfg)
	o.Lock = lock
	defer func() {
		if r := recover(); r != nil { // Pebble panics on some damaged files
			err = unusable(cfg.Dir, fmt.Errorf("%w: %v", ErrDamaged, r))
		}
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if d.db, err = pebble.Open(cfg.Dir, o); err != nil {
		if damaged(err) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return unusable(cfg.Dir, err)
	}
	d.lock = lock
	return nil
}

// damaged reports whether Pebble did not open its files for what is in them. It marks only some of these errors: not that
// a table is shorter than it was, or gone.
func damaged(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "object size mismatch")
}

// ErrDamaged says that a replica's folder cannot be read any more. Whoever owns the folder removes it: it is a copy.
var ErrDamaged = errors.New("the replica's copy on disk is damaged")

// damagedName is the file that says so in the folder.
const damagedName = "DAMAGED"

// damage notes that the folder is damaged, for this run, which ends, and for the next.
func (d *disk) damage(err error) {
	d.health.end(fmt.Errorf("%w: %w", ErrDamaged, err), func() error {
		f, err := d.cfg.FS.Create(d.cfg.FS.PathJoin(d.cfg.Dir, damagedName), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, "This copy of a replica is damaged. The next start removes it and makes it anew.")
		return errors.Join(err, f.Sync(), f.Close())
	})
}

// found returns err, as ErrDamaged if Pebble has met damage by now.
func (d *disk) found(err error) error {
	if fatal := d.health.fatal(); errors.Is(fatal, ErrDamaged) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// unusable says what to do about a folder that cannot be used.
func unusable(dir string, err error) error {
	return feature.Errorf(feature.CodeInternal,
		"%s is not a replica that this program can use: %w; if it was one, delete the folder: it is a copy and is made again from the log and the offline store", dir, err)
}

// checkFormat makes sure that the database is a replica; a new one becomes one.
func (d *disk) checkFormat(exists bool) error {
	v, found, err := d.read([]byte(formatKey))
	switch {
	case err != nil:
		return err
	case found && string(v) == formatName:
		return nil
	case found:
		return fmt.Errorf("its format is %q, expected %q", v, formatName)
	case exists:
		if empty, err := d.empty(); err != nil || !empty {
			return errors.Join(errors.New("it is a database of something else"), err)
		}
	}
	return d.db.Set([]byte(formatKey), []byte(formatName), pebble.NoSync)
}

func (d *disk) empty() (bool, error) {
	it, err := d.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	found := it.First()
	return !found, it.Close()
}

// read returns a copy of the value of key.
func (d *disk) read(key []byte) (value []byte, found bool, err error) {
	v, closer, err := d.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return append([]byte(nil), v...), true, closer.Close()
}

// load returns the position and the views on disk by id.
func (d *disk) load() (positionRecord, map[uint32]viewRecord, error) {
	pos, views := positionRecord{NextID: 1}, map[uint32]viewRecord{}
	v, found, err := d.read([]byte(positionKey))
	if err != nil {
		return pos, nil, err
	}
	if found {
		if err := json.Unmarshal(v, &pos); err != nil {
			return pos, nil, fmt.Errorf("read the position: %w", err)
		}
	}
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: []byte{viewPrefix}, UpperBound: []byte{viewPrefix + 1}})
	if err != nil {
		return pos, nil, err
	}
	for ok := it.First(); ok; ok = it.Next() {
		var r viewRecord
		if err := json.Unmarshal(it.Value(), &r); err != nil || len(it.Key()) != 5 {
			return pos, nil, errors.Join(fmt.Errorf("read the record of a view at %q", it.Key()), err, it.Close())
		}
		views[binary.BigEndian.Uint32(it.Key()[1:])] = r
	}
	return pos, views, it.Close()
}

// state returns the state of key and how many bytes its strings keep in memory; none if there is no such key.
func (d *disk) state(key []byte) (state []asof.Event, size int, err error) {
	v, closer, err := d.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, d.unreadable(errors.Join(errRead, err))
	}
	size = len(v)
	_, state, err = parseState(v)
	if failed := closer.Close(); failed != nil {
		err = errors.Join(errRead, failed)
	}
	if err != nil {
		return nil, 0, d.unreadable(err)
	}
	return state, size, nil
}

// errRead marks errors of the storage; others are of what it holds.
var errRead = errors.New("storage")

// unreadable returns err, of a state that cannot be read, for callers, and notes damage.
func (d *disk) unreadable(err error) error {
	if !errors.Is(err, errRead) || pebble.IsCorruptionError(err) {
		d.damage(err)
	}
	return feature.Errorf(feature.CodeUnavailable, "read a state of the replica: %w", feature.Hide(err, "its copy on disk cannot be read"))
}

var errClosed = feature.Errorf(feature.CodeUnavailable, "the replica is closed")

// commit writes b. After a failure that Pebble does not survive every commit fails, and reads go on.
func (d *disk) commit(b *pebble.Batch) (err error) {
	if err := d.health.err(); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			d.health.Fatalf("%v\n%s", r, debug.Stack())
			err = d.health.err()
		}
	}()
	if err := d.db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	return d.health.fatal()
}

// sync begins to make all that was committed survive a crash. It does not wait.
func (d *disk) sync() error {
	if err := d.health.err(); err != nil {
		return err
	}
	_, err := d.db.AsyncFlush()
	return err
}

// settle returns when all that was committed survives a crash, or cannot.
func (d *disk) settle() error {
	if err := d.health.err(); err != nil {
		return err
	}
	done, err := d.db.AsyncFlush()
	if err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
			if err := d.health.err(); err != nil {
				return err
			}
		}
	}
}

func (d *disk) close() error {
	if err := d.health.fatal(); err != nil && !errors.Is(err, ErrDamaged) {
		return nil // Pebble would wait for work that never ends; the process is about to
	}
	return errors.Join(d.db.Close(), d.lock.Close())
}

// health is Pebble's logger and remembers whether it can write.
type health struct {
	logger  *slog.Logger
	broken  atomic.Pointer[error] // for good
	ended   chan struct{}         // closed when the folder turned out to be damaged
	failing atomic.Pointer[error] // until a write succeeds
	last    error                 // of flushed; Pebble calls both under its lock
}

// Infof drops what Pebble tells about its daily work.
func (h *health) Infof(string, ...any) {}

// Errorf logs.
func (h *health) Errorf(format string, args ...any) {
	h.logger.Warn("replica storage", slog.String("message", fmt.Sprintf(format, args...)))
}

// Fatalf logs and remembers that nothing can be written any more. Pebble expects it to end the process; but what
// can be read from memory and disk is still true and is served on.
func (h *health) Fatalf(format string, args ...any) {
	err := fmt.Errorf("replica storage failed for good, restart the process: "+format, args...)
	if h.broken.CompareAndSwap(nil, &err) {
		h.logger.Error("replica storage failed; values are served on but nothing new is stored", slog.Any("error", err))
	}
}

// end remembers damage, and says so in the folder.
func (h *health) end(err error, mark func() error) {
	if !h.broken.CompareAndSwap(nil, &err) {
		return
	}
	h.logger.Error("the replica's copy on disk is damaged; the process is to be started again, and makes it anew", slog.Any("error", err))
	if err := mark(); err != nil {
		h.logger.Error("the folder of the replica could not be marked as damaged: delete it", slog.Any("error", err))
	}
	close(h.ended)
}

// flushed is told the end of every table written from memory.
func (h *health) flushed(err error) {
	h.last = err
	if err == nil && h.failing.Swap(nil) != nil {
		h.logger.Info("replica storage writes again")
	}
}

// throttle is told what failed in the background, after flushed. Pebble tries again at once; this slows it down.
func (h *health) throttle(err error) {
	if errors.Is(err, h.last) && h.failing.Swap(&err) == nil {
		h.logger.Error("replica storage cannot write and will try again", slog.Any("error", err))
	}
	time.Sleep(100 * time.Millisecond)
}

func (h *health) fatal() error {
	if e := h.broken.Load(); e != nil {
		return *e
	}
	return nil
}

func (h *health) err() error {
	if err := h.fatal(); err != nil {
		return err
	}
	if e := h.failing.Load(); e != nil {
		return fmt.Errorf("replica storage: %w", *e)
	}
	return nil
}
