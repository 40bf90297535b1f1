package identity

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// syncEvery is how often what the index learned is written so that a crash does not take it.
const syncEvery = 10 * time.Second

// Run keeps the index level with the log until ctx ends. What cannot be reached is tried again; meanwhile Publish
// goes on where it does not need it. Where the log does not continue the index, or has an entry that cannot be read,
// the index begins anew with what the offline store has. Run returns nil when ctx ended, and eventlog.ErrReplaced or
// ErrDamaged, which only a new start can mend.
func (p *Publisher) Run(ctx context.Context) error {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = 50*time.Millisecond, 5*time.Second
	for {
		before := p.cfg.Index.Position()
		err := p.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, eventlog.ErrReplaced) || errors.Is(err, ErrDamaged) {
			return err
		}
		if corrupt, ok := errors.AsType[*eventlog.CorruptError](err); ok {
			p.beyond = corrupt.Upto // where the sink will have it or pass it over
		}
		p.wake(err)
		if p.cfg.Index.Position() != before {
			retry.Reset()
		}
		wait := retry.NextBackOff()
		p.cfg.Logger.Warn("the index of ids stopped and will try again", slog.Any("error", err), slog.Duration("wait", wait))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// follow places the index where the log continues it and applies entries from there.
func (p *Publisher) follow(ctx context.Context) error {
	if err := p.place(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	changed := p.cfg.Changed()
	if err := p.adopt(ctx); err != nil {
		return err
	}
	p.wake(nil)
	entries := make(chan eventlog.Entry, 64) // what the log sends ahead while a generation is loaded
	from := p.cfg.Index.Position().Seq + 1
	group.Go(func() error {
		return p.cfg.Log.Tail(ctx, from, func(e eventlog.Entry) error {
			select {
			case entries <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	})
	group.Go(func() error {
		tick := time.NewTicker(syncEvery)
		defer tick.Stop()
		for {
			var err error
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-p.cfg.Index.damaged:
				return ErrDamaged
			case <-changed:
				changed = p.cfg.Changed()
				err = p.adopt(ctx)
			case e := <-entries:
				err = p.apply(ctx, e)
			case <-tick.C:
				err = p.cfg.Index.sync()
			}
			if err != nil {
				return err
			}
			p.wake(nil)
		}
	})
	return group.Wait()
}

// place starts the index anew where the log does not continue it.
func (p *Publisher) place(ctx context.Context) error {
	first, last, err := p.cfg.Log.Bounds(ctx)
	if err != nil {
		return err
	}
	at := p.cfg.Index.Position()
	if at.Log == p.cfg.Log.ID() && at.Seq+1 >= first && at.Seq <= last && at.Seq >= p.beyond {
		p.begin(p.begun() == 0)
		return nil
	}
	if at.Log != "" {
		p.cfg.Logger.Info("the index of ids begins anew: the log does not continue it",
			slog.Uint64("position", at.Seq), slog.Uint64("log_first", first), slog.Uint64("log_last", last))
	}
	if err := p.cfg.Past.Wait(ctx, max(first-min(first, 1), p.beyond)); err != nil {
		return err
	}
	cut := p.cfg.Past.Watermark()
	if cut.Log != p.cfg.Log.ID() { // a sink elsewhere has not gone on with this log yet
		return feature.Errorf(feature.CodeUnavailable, "begin anew: the offline store covers log %s, not yet log %s", cut.Log, p.cfg.Log.ID())
	}
	if err := p.cfg.Index.restart(cut); err != nil {
		return err
	}
	p.begin(true) // before the index knows a source again
	return nil
}

// begin begins an epoch if the index is another than before.
func (p *Publisher) begin(another bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if another {
		p.epoch++
	}
}

// adopt loads the ids of sources that the index does not know, as they are at its position: what it passed over of
// them before it knew that they have an id is there.
func (p *Publisher) adopt(ctx context.Context) error {
	at := p.cfg.Index.Position()
	for _, src := range p.cfg.Catalog().Sources {
		if len(src.ID) == 0 || p.cfg.Index.Knows(src) {
			continue
		}
		if err := p.cfg.Past.Wait(ctx, at.Seq); err != nil {
			return err
		}
		// It is known from when it is complete: until then a Judge fails and nobody publishes.
		load, err := p.cfg.Index.begin(src)
		if err != nil {
			return err
		}
		for b, err := range p.cfg.Past.Arrivals(ctx, src, at, 0) {
			if err == nil {
				err = load.add(b)
			}
			if err != nil {
				return err
			}
		}
		if err := load.finish(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) apply(ctx context.Context, e eventlog.Entry) error {
	x := p.cfg.Index
	var source string
	switch {
	case e.Batch != nil:
		source = e.Batch.Source
	case e.Record != nil && (e.Record.Kind == eventlog.RecordImport || e.Record.Kind == eventlog.RecordForget && e.Record.Forget != nil):
		source = e.Record.Source
	default:
		return x.advance(e.Seq)
	}
	src := p.cfg.Catalog().Source(source)
	if src == nil || len(src.ID) == 0 || !x.Knows(src) { // adopt will load it
		return x.advance(e.Seq)
	}
	if e.Batch != nil {
		if !p.turn(source).forget(e.Seq) {
			if err := x.Add(src, e.Batch, func(i int) feature.Place { return feature.Place{Seq: e.Seq, Row: uint64(i)} }); err != nil {
				return err
			}
		}
		return x.advance(e.Seq)
	}
	if f := e.Record.Forget; f != nil {
		if err := x.Forget(src, f.Events, f.Before); err != nil {
			return err
		}
		return x.advance(e.Seq)
	}
	return p.learn(ctx, src, e)
}

// learn loads the ids of a generation, which the sink has rid of copies when it covers its record.
func (p *Publisher) learn(ctx context.Context, src *feature.Source, e eventlog.Entry) error {
	if err := p.cfg.Past.Wait(ctx, e.Seq); err != nil {
		return err
	}
	cut := feature.Cut{Log: p.cfg.Log.ID(), Seq: e.Seq}
	for b, err := range p.cfg.Past.Arrivals(ctx, src, cut, e.Record.Generation) {
		if err == nil {
			err = p.cfg.Index.AddArrivals(src, b, e.Record.Edition)
		}
		if err != nil {
			return err
		}
	}
	duplicates, conflicts, err := p.cfg.Past.Copies(ctx, src.Name, e.Record.Generation)
	if err != nil {
		return err
	}
	return p.cfg.Index.advanceCounting(e.Seq, src.Name, Counts{duplicates, conflicts})
}
