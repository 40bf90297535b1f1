package gate

import (
	"context"
	"log/slog"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// Run takes the rows of the inbox, where other producers publish JSON, until ctx ends. Good rows get into the
// log; bad ones, and those of sources that nobody defined, become dead letters. Start it when the catalog is
// there.
func (g *Gate) Run(ctx context.Context) error {
	return g.cfg.Inbox.Inbox(ctx, g.receive)
}

// receive makes batches and letters of rows of the inbox. It fails only where rows must be kept for later.
func (g *Gate) receive(ctx context.Context, source string, rows [][]byte) (eventlog.InboxResult, error) {
	var out eventlog.InboxResult
	b, err := g.builder(source)
	switch {
	case feature.CodeOf(err) == feature.CodeNotFound:
		for _, raw := range rows {
			out.Letters = append(out.Letters, letter(source, []feature.Detail{{Message: err.Error()}}, raw))
		}
	case err != nil:
		return out, err
	default:
		p := &push{builder: b}
		for _, raw := range rows {
			if details := b.add(raw); len(details) > 0 {
				out.Letters = append(out.Letters, letter(source, details, raw))
			} else {
				p.keep(feature.Detail{}, raw)
			}
		}
		switch {
		case b.Rows() == 0:
		case len(b.src.ID) == 0:
			out.Batches = append(out.Batches, b.Batch())
		default:
			r, err := g.cfg.Identity.Reserve(ctx, b.src, b.Batch())
			if err != nil {
				return out, err
			}
			out.Letters = append(out.Letters, p.conflicts(b.src, r.Copies)...)
			out.Next = append(out.Next, eventlog.Next{Batch: r.Fresh, After: r.After, Done: r.Done})
		}
	}
	if n := len(out.Letters); n > 0 {
		g.cfg.Logger.Warn("refused rows of the inbox", slog.String("source", source), slog.Int("rows", n), slog.String("first_reason", out.Letters[0].Reason))
	}
	return out, nil
}
