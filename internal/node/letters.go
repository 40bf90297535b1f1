package node

import (
	"context"
	"iter"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
	"github.com/lockstepfs/lockstep/server"
)

// letters is the dead letters of the log in the shape that package server asks for.
type letters struct{ *Node }

func letterOf(l eventlog.Letter) api.DeadLetter {
	return api.DeadLetter{Seq: l.Seq, Time: l.Time, Source: l.Source, Reason: l.Reason, Field: l.Field, Raw: string(l.Raw)}
}

func lettersOf(letters []eventlog.Letter) []api.DeadLetter {
	out := make([]api.DeadLetter, len(letters))
	for i, l := range letters {
		out[i] = letterOf(l)
	}
	return out
}

func (n letters) DeadLetters(ctx context.Context, q api.DeadLetterQuery) ([]api.DeadLetter, error) {
	found, err := n.log.Letters(ctx, eventlog.LetterQuery(q))
	return lettersOf(found), err
}

func (n letters) DeadLetter(ctx context.Context, seq uint64) (*api.DeadLetter, error) {
	l, err := n.log.Letter(ctx, seq)
	if err != nil {
		return nil, err
	}
	out := letterOf(l)
	return &out, nil
}

// ReplayLetters returns when the log has the rows; replicas and the history follow on their own.
func (n letters) ReplayLetters(ctx context.Context, r *server.Replay, progress func(api.Progress)) (*api.ReplayResult, error) {
	chosen := n.log.EachLetter(ctx, eventlog.LetterQuery(r.Query))
	if len(r.Letters) > 0 {
		chosen = n.named(ctx, r.Letters)
	}
	done, err := n.gate.Replay(ctx, chosen, r.DryRun, func(so gate.Replayed) {
		if rows := so.Taken + so.Known + so.Refused; rows%100 == 0 {
			progress(api.Progress{Stage: "replay", Done: -1, Rows: int64(rows)})
		}
	})
	if err != nil {
		return nil, err
	}
	return &api.ReplayResult{Taken: done.Taken, Known: done.Known, Refused: done.Refused, Letters: lettersOf(done.Letters), Seq: done.Seq}, nil
}

// named yields the letters with these sequences.
func (n letters) named(ctx context.Context, seqs []uint64) iter.Seq2[eventlog.Letter, error] {
	return func(yield func(eventlog.Letter, error) bool) {
		for _, seq := range seqs {
			if l, err := n.log.Letter(ctx, seq); !yield(l, err) || err != nil {
				return
			}
		}
	}
}
