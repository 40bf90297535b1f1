package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/board"
	"github.com/lockstepfs/lockstep/internal/schedule"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/registry"
)

// copying are the parts that copy tables that others keep, and tell other processes of it.
type copying struct {
	board     *board.Board
	copier    *materialize.Copier
	scheduler *materialize.Scheduler
}

// openCopying makes what imports files and copies tables that others keep. Where the sink is, it also keeps the schedules.
func (n *Node) openCopying(ctx context.Context) (err error) {
	if n.copying.board, err = board.Open(ctx, n.log.JetStream(), n.logger); err != nil {
		return err
	}
	n.importer = &materialize.Importer{Archive: n.offline, Log: n.log, Dead: n.log, Hold: n.copying.board.Hold, Logger: n.logger, Now: n.cfg.Now}
	n.copying.copier = &materialize.Copier{Tables: n.offline, Log: n.log, Covered: n.covered, Hold: n.copying.board.Hold, Logger: n.logger, Now: n.cfg.Now}
	n.copying.scheduler = &materialize.Scheduler{
		Catalog: n.registry.Catalog, Changed: n.registry.Changed, Logger: n.logger, Now: n.cfg.Now,
		Copy: func(ctx context.Context, src *feature.Source) error {
			_, err := n.copySource(ctx, src, materialize.CopyOptions{})
			return err
		},
	}
	return nil
}

// copySource copies what is new in the table of src, and tells everybody how it went.
func (n *Node) copySource(ctx context.Context, src *feature.Source, o materialize.CopyOptions) (materialize.CopyResult, error) {
	began := time.Now()
	did, err := n.copying.copier.Copy(ctx, src, o)
	if errors.Is(err, feature.ErrConflict) || o.DryRun {
		return did, err // another one is under way, which tells how it went
	}
	how := board.Outcome{Source: src.Name, At: time.Now().UTC(), Took: time.Since(began), Copied: did.Copied}
	if err != nil {
		how.Error = feature.Public(err)
	}
	telling, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if failed := n.copying.board.Tell(telling, how); failed != nil {
		n.logger.Warn("the outcome of a copy cannot be told", slog.String("source", src.Name), slog.Any("error", failed))
	}
	return did, err
}

// standing is how far the replica of this process is.
func (n *Node) standing() board.Replica {
	r := board.Replica{Position: n.online.Position()}
	if adopted := n.replica.Adopted(); adopted != nil {
		r.Revision = adopted.Revision
	}
	r.Loading = len(n.replica.Joining()) // after the revision: what that one brings is joining by now
	return r
}

// copied is a copy as the outside sees it.
func copied(src *feature.Source, catalog *feature.Catalog, did materialize.CopyResult) api.CopiedSource {
	out := api.CopiedSource{
		Source: src.Name, Read: did.Read, Rows: did.Rows, Duplicates: did.Duplicates, Conflicts: did.Conflicts, Refused: did.Refused,
		Generation: did.Generation, Seq: did.Seq, Views: []string{},
	}
	if did.Rows > 0 {
		first, last := did.First.Std(), did.Last.Std()
		out.First, out.Last = &first, &last
	}
	for _, e := range did.Examples[:min(len(did.Examples), 20)] {
		out.Examples = append(out.Examples, api.RefusedRow{Field: e.Field, Reason: e.Reason, Raw: e.Raw})
	}
	for _, v := range catalog.Views {
		if v.Source == src.Name {
			out.Views = append(out.Views, v.Ref().String())
		}
	}
	return out
}

// copies tells how the last copy of each source went, and when the next one is due.
func (n *Node) copies(ctx context.Context) ([]api.CopyStatus, error) {
	outcomes, err := n.copying.board.Outcomes(ctx)
	out := []api.CopyStatus{}
	for _, src := range n.registry.Catalog().Sources {
		if src.From == nil {
			continue
		}
		s := api.CopyStatus{Source: src.Name, From: src.From.Name(), Schedule: src.From.Schedule}
		if due, err := schedule.Parse(src.From.Schedule); err == nil {
			next := due.Next(time.Now())
			s.Next = &next
		}
		if i := slices.IndexFunc(outcomes, func(o board.Outcome) bool { return o.Source == src.Name }); i >= 0 {
			o := outcomes[i]
			s.Last, s.TookMS, s.Rows, s.Refused, s.Error = &o.At, o.Took.Milliseconds(), o.Copied.Rows, o.Copied.Refused, o.Error
			if !o.Good.IsZero() {
				s.Good = &o.Good
			}
		}
		out = append(out, s)
	}
	return out, err
}

// patience is how long plan and apply wait for ClickHouse to say whether tables are as sources expect them.
const patience = 10 * time.Second

// checkOrigins looks at the tables of those sources of the definitions that are new or changed. What is wrong with them is a
// CodeInvalid error with the places in the definitions. Where ClickHouse cannot be asked the tables are not checked:
// materialize does it in any case.
func (n *Node) checkOrigins(ctx context.Context, defs *registry.Definitions, plan *registry.Plan) error {
	catalog, err := registry.Resolve(defs)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wrong := &feature.Error{Code: feature.CodeInvalid, Message: "tables that sources are copied from are not as expected"}
	for i, src := range catalog.Sources {
		if src.From == nil || !slices.ContainsFunc(plan.Changes, func(c registry.PlanChange) bool {
			return c.Kind == registry.KindSource && c.Name == src.Name && (c.Action == registry.Create || c.Action == registry.Change)
		}) {
			continue
		}
		err := n.offline.CheckFrom(ctx, src)
		e, ok := errors.AsType[*feature.Error](err)
		switch {
		case err == nil:
		case !ok || e.Code != feature.CodeInvalid:
			n.logger.Warn("the table of a source was not checked", slog.String("source", src.Name), slog.Any("error", err))
		default:
			wrong.Details = append(wrong.Details, placed(defs.Sources[i], e)...)
		}
	}
	if len(wrong.Details) == 0 {
		return nil
	}
	return wrong
}

// placed are the details of an error about src, or the error itself, with the places in the definitions.
func placed(src *registry.Source, e *feature.Error) []feature.Detail {
	details := e.Details
	if len(details) == 0 {
		details = []feature.Detail{{Field: "from", Message: e.Message}}
	}
	out := make([]feature.Detail, len(details))
	for i, d := range details {
		out[i] = src.Spot(d.Field)
		out[i].Message = d.Message
	}
	return out
}
