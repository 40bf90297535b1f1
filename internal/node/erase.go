package node

import (
	"context"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/board"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/server"
)

// eraser is a materialize.Eraser in the shape that package server asks for.
type eraser struct{ *Node }

func (n eraser) Erase(ctx context.Context, e *server.Erasure, progress func(api.Progress)) (*api.EraseResult, error) {
	if err := n.offline.Ping(ctx); err != nil { // else it waits for ClickHouse to come back
		return nil, err
	}
	run := materialize.Eraser{
		Catalog: n.registry.Catalog, Log: n.log, Entries: n.log, Letters: n.log, Past: Past{n.offline, n.covered}, Present: n.everywhere,
	}
	req := materialize.EraseRequest{Entity: e.Entity.Name, Keys: e.Keys, DryRun: e.DryRun}
	done, err := run.Erase(ctx, req, func(p materialize.EraseProgress) { progress(api.Progress{Stage: p.Stage, Done: p.Done}) })
	if err != nil {
		return nil, err
	}
	out := &api.EraseResult{
		Seq: done.Seq, Sources: []api.ErasedSource{}, LogEntries: done.Entries, DeadLetters: done.Letters, Rebuilt: append([]string{}, done.Views...), Left: left(),
	}
	for _, s := range done.Sources {
		out.Sources = append(out.Sources, api.ErasedSource(s))
	}
	return out, nil
}

// everywhere returns when the replica and the gate of this process, if it has them, and all replicas that are alive have
// applied seq.
func (n eraser) everywhere(ctx context.Context, seq uint64) error {
	if n.replica != nil {
		if err := n.replica.Wait(ctx, seq); err != nil {
			return err
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n.ids != nil && n.ids.Position().Seq < seq {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return feature.Errorf(feature.CodeUnavailable, "the index of ids is at sequence %d of %d: %w", n.ids.Position().Seq, seq, ctx.Err())
		}
	}
	want := board.Replica{Position: feature.Cut{Log: n.log.ID(), Seq: seq}}
	_, err := n.copying.board.Wait(ctx, want, func([]board.Replica) {})
	return err
}

// left says where an erased key may still be.
func left() []string {
	return []string{
		"training sets and other results that were taken out before",
		"backups of ClickHouse, NATS and data folders: whoever restores one erases again",
		"where the events came from: files, tables and producers. What comes from there again counts again",
		"logs of ClickHouse (system.query_log, system.mutations) and of this program's servers, which name the key, and files of ClickHouse and NATS that are not in use any more but not yet deleted",
	}
}
