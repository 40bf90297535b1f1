package materialize

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// reader reads the log for a sink. What the log has lost it passes over: entries that are there and cannot be read, after
// some tries, and entries that are not there. A letter keeps what is known of them, and a record makes the replicas begin
// anew, so that none of them holds what the history lacks.
type reader struct {
	sink *Sink
	open uint64 // last sequence of the batch that has to be gathered again, or 0
	out  chan<- eventlog.Entry
}

// read sends entries from a sequence on until ctx ends or the log cannot be read.
func (r *reader) read(ctx context.Context, from uint64) error {
	for {
		err := r.sink.cfg.Log.Tail(ctx, from, func(e eventlog.Entry) error {
			from = e.Seq + 1
			return r.send(ctx, e)
		})
		if ctx.Err() != nil {
			return err
		}
		l, lost := r.loss(ctx, from, err)
		if !lost {
			return err
		}
		if err := r.passOver(ctx, l); err != nil {
			return err
		}
		from = l.upto + 1
	}
}

func (r *reader) send(ctx context.Context, e eventlog.Entry) error {
	select {
	case r.out <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loss is entries that the log has lost.
type loss struct {
	from, upto uint64
	err        error
	letter     eventlog.Letter
}

// loss returns what err says is lost. It is false while there is hope: for another error, and for damage that was not seen
// often enough to be believed.
func (r *reader) loss(ctx context.Context, from uint64, err error) (loss, bool) {
	if corrupt, ok := errors.AsType[*eventlog.CorruptError](err); ok {
		d := r.sink.damage(corrupt.Seq)
		d.tries++
		return loss{corrupt.Seq, corrupt.Upto, err, eventlog.Letter{Source: sourceOf(corrupt.Subject), Raw: corrupt.Raw}}, d.tries >= r.sink.cfg.Tries
	}
	if !errors.Is(err, eventlog.ErrTruncated) {
		return loss{}, false
	}
	first, _, boundsErr := r.sink.cfg.Log.Bounds(ctx)
	return loss{from: from, upto: first - 1, err: err}, boundsErr == nil && first > from
}

// sourceOf returns the source in the subject of a row group.
func sourceOf(subject string) string {
	parts := strings.Split(subject, ".")
	if len(parts) == 4 {
		return parts[2]
	}
	return ""
}

func (r *reader) passOver(ctx context.Context, l loss) error {
	if d := r.sink.damage(l.from); !d.told {
		if err := r.tell(ctx, l); err != nil {
			return err
		}
		d.told = true
	}
	// In place of the lost entries an empty one at each end of them, and where a batch ends.
	ends := []uint64{l.from}
	if r.open > l.from && r.open < l.upto {
		ends = append(ends, r.open)
	}
	if l.upto > l.from {
		ends = append(ends, l.upto)
	}
	for _, seq := range ends {
		if err := r.send(ctx, eventlog.Entry{Seq: seq}); err != nil {
			return err
		}
	}
	return nil
}

// tell keeps a letter about a loss, and makes the replicas begin anew.
func (r *reader) tell(ctx context.Context, l loss) error {
	cfg := r.sink.cfg
	l.letter.Reason = fmt.Sprintf("entries %d to %d of the log were lost before the history had them: %v", l.from, l.upto, l.err)
	cfg.Logger.Error("the log has lost entries that the history does not have; they are passed over",
		slog.Uint64("first", l.from), slog.Uint64("last", l.upto), slog.Any("error", l.err))
	if err := cfg.Log.Refuse(ctx, l.letter); err != nil {
		return err
	}
	record := eventlog.Record{ID: fmt.Sprintf("lost-%d-%d", l.from, l.upto), Kind: eventlog.RecordRebuild, Note: l.letter.Reason}
	_, err := cfg.Log.PublishRecord(ctx, record)
	return err
}

// damage is what is known of entries that the log has lost. It stays until the history is behind them: what comes next may
// be damaged too, and then they are come to again.
type damage struct {
	tries int  // how often they could not be read
	told  bool // a letter tells of them
}

// damage returns what is known of the lost entries that begin at a sequence.
func (s *Sink) damage(seq uint64) *damage {
	if s.damaged[seq] == nil {
		s.damaged[seq] = &damage{}
	}
	return s.damaged[seq]
}

// believed returns how many losses were passed over. No reader runs meanwhile.
func (s *Sink) believed() int {
	at, n := s.Watermark().Seq, 0
	for seq, d := range s.damaged {
		switch {
		case seq <= at:
			delete(s.damaged, seq)
		case d.told:
			n++
		}
	}
	return n
}
