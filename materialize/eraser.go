package materialize

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
)

// Entries is what the log holds already, for the Eraser.
type Entries interface {
	Bounds(ctx context.Context) (first, last uint64, err error)
	// PublishBarrier makes gates read the log up to it before they publish rows of the source of b with an id.
	PublishBarrier(ctx context.Context, b *feature.Batch) error
	// EraseEntries deletes the entries before a sequence that holds says yes to.
	EraseEntries(ctx context.Context, before uint64, holds func(eventlog.Entry) bool, each func(seq uint64)) (int, error)
}

// Letters is the refused rows, for the Eraser.
type Letters interface {
	EachLetter(ctx context.Context, q eventlog.LetterQuery) iter.Seq2[eventlog.Letter, error]
	EraseLetters(ctx context.Context, seqs ...uint64) error
}

// Erased is the offline store, for the Eraser. It erases when its sink comes to the record.
type Erased interface {
	CountErased(ctx context.Context, e feature.Erasure, seq uint64) (rows uint64, err error)
	Wait(ctx context.Context, seq uint64) error
}

// Eraser takes keys of entities out of existence (rule E3; docs/adr/0012-erase.md).
type Eraser struct {
	Catalog func() *feature.Catalog
	Log     Recorder
	Entries Entries
	Letters Letters
	Past    Erased
	Present func(ctx context.Context, seq uint64) error // returns when the replicas, and the gate of this process, have applied the sequence
}

// EraseRequest names keys of an entity.
type EraseRequest struct {
	Entity string
	Keys   []feature.Key
	DryRun bool // only count
}

// EraseProgress says how far an erase has come.
type EraseProgress struct {
	Stage string // history, replica, letters or log
	Done  float64
}

// EraseResult says what was erased, or would be.
type EraseResult struct {
	Seq     uint64 // of the record in the log; 0 of a dry run
	Sources []ErasedSource
	Views   []string // of other entities and mappings, which replicas load anew
	Entries int      // row groups of the log that held a key
	Letters int
}

// ErasedSource is what was erased of one source.
type ErasedSource struct {
	Source  string
	Columns []string // the columns that hold the key
	Rows    uint64   // events of the history
}

// Erase returns when the keys are gone from the offline store, the replica of this process, the dead letters and the log.
// When it is cut off, what is left of the keys is of no effect; calling it again takes it away. It fails with CodeNotFound
// for an unknown entity and with CodeInvalid for one that no view is on.
func (r *Eraser) Erase(ctx context.Context, req EraseRequest, progress func(EraseProgress)) (*EraseResult, error) {
	catalog := r.Catalog()
	erasures, err := Erasures(catalog, req.Entity, req.Keys)
	if err != nil {
		return nil, err
	}
	out := &EraseResult{}
	_, head, err := r.Entries.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.Past.Wait(ctx, head); err != nil { // so that what was pushed before is counted
		return nil, err
	}
	for i, e := range erasures {
		rows, err := r.Past.CountErased(ctx, e.Erasure, math.MaxInt64)
		if err != nil {
			return nil, err
		}
		out.Sources = append(out.Sources, ErasedSource{e.Source, e.Columns, rows})
		for _, v := range catalog.Views {
			if _, own := keysOf(erasures, v); v.Source == e.Source && !own && !slices.Contains(out.Views, v.Ref().String()) {
				out.Views = append(out.Views, v.Ref().String())
			}
		}
		progress(EraseProgress{"history", float64(i+1) / float64(2*len(erasures))})
	}
	if req.DryRun {
		out.Letters, err = r.letters(ctx, catalog, erasures, true)
		return out, err
	}
	out.Seq, err = r.Log.PublishRecord(ctx, eventlog.Record{ID: "erase-" + rand.Text(), Kind: eventlog.RecordErase, Erase: erasures})
	if err != nil {
		return nil, err
	}
	if err := r.finish(ctx, req, out, erasures, progress); err != nil {
		return nil, fmt.Errorf("the keys are erased from entry %d of the log on; what is left of them was not taken away to the end, erase them again: %w", out.Seq, err)
	}
	return out, nil
}

// finish waits for the stores and takes away what is left.
func (r *Eraser) finish(ctx context.Context, req EraseRequest, out *EraseResult, erasures []eventlog.Erasure, progress func(EraseProgress)) (err error) {
	if err := r.Past.Wait(ctx, out.Seq); err != nil {
		return err
	}
	progress(EraseProgress{"replica", 0})
	for _, src := range r.Catalog().Sources {
		touched := slices.ContainsFunc(erasures, func(e eventlog.Erasure) bool { return e.Source == src.Name })
		if !touched || len(src.ID) == 0 {
			continue
		}
		if err := r.Entries.PublishBarrier(ctx, feature.NewBatch(src)); err != nil {
			return err
		}
	}
	_, head, err := r.Entries.Bounds(ctx) // behind what tells the gates which ids are free again
	if err != nil {
		return err
	}
	if err := r.Present(ctx, head); err != nil {
		return err
	}
	progress(EraseProgress{"letters", 0})
	if out.Letters, err = r.letters(ctx, r.Catalog(), erasures, false); err != nil {
		return err
	}
	// The record names the keys, so it goes too. It must not be the log's last entry then.
	done, err := r.Log.PublishRecord(ctx, eventlog.Record{
		ID: "erased-" + rand.Text(), Kind: eventlog.RecordErased, Note: fmt.Sprintf("%d keys of entity %s at entry %d", len(req.Keys), req.Entity, out.Seq),
	})
	if err != nil {
		return err
	}
	holds := func(e eventlog.Entry) bool {
		hit := holdsEntry(erasures, e)
		if hit && e.Batch != nil {
			out.Entries++
		}
		return hit
	}
	_, err = r.Entries.EraseEntries(ctx, done, holds, func(seq uint64) {
		if seq%1000 == 0 {
			progress(EraseProgress{"log", float64(seq) / float64(done)})
		}
	})
	return err
}

// holdsEntry reports whether an entry of the log has one of the keys: in a row, or in the record of an erase.
func holdsEntry(erasures []eventlog.Erasure, e eventlog.Entry) bool {
	for _, x := range erasures {
		switch {
		case e.Batch != nil && e.Batch.Source == x.Source:
			for i := range e.Batch.Rows {
				if x.Holds(e.Batch, i) {
					return true
				}
			}
		case e.Record != nil && e.Record.Kind == eventlog.RecordForget && e.Record.Source == x.Source:
			return true
		case e.Record != nil:
			for _, y := range e.Record.Erase {
				if y.Source == x.Source && slices.Equal(y.Columns, x.Columns) && slices.ContainsFunc(y.Keys, func(k feature.Key) bool {
					return slices.ContainsFunc(x.Keys, k.Equal)
				}) {
					return true
				}
			}
		}
	}
	return false
}

// letters erases the refused rows that hold one of the keys, or counts them.
func (r *Eraser) letters(ctx context.Context, catalog *feature.Catalog, erasures []eventlog.Erasure, dry bool) (int, error) {
	var seqs []uint64
	for _, e := range erasures {
		src := catalog.Source(e.Source)
		if src == nil {
			continue // dropped meanwhile
		}
		for x, err := range r.Letters.EachLetter(ctx, eventlog.LetterQuery{Source: e.Source}) {
			if err != nil {
				return 0, err
			}
			if gate.Holds(src, x.Raw, &e.Erasure) {
				seqs = append(seqs, x.Seq)
			}
		}
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	if dry {
		return len(seqs), nil
	}
	return len(seqs), r.Letters.EraseLetters(ctx, seqs...)
}

// Erasures returns the events in which a view on an entity finds one of the keys: for each source and each way in which
// views find the key there.
func Erasures(catalog *feature.Catalog, entity string, keys []feature.Key) ([]eventlog.Erasure, error) {
	if catalog.Entity(entity) == nil {
		var known []string
		for _, e := range catalog.Entities {
			known = append(known, e.Name)
		}
		slices.Sort(known)
		return nil, feature.Errorf(feature.CodeNotFound, "unknown entity %q: expected one of %s", entity, strings.Join(known, ", "))
	}
	var out []eventlog.Erasure
	for _, v := range catalog.Views {
		known := slices.ContainsFunc(out, func(e eventlog.Erasure) bool { return e.Source == v.Source && slices.Equal(e.Columns, v.Keys) })
		if v.Entity.Name == entity && !known {
			out = append(out, eventlog.Erasure{Erasure: feature.Erasure{Source: v.Source, Columns: v.Keys, Keys: keys}})
		}
	}
	if len(out) == 0 {
		return nil, feature.Errorf(feature.CodeInvalid, "no view is on entity %s: nothing says in which events its keys are", entity)
	}
	return out, nil
}

// keysOf returns the keys of a view that erasures take away, nil for none. It returns false if they take away more of the
// view than keys: its source also loses events of other keys.
func keysOf(erasures []eventlog.Erasure, v *feature.View) (keys []feature.Key, own bool) {
	for _, e := range erasures {
		if e.Source != v.Source {
			continue
		}
		order := make([]int, len(v.Keys))
		for i, column := range v.Keys {
			order[i] = slices.Index(e.Columns, column)
		}
		sorted := slices.Sorted(slices.Values(order))
		if len(order) != len(e.Columns) || sorted[0] < 0 || len(slices.Compact(sorted)) < len(order) {
			return nil, false
		}
		for _, k := range e.Keys {
			key := make(feature.Key, len(order))
			for i, at := range order {
				key[i] = k[at]
			}
			keys = append(keys, key)
		}
	}
	return keys, true
}
