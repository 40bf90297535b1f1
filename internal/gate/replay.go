package gate

import (
	"context"
	"iter"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// Replayer puts a refused row where it belongs now.
type Replayer interface {
	// PublishLetter appends the rows that a letter is now, once however often it is called, and discards it. known
	// says that the log had them.
	PublishLetter(ctx context.Context, x eventlog.Letter, b *feature.Batch) (seq uint64, known bool, err error)
	// RefuseAgain puts a letter with these reasons in place of x.
	RefuseAgain(ctx context.Context, x eventlog.Letter, reason, field string) error
	// Discard deletes letters.
	Discard(ctx context.Context, seqs ...uint64) error
}

// Replayed says what became of refused rows that came to the gate again.
type Replayed struct {
	Seq     uint64            // the greatest in the log of the rows taken; 0 if none was
	Taken   int               // rows that the log has now, or would have
	Known   int               // rows that it had before: an earlier replay was cut off behind them, or they are copies of events (rule E1)
	Refused int               // rows that are refused again
	Letters []eventlog.Letter // the first hundred of those, with the reasons of today
}

// Replay lets rows that were refused come to the gate again, as if they arrived now. A letter whose row is taken is
// gone, one that is refused again stays with the reason of today. With dry nothing changes, and the result is what
// would be. each is called after every letter; it may be nil.
func (g *Gate) Replay(ctx context.Context, letters iter.Seq2[eventlog.Letter, error], dry bool, each func(Replayed)) (Replayed, error) {
	r := &replay{gate: g, dry: dry, builders: map[string]*Builder{}}
	for x, err := range letters {
		if err == nil {
			err = r.add(ctx, x)
		}
		if err != nil {
			return r.out, err
		}
		if each != nil {
			each(r.out)
		}
	}
	return r.out, nil
}

type replay struct {
	gate     *Gate
	dry      bool
	builders map[string]*Builder // by source; the definitions are those at its first letter
	out      Replayed
}

func (r *replay) add(ctx context.Context, x eventlog.Letter) error {
	b := r.builders[x.Source]
	if b == nil {
		var err error
		if b, err = r.gate.builder(x.Source); err != nil {
			if feature.CodeOf(err) != feature.CodeNotFound {
				return err
			}
			return r.refuse(ctx, x, eventlog.Letter{Reason: err.Error()})
		}
		r.builders[x.Source] = b
	}
	if details := b.add(x.Raw); len(details) > 0 {
		return r.refuse(ctx, x, letter(x.Source, details, nil))
	}
	batch := b.Batch()
	if len(b.src.ID) > 0 {
		return r.once(ctx, x, b.src, batch)
	}
	if r.dry {
		r.out.Taken++
		return nil
	}
	seq, known, err := r.gate.cfg.Again.PublishLetter(ctx, x, batch)
	if err != nil {
		return err
	}
	r.out.Seq = max(r.out.Seq, seq)
	if known {
		r.out.Known++
	} else {
		r.out.Taken++
	}
	return nil
}

// once replays a row of a source with an id: that it is in the log once is a matter of the id.
func (r *replay) once(ctx context.Context, x eventlog.Letter, src *feature.Source, batch *feature.Batch) error {
	copies, seq, err := r.identify(ctx, src, batch)
	if err != nil {
		return err
	}
	if len(copies) > 0 && copies[0].Conflict {
		return r.refuse(ctx, x, eventlog.Letter{Reason: copies[0].Reason()})
	}
	r.out.Seq = max(r.out.Seq, seq)
	r.out.Known += len(copies)
	r.out.Taken += 1 - len(copies)
	if r.dry {
		return nil
	}
	return r.gate.cfg.Again.Discard(ctx, x.Seq)
}

// identify publishes a row, unless dry, and says whether it is a copy.
func (r *replay) identify(ctx context.Context, src *feature.Source, batch *feature.Batch) ([]feature.Copy, uint64, error) {
	if !r.dry {
		done, err := r.gate.cfg.Identity.Publish(ctx, src, batch)
		return done.Copies, done.Seq, err
	}
	would, err := r.gate.cfg.Identity.Reserve(ctx, src, batch)
	if err != nil {
		return nil, 0, err
	}
	return would.Copies, 0, would.Done(nil, false)
}

// refuse keeps x with the reasons of now.
func (r *replay) refuse(ctx context.Context, x, now eventlog.Letter) error {
	if !r.dry {
		if err := r.gate.cfg.Again.RefuseAgain(ctx, x, now.Reason, now.Field); err != nil {
			return err
		}
	}
	x.Reason, x.Field = now.Reason, now.Field
	r.out.Refused++
	if len(r.out.Letters) < maxDetails {
		r.out.Letters = append(r.out.Letters, x)
	}
	return nil
}
