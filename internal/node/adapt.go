package node

import (
	"context"
	"iter"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/offline"
)

// History is the offline store as a materialize.Sink sees it: entries of the log become entries of the store.
type History struct{ Store *offline.Store }

// Recover is the store's.
func (h History) Recover(ctx context.Context) (watermark feature.Cut, open uint64, err error) {
	return h.Store.Recover(ctx)
}

// Follow is the store's.
func (h History) Follow(ctx context.Context, log string, after uint64) error {
	return h.Store.Follow(ctx, log, after)
}

// ErasedIDs is the store's.
func (h History) ErasedIDs(ctx context.Context, e feature.Erasure, seq uint64) iter.Seq2[*feature.Batch, error] {
	return h.Store.ErasedIDs(ctx, e, seq)
}

// Append is the store's.
func (h History) Append(ctx context.Context, log string, entries []eventlog.Entry) error {
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

// Covered is how far the offline store covers the log: a Sink of this process knows it, else a Follower.
type Covered interface {
	Wait(ctx context.Context, seq uint64) error
	Watermark() feature.Cut
	Failure() error
}

// Past is the offline store as a materialize.Replica sees it.
type Past struct {
	*offline.Store
	Covered
}

// Kept is the store's. It makes the table of a source that was defined a moment ago.
func (p Past) Kept(ctx context.Context, v *feature.View, src *feature.Source, cut feature.Cut, generation uint64) (feature.Time, iter.Seq2[asof.Kept, error], error) {
	if err := p.Ensure(ctx, src); err != nil {
		return 0, nil, err
	}
	return p.Store.Kept(ctx, v, src, cut, generation)
}

// Watermark is what Covered says.
func (p Past) Watermark() feature.Cut { return p.Covered.Watermark() }
