package materialize

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// Past is what the replica asks the offline store for.
type Past interface {
	// Kept returns the view's clock over some events and those of them that a replica keeps (rule C4): all
	// events visible at cut when generation is 0, else the imported events of that generation alone.
	Kept(ctx context.Context, v *feature.View, src *feature.Source, cut feature.Cut, generation uint64) (clock feature.Time, rows iter.Seq2[asof.Kept, error], err error)
	// Wait returns when the offline store covers seq.
	Wait(ctx context.Context, seq uint64) error
	// Watermark returns the cut that the offline store covers; its Log is "" when that is not known yet.
	Watermark() feature.Cut
}

// Present is the online store as the replica writes it.
type Present interface {
	Position() feature.Cut
	// Restart forgets everything and continues from cut: all views join anew.
	Restart(cut feature.Cut) error
	// Follow sets which views are kept and returns those whose history has still to be merged.
	Follow(catalog *feature.Catalog) (joining []*feature.View, err error)
	Apply(seq uint64, taken feature.Time, b *feature.Batch) error
	// Merge adds events to a view; they become visible together.
	Merge(v feature.Ref, clock feature.Time, rows iter.Seq2[asof.Kept, error]) error
	SetReady(v feature.Ref) error
	// Follows reports whether the view is kept, ready or not.
	Follows(v feature.Ref) bool
	// Rejoin makes the view's history be merged anew.
	Rejoin(v feature.Ref) error
	// Erase forgets what the view has of some keys.
	Erase(v feature.Ref, keys []feature.Key) error
	// Advance moves the position past an entry without rows.
	Advance(seq uint64) error
}

// ReplicaConfig configures a Replica; every field is needed.
type ReplicaConfig struct {
	Log     Log
	Past    Past
	Present Present
	Catalog func() *feature.Catalog
	Changed func() <-chan struct{} // a channel that is closed when Catalog will next return another catalog
	Logger  *slog.Logger
}

// Replica keeps an online store equal to the log (rules C1 to C4).
type Replica struct {
	cfg ReplicaConfig

	mu      sync.Mutex
	moved   chan struct{} // closed and replaced when position or readiness move
	joining map[feature.Ref]*Progress
	adopted *feature.Catalog // whose views the store follows; nil before the first
	failure error

	unread   uint64 // the entry that could not be read; of Run
	attempts int    // at it
	beyond   uint64 // the place to be at to have it behind, once it was tried often enough
}

// unreadable is how often an entry that cannot be read is tried before the replica begins anew behind it.
const unreadable = 5

// Progress is how far a view's history has been loaded.
type Progress struct {
	View feature.Ref
	Rows int64 // events merged so far
}

// NewReplica returns a replica that Run drives.
func NewReplica(cfg ReplicaConfig) *Replica {
	return &Replica{cfg: cfg, moved: make(chan struct{}), joining: map[feature.Ref]*Progress{}}
}

// Run applies the log until ctx ends. A store or log that cannot be reached is tried again; what was applied is
// served meanwhile. Where the log does not continue the store, or has an entry that cannot be read, the store begins anew
// with what the offline store has. Run returns nil when ctx ended, and eventlog.ErrReplaced, which only a new start can mend.
func (r *Replica) Run(ctx context.Context) error {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = 50*time.Millisecond, 5*time.Second
	for {
		before := r.cfg.Present.Position()
		err := r.follow(ctx)
		if at, ok := errors.AsType[*eraseError](err); ok && ctx.Err() == nil {
			if err = r.erase(at.entry); err == nil {
				continue
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, eventlog.ErrReplaced) {
			return err
		}
		r.setFailure(err) // a log that was truncated, or lost its end, is met by place
		r.despair(err)
		if r.cfg.Present.Position() != before {
			retry.Reset()
		}
		wait := retry.NextBackOff()
		r.cfg.Logger.Warn("the replica stopped and will try again", slog.Any("error", err), slog.Duration("wait", wait))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// follow places the store at a position that the log continues and applies entries from there.
func (r *Replica) follow(ctx context.Context) error {
	if err := r.place(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	changed := r.cfg.Changed()
	if err := r.adopt(ctx, group); err != nil {
		return err
	}
	from := r.cfg.Present.Position().Seq + 1
	entries := make(chan eventlog.Entry, 64) // what the log sends ahead while a generation is loaded
	group.Go(func() error {
		return r.cfg.Log.Tail(ctx, from, func(e eventlog.Entry) error {
			select {
			case entries <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	group.Go(func() error {
		r.setFailure(nil)
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
				changed = r.cfg.Changed()
				if err := r.adopt(ctx, group); err != nil {
					return err
				}
			case e := <-entries:
				if e.Record != nil && e.Record.Kind == eventlog.RecordErase {
					return &eraseError{e}
				}
				if err := r.apply(ctx, group, e); err != nil {
					return err
				}
				r.wake()
			}
		}
	})
	return group.Wait()
}

// despair counts how often an entry could not be read. Sooner or later the sink has it or passes it over: then the offline
// store has what there is of it.
func (r *Replica) despair(err error) {
	corrupt, ok := errors.AsType[*eventlog.CorruptError](err)
	if !ok {
		return
	}
	if r.unread != corrupt.Seq {
		r.unread, r.attempts = corrupt.Seq, 0
	}
	if r.attempts++; r.attempts >= unreadable {
		r.beyond = corrupt.Upto
	}
}

// place starts the store anew where the log does not continue it: at the watermark of the offline store, which
// covers everything up to there.
func (r *Replica) place(ctx context.Context) error {
	first, last, err := r.cfg.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	at := r.cfg.Present.Position()
	why := ""
	switch {
	case at.Log == "":
		why = "it is new"
	case at.Log != r.cfg.Log.ID():
		why = "the log is another one"
	case at.Seq+1 < first:
		why = "the log does not reach back to it"
	case at.Seq > last:
		why = "the log does not reach as far as it: it has lost its end"
	case at.Seq < r.beyond:
		why = "the log cannot be read behind it"
	default:
		return nil
	}
	if at.Log != "" {
		r.cfg.Logger.Warn("the replica begins anew", slog.String("why", why), slog.Uint64("position", at.Seq),
			slog.Uint64("log_first", first), slog.Uint64("log_last", last))
	}
	if err := r.cfg.Past.Wait(ctx, max(first, r.beyond+1, 1)-1); err != nil {
		return err
	}
	cut := r.cfg.Past.Watermark()
	if first, last, err = r.cfg.Log.Bounds(ctx); err != nil {
		return err
	}
	if cut.Log != r.cfg.Log.ID() || cut.Seq > last || cut.Seq+1 < first {
		return feature.Errorf(feature.CodeUnavailable, "begin anew: the offline store covers log %s up to %d, which does not go together with log %s from %d to %d",
			cut.Log, cut.Seq, r.cfg.Log.ID(), first, last)
	}
	return r.cfg.Present.Restart(cut)
}

// adopt follows the views of the current catalog; the history of new ones is merged in the background while the
// stream is applied to them already: the state is a function of the set of events, not of their order (C1).
func (r *Replica) adopt(ctx context.Context, group *errgroup.Group) error {
	catalog := r.cfg.Catalog()
	joining, err := r.cfg.Present.Follow(catalog)
	if err != nil {
		return err
	}
	cut := r.cfg.Present.Position()
	for _, v := range joining {
		r.mu.Lock()
		_, running := r.joining[v.Ref()]
		if !running {
			r.joining[v.Ref()] = &Progress{View: v.Ref()}
		}
		r.mu.Unlock()
		if !running {
			group.Go(func() error {
				defer r.joined(v.Ref())
				return r.join(ctx, v, catalog.Source(v.Source), cut)
			})
		}
	}
	r.mu.Lock()
	r.adopted = catalog
	r.mu.Unlock()
	r.wake()
	return nil
}

func (r *Replica) join(ctx context.Context, v *feature.View, src *feature.Source, cut feature.Cut) error {
	if err := r.cfg.Past.Wait(ctx, cut.Seq); err != nil {
		return err
	}
	if err := r.merge(ctx, v, src, cut, 0); err != nil {
		if errors.Is(err, feature.ErrNotFound) {
			return nil // dropped from the catalog meanwhile
		}
		return err
	}
	if err := r.reach(ctx, v.Edition.Seq); err != nil { // no read sees an edition without what it began with (rule E2)
		return err
	}
	if err := r.cfg.Present.SetReady(v.Ref()); !errors.Is(err, feature.ErrNotFound) {
		return err
	}
	return nil // dropped meanwhile
}

// reach returns when the store has come to a sequence.
func (r *Replica) reach(ctx context.Context, seq uint64) error {
	for {
		r.mu.Lock()
		moved := r.moved
		r.mu.Unlock()
		if r.cfg.Present.Position().Seq >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Replica) joined(v feature.Ref) {
	r.mu.Lock()
	delete(r.joining, v)
	r.mu.Unlock()
	r.wake()
}

func (r *Replica) merge(ctx context.Context, v *feature.View, src *feature.Source, cut feature.Cut, generation uint64) error {
	clock, rows, err := r.cfg.Past.Kept(ctx, v, src, cut, generation)
	if err != nil {
		return err
	}
	return r.cfg.Present.Merge(v.Ref(), clock, r.counted(v.Ref(), rows))
}

// counted passes rows on and counts them for Joining.
func (r *Replica) counted(v feature.Ref, rows iter.Seq2[asof.Kept, error]) iter.Seq2[asof.Kept, error] {
	return func(yield func(asof.Kept, error) bool) {
		n := int64(0)
		for k, err := range rows {
			if n++; n%4096 == 0 {
				r.mu.Lock()
				if p := r.joining[v]; p != nil {
					p.Rows = n
				}
				r.mu.Unlock()
			}
			if !yield(k, err) {
				return
			}
		}
	}
}

func (r *Replica) apply(ctx context.Context, group *errgroup.Group, e eventlog.Entry) error {
	if e.Batch != nil {
		return r.cfg.Present.Apply(e.Seq, e.Taken, e.Batch)
	}
	if e.Record == nil {
		return r.cfg.Present.Advance(e.Seq)
	}
	catalog := r.cfg.Catalog()
	switch e.Record.Kind {
	case eventlog.RecordImport:
		// The rows are all in ClickHouse before their record is in the log; but which of them are copies (rule E1)
		// is known when the sink has come to it.
		if src := catalog.Source(e.Record.Source); src != nil && len(src.ID) > 0 {
			if err := r.cfg.Past.Wait(ctx, e.Seq); err != nil {
				return err
			}
		}
		cut := feature.Cut{Log: r.cfg.Log.ID(), Seq: e.Seq}
		for _, v := range slices.Concat(catalog.Views, catalog.Former) {
			if v.Source != e.Record.Source || v.Edition.Number != e.Record.Edition || !r.cfg.Present.Follows(v.Ref()) {
				continue
			}
			if err := r.merge(ctx, v, catalog.Source(v.Source), cut, e.Record.Generation); err != nil && !errors.Is(err, feature.ErrNotFound) {
				return err
			}
		}
	case eventlog.RecordRebuild:
		for _, v := range catalog.Views {
			if !named(e.Record.Views, v.Name) || r.isJoining(v.Ref()) {
				continue
			}
			if err := r.cfg.Present.Rejoin(v.Ref()); err != nil && !errors.Is(err, feature.ErrNotFound) {
				return err
			}
		}
		// Before the position moves, so that whoever waits for it sees what is being loaded.
		if err := r.adopt(ctx, group); err != nil {
			return err
		}
	case eventlog.RecordErase, eventlog.RecordForget, eventlog.RecordErased: // Run has taken erased keys out; the others are for gates
	}
	return r.cfg.Present.Advance(e.Seq)
}

// named reports whether name is in views; no views means all.
func named(views []string, name string) bool {
	if len(views) == 0 {
		return true
	}
	return slices.Contains(views, name)
}

func (r *Replica) isJoining(v feature.Ref) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.joining[v] != nil
}

func (r *Replica) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.moved)
	r.moved = make(chan struct{})
}

func (r *Replica) setFailure(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = err
}

// Failure returns why the replica is not moving, or nil.
func (r *Replica) Failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}

// Joining returns how far the views have come whose history is being loaded.
func (r *Replica) Joining() []Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Progress
	for _, p := range r.joining {
		out = append(out, *p)
	}
	return out
}

// Adopted returns the catalog whose views the store follows, nil before the replica has reached the log.
func (r *Replica) Adopted() *feature.Catalog {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.adopted
}

// Wait returns when the replica has applied seq, follows the views of the catalog of now or a later one, and no
// view's history is being loaded; when ctx ends it returns an error that says how far it came.
func (r *Replica) Wait(ctx context.Context, seq uint64) error {
	want := r.cfg.Catalog()
	for {
		r.mu.Lock()
		moved, busy, adopted, failure := r.moved, len(r.joining), r.adopted, r.failure
		r.mu.Unlock()
		at := r.cfg.Present.Position()
		current := adopted == want || adopted != nil && adopted.Revision > want.Revision
		if at.Log != "" && at.Seq >= seq && current && busy == 0 {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			err := ctx.Err()
			if failure != nil {
				err = failure
			}
			return feature.Errorf(feature.CodeUnavailable, "the replica is at sequence %d of %d with %d views loading: %w", at.Seq, seq, busy, err)
		}
	}
}
