package identity

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/lockstepfs/lockstep/feature"
)

// Config configures an Index.
type Config struct {
	Dir    string       // folder of the index; "" keeps it in memory
	Logger *slog.Logger // default: discard
	FS     vfs.FS       // file system of Dir; default the operating system's, or memory without Dir
}

// The keys on disk: docs/format/identity.md.
const (
	formatKey    = "f"
	positionKey  = "p"
	sourcePrefix = 's'
	eventPrefix  = 'e'

	formatName  = "lockstep identity 1"
	prefixBytes = 5
	timeBytes   = 8
)

const (
	memTableBytes = 32 << 20
	cacheBytes    = 256 << 20 // of which Pebble takes what its tables in memory need
)

// Index holds the ids of events on disk, with the place in the log that it covers. It is a copy: it is made again
// from the log and the offline store when it is lost. Judge may be called at any time and from any goroutine;
// the methods that change the index, from one at a time for each source.
type Index struct {
	db      *pebble.DB
	logger  *slog.Logger
	once    sync.Once     // of damage
	damaged chan struct{} // closed when the folder turned out to be damaged

	mu      sync.Mutex
	at      position
	sources map[string]*sourceRecord
}

// position is the value of positionKey.
type position struct {
	Log    string `json:"log"`
	Seq    uint64 `json:"seq"`
	Number uint32 `json:"number"` // the next source's
}

// sourceRecord is the value of a source's key.
type sourceRecord struct {
	Number     uint32   `json:"number"`
	Columns    []string `json:"columns"` // of the id
	Duplicates int64    `json:"duplicates"`
	Conflicts  int64    `json:"conflicts"`
}

// Open opens the index or makes an empty one. The caller calls Close.
func Open(cfg Config) (*Index, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.FS == nil {
		cfg.FS = vfs.Default
		if cfg.Dir == "" {
			cfg.FS = vfs.NewMem()
		}
	}
	x := &Index{logger: cfg.Logger, sources: map[string]*sourceRecord{}, damaged: make(chan struct{})}
	if _, err := cfg.FS.Stat(cfg.FS.PathJoin(cfg.Dir, damagedName)); err == nil {
		return nil, unusable(cfg.Dir, fmt.Errorf("%w: it was found so in the last run", ErrDamaged))
	}
	if err := x.open(cfg); err != nil {
		if x.met(err) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, unusable(cfg.Dir, err)
	}
	return x, nil
}

func (x *Index) open(cfg Config) (err error) {
	defer func() {
		if r := recover(); r != nil { // Pebble panics on some damaged files
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	if x.db, err = pebble.Open(cfg.Dir, x.options(cfg)); err != nil {
		return err
	}
	if err := x.load(); err != nil {
		return errors.Join(err, x.db.Close())
	}
	return nil
}

func unusable(dir string, err error) error {
	return feature.Errorf(feature.CodeInternal,
		"%s is not an index of ids that this program can use: %w; if it was one, delete the folder: it is made again from the log and the offline store", dir, err)
}

// options returns how Pebble is used: without a write-ahead log, because what a crash takes is applied again from the
// log; and with filters on ids, because most ids that are looked for are not there.
func (x *Index) options(cfg Config) *pebble.Options {
	comparer := *pebble.DefaultComparer
	comparer.Name = "lockstep.identity"
	comparer.Split = func(key []byte) int {
		if len(key) > timeBytes && key[0] == eventPrefix {
			return len(key) - timeBytes
		}
		return len(key)
	}
	o := &pebble.Options{
		FS: cfg.FS, Comparer: &comparer, DisableWAL: true, FormatMajorVersion: pebble.FormatNewest,
		CacheSize: cacheBytes, MemTableSize: memTableBytes, MemTableStopWritesThreshold: 4, L0CompactionThreshold: 4, LBaseMaxBytes: 128 << 20,
		Logger: quiet{x.logger}, EventListener: &pebble.EventListener{DataCorruption: func(i pebble.DataCorruptionInfo) { x.damage(cfg, i) }},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].IndexBlockSize = 256 << 10 // one level of index: every read is of one id
	}
	return o
}

func (x *Index) load() error {
	v, err := x.get([]byte(formatKey))
	switch {
	case err != nil:
		return err
	case v == nil:
		return x.db.Set([]byte(formatKey), []byte(formatName), pebble.NoSync)
	case string(v) != formatName:
		return fmt.Errorf("its format is %q, expected %q", v, formatName)
	}
	if v, err = x.get([]byte(positionKey)); err != nil {
		return err
	}
	if v != nil {
		if err := json.Unmarshal(v, &x.at); err != nil {
			return fmt.Errorf("read the position: %w", err)
		}
	}
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: []byte{sourcePrefix}, UpperBound: []byte{sourcePrefix + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		r := &sourceRecord{}
		if err := json.Unmarshal(it.Value(), r); err != nil {
			return errors.Join(fmt.Errorf("read the record of source %q: %w", it.Key()[1:], err), it.Close())
		}
		x.sources[string(it.Key()[1:])] = r
	}
	return it.Close()
}

// get returns a copy of the value of key, nil if there is none.
func (x *Index) get(key []byte) ([]byte, error) {
	v, closer, err := x.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return slices.Clone(v), closer.Close()
}

// Close ends the index; what it knows survives on disk.
func (x *Index) Close() error {
	return errors.Join(x.db.Flush(), x.db.Close())
}

// number returns the number of a source that the index knows.
func (x *Index) number(src *feature.Source) (uint32, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.sources[src.Name]
	if r == nil || !slices.Equal(r.Columns, src.ID) {
		return 0, feature.Errorf(feature.CodeUnavailable, "the ids of source %s are not loaded yet", src.Name)
	}
	return r.Number, nil
}

// Knows reports whether Adopt was called for the source and its id.
func (x *Index) Knows(src *feature.Source) bool {
	_, err := x.number(src)
	return err == nil
}

// Adopt makes the index know a source that has no events.
func (x *Index) Adopt(src *feature.Source) error {
	l, err := x.begin(src)
	if err != nil {
		return err
	}
	return l.finish()
}

// loading is a source whose events come in before the index knows it.
type loading struct {
	index *Index
	src   *feature.Source
	to    uint32
}

// begin makes room for the events of a source.
func (x *Index) begin(src *feature.Source) (*loading, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := &loading{x, src, x.at.Number}
	b := x.db.NewBatch()
	defer b.Close()
	x.at.Number++
	// There may be something under the number, of an attempt that came to nothing.
	if err := errors.Join(b.DeleteRange(prefix(l.to), prefix(l.to+1), nil), set(b, []byte(positionKey), x.at)); err != nil {
		return nil, err
	}
	return l, x.commit(b)
}

// add notes events as the offline store gives them.
func (l *loading) add(a *feature.Arrivals) error {
	return l.index.addArrivals(l.to, a, l.src.Edition.Number != 0)
}

// finish makes the source known, in place of what the index had of it.
func (l *loading) finish() error {
	x := l.index
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.db.NewBatch()
	defer b.Close()
	r := &sourceRecord{Number: l.to, Columns: l.src.ID}
	if old := x.sources[l.src.Name]; old != nil {
		r.Duplicates, r.Conflicts = old.Duplicates, old.Conflicts
		if err := b.DeleteRange(prefix(old.Number), prefix(old.Number+1), nil); err != nil {
			return err
		}
	}
	if err := set(b, sourceKey(l.src.Name), r); err != nil {
		return err
	}
	x.sources[l.src.Name] = r
	return x.commit(b)
}

// Add notes events: row i of the batch arrived at place(i). Rows that are there already are the same afterwards.
func (x *Index) Add(src *feature.Source, b *feature.Batch, place func(i int) feature.Place) error {
	number, err := x.number(src)
	if err != nil {
		return err
	}
	return x.add(number, src, b, place)
}

func (x *Index) add(number uint32, src *feature.Source, b *feature.Batch, place func(i int) feature.Place) error {
	r, err := rowsOf(src, b)
	if err != nil {
		return err
	}
	return x.put(number, &r.ids, b.Rows, false, func(i int) stored { return stored{feature.Time(r.times[i]), r.sum(i), place(i)} })
}

func (x *Index) put(number uint32, r *ids, n int, several bool, event func(i int) stored) error {
	var batch *pebble.Batch
	if several {
		batch = x.db.NewIndexedBatch()
	} else {
		batch = x.db.NewBatchWithSize(64 * n)
	}
	defer batch.Close()
	key := prefix(number)
	at := len(key)
	var value []byte
	for i := range n {
		var ok bool
		if key, ok = r.appendID(key[:at], i); !ok {
			continue
		}
		e := event(i)
		key = appendTime(key, e.time)
		if several {
			known, err := before(batch, key, e.place)
			if err != nil {
				return err
			}
			if known {
				continue
			}
		}
		value = appendStored(value[:0], e.sum, e.place)
		if err := batch.Set(key, value, nil); err != nil {
			return err
		}
	}
	return x.commit(batch)
}

// confirm notes the fresh rows of a verdict that was published.
func (x *Index) confirm(src *feature.Source, v *Verdict, place func(i int) feature.Place) error {
	number, err := x.number(src)
	if err != nil {
		return err
	}
	batch := x.db.NewBatchWithSize(64 * len(v.facts))
	defer batch.Close()
	key := prefix(number)
	at := len(key)
	var value []byte
	for i, f := range v.facts {
		if f.id == nil {
			continue
		}
		key = appendTime(append(key[:at], f.id...), f.time)
		value = appendStored(value[:0], f.sum, place(i))
		if err := batch.Set(key, value, nil); err != nil {
			return err
		}
	}
	return x.commit(batch)
}

func (x *Index) commit(b *pebble.Batch) error {
	if err := x.db.Apply(b, pebble.NoSync); err != nil {
		return fmt.Errorf("write the index of ids: %w", err)
	}
	return nil
}

// Counts says how many rows of a source were left out because they are copies.
type Counts struct {
	Duplicates int64 // all of them
	Conflicts  int64 // those that differ from the event
}

// Count adds to the counts of a source.
func (x *Index) Count(source string, c Counts) error {
	if c == (Counts{}) {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.db.NewBatch()
	defer b.Close()
	if err := x.count(b, source, c); err != nil {
		return err
	}
	return x.commit(b)
}

func (x *Index) count(b *pebble.Batch, source string, c Counts) error {
	r := x.sources[source]
	if r == nil {
		return nil
	}
	r.Duplicates += c.Duplicates
	r.Conflicts += c.Conflicts
	return set(b, sourceKey(source), r)
}

// Counts returns the counts of all sources that the index knows.
func (x *Index) Counts() map[string]Counts {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make(map[string]Counts, len(x.sources))
	for name, r := range maps.All(x.sources) {
		out[name] = Counts{r.Duplicates, r.Conflicts}
	}
	return out
}

// Position returns the cut up to which the index knows all events.
func (x *Index) Position() feature.Cut {
	x.mu.Lock()
	defer x.mu.Unlock()
	return feature.Cut{Log: x.at.Log, Seq: x.at.Seq}
}

// advance moves the position.
func (x *Index) advance(seq uint64) error { return x.advanceCounting(seq, "", Counts{}) }

// advanceCounting moves the position past an import and counts its copies.
func (x *Index) advanceCounting(seq uint64, source string, c Counts) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at.Seq = seq
	b := x.db.NewBatch()
	defer b.Close()
	if err := errors.Join(set(b, []byte(positionKey), x.at), x.count(b, source, c)); err != nil {
		return err
	}
	return x.commit(b)
}

// sync begins to make what was noted survive a crash. It does not wait.
func (x *Index) sync() error {
	_, err := x.db.AsyncFlush()
	return err
}

// restart forgets everything and continues from cut.
func (x *Index) restart(cut feature.Cut) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.db.NewBatch()
	defer b.Close()
	x.at.Log, x.at.Seq = cut.Log, cut.Seq
	err := errors.Join(
		b.DeleteRange([]byte{sourcePrefix}, []byte{sourcePrefix + 1}, nil),
		b.DeleteRange([]byte{eventPrefix}, []byte{eventPrefix + 1}, nil),
		set(b, []byte(positionKey), x.at),
	)
	if err != nil {
		return err
	}
	clear(x.sources)
	return x.commit(b)
}

func set(b *pebble.Batch, key []byte, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return b.Set(key, data, nil)
}

func sourceKey(name string) []byte { return append([]byte{sourcePrefix}, name...) }

func prefix(number uint32) []byte { return binary.BigEndian.AppendUint32([]byte{eventPrefix}, number) }

// appendTime appends an event time so that the order of the bytes is that of the times.
func appendTime(key []byte, t feature.Time) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(t)^1<<63)
}

// stored is an event that the index knows.
type stored struct {
	time  feature.Time
	sum   uint64
	place feature.Place
}

func appendStored(dst []byte, sum uint64, p feature.Place) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, sum)
	dst = binary.AppendUvarint(dst, p.Seq)
	return binary.AppendUvarint(dst, p.Row)
}

var errDamaged = errors.New("an entry of the index of ids is damaged: delete the index's folder, it is made again")

func parseStored(key, value []byte) (stored, error) {
	if len(key) < timeBytes || len(value) < 8 {
		return stored{}, errDamaged
	}
	s := stored{time: feature.Time(binary.BigEndian.Uint64(key[len(key)-timeBytes:]) ^ 1<<63), sum: binary.LittleEndian.Uint64(value)}
	seq, n := binary.Uvarint(value[8:])
	if n <= 0 {
		return stored{}, errDamaged
	}
	row, m := binary.Uvarint(value[8+n:])
	if m <= 0 || 8+n+m != len(value) {
		return stored{}, errDamaged
	}
	s.place = feature.Place{Seq: seq, Row: row}
	return s, nil
}
