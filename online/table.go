package online

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// shards is how many locks the states of one view are spread over. A power of two.
const shards = 256

// Phases of a table.
const (
	joining int32 = iota // the stream is applied, history is still to be merged
	ready                // lookups are answered
	gone                 // dropped: whoever still holds it must not use it
)

// table holds the states of one view version.
type table struct {
	id      uint32 // of its keys on disk; never used again
	ref     feature.Ref
	view    *feature.View
	source  *feature.Source
	inputs  []feature.Input
	slots   []int    // for each feature of the view the index of its input in inputs
	windows *windows // nil for a view of latest features alone
	print   string   // fingerprint of the view and of what it needs of its source
	look    string   // fingerprint of the view alone

	same     atomic.Pointer[feature.View] // another copy of the same definition seen last
	phase    atomic.Int32
	clock    atomic.Int64 // asof.NoClock without events. It is raised before states are pruned by it.
	distinct sketch       // of keys
	nulls    atomic.Int64 // events that are not part of the view (K2)
	loading  atomic.Bool  // a part of a generation is visible before its record (see Merge)

	readings sync.Pool // *reading, of a windowed view

	// Guarded by Store.flushing.
	swept   []byte        // where the next sweep goes on, without the prefix
	written tableSnapshot // the last flush, without its cells

	staged  []*stage // guarded by Store.apply: generations that the next Advance makes visible
	mapping mapping  // scratch of the applier
	former  bool     // guarded by Store.apply: served in the place of a newer version that is joining

	shards [shards]shard
}

// shard holds some states that are not in the layers below, or not for sure.
type shard struct {
	mu     sync.RWMutex
	dirty  map[string]*cell // changed since the last flush began; its cells change under mu
	recent map[string]*cell // of the last flush: nothing in it changes but trees; dirty wins over it
	values []feature.Value  // scratch for who holds mu
}

func newTable(id uint32, v *feature.View, src *feature.Source, leaf int) (*table, error) {
	t := &table{id: id, ref: v.Ref(), view: v, source: src, inputs: v.Inputs(), windows: newWindows(v, src, leaf), look: lookPrint(v), print: fingerprint(v, src)}
	t.slots = make([]int, len(v.Features))
	t.readings.New = func() any { return newReading(t.windows) }
	for i := range v.Features {
		t.slots[i] = v.InputOf(i, t.inputs)
	}
	var err error
	if t.mapping.formulas, err = newFormulas(t.inputs, src); err != nil {
		return nil, fmt.Errorf("view %s: %w", t.ref, err)
	}
	t.clock.Store(int64(asof.NoClock))
	for i := range t.shards {
		t.shards[i].dirty = map[string]*cell{}
	}
	return t, nil
}

// lookPrint returns a fingerprint of a view's definition.
func lookPrint(v *feature.View) string {
	defaults := make([]feature.Value, len(v.Features))
	for i, f := range v.Features {
		defaults[i] = f.Default
	}
	return hashJSON(v, defaults)
}

// fingerprint returns a fingerprint of all that a stored state of the view depends on.
func fingerprint(v *feature.View, src *feature.Source) string {
	return hashJSON(lookPrint(v), src.Name, src.EventTime, src.Tiebreak, src.Deleted)
}

func hashJSON(parts ...any) string {
	b, err := json.Marshal(parts)
	if err != nil {
		panic(err) // definitions hold nothing that JSON cannot say
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// serves reports whether v is the definition that the table was made from.
func (t *table) serves(v *feature.View) bool {
	if v == t.view || v == t.same.Load() {
		return true
	}
	if lookPrint(v) != t.look {
		return false
	}
	t.same.Store(v)
	return true
}

func (t *table) floor() feature.Time {
	return asof.Floor(feature.Time(t.clock.Load()), t.view.History)
}

func (t *table) keep() feature.Time {
	return asof.Keep(feature.Time(t.clock.Load()), t.view.History, t.view.Delay)
}

// raise moves the clock to c if that is later.
func (t *table) raise(c feature.Time) {
	for {
		old := t.clock.Load()
		if int64(c) <= old || t.clock.CompareAndSwap(old, int64(c)) {
			return
		}
	}
}

// prefix appends what the table's keys begin with on disk.
func (t *table) prefix(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(append(dst, statePrefix), t.id)
}

func (t *table) shard(hash uint64) *shard { return &t.shards[hash>>56%shards] }
