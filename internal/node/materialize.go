package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/board"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/materialize"
)

// materializer brings what ClickHouse has to the replicas.
type materializer struct{ *Node }

// Materialize copies what is new in tables that others keep, and returns when every replica that is alive has that and
// everything that the log said at the call.
func (n materializer) Materialize(ctx context.Context, r *api.MaterializeRequest, progress func(api.Progress)) (*api.MaterializeResult, error) {
	views, sources, err := n.chosen(r.Views)
	if err != nil {
		return nil, err
	}
	result := &api.MaterializeResult{Views: []api.MaterializedView{}}
	if r.WaitOnly {
		sources = nil
	}
	if result.Copies, err = n.copyAll(ctx, sources, r, progress); err != nil {
		return nil, err
	}
	_, head, err := n.log.Bounds(ctx)
	if err != nil {
		return nil, err
	}
	if r.DryRun {
		n.plan(result, views, r.Full, head)
		return result, nil
	}
	if r.Full {
		rebuild := eventlog.Record{ID: fmt.Sprintf("rebuild-%d", time.Now().UnixNano()), Kind: eventlog.RecordRebuild}
		for _, v := range views {
			rebuild.Views = append(rebuild.Views, v.Name)
		}
		if head, err = n.log.PublishRecord(ctx, rebuild); err != nil {
			return nil, err
		}
	}
	return result, n.await(ctx, result, views, head, progress)
}

// copyAll copies the sources one after the other.
func (n materializer) copyAll(ctx context.Context, sources []*feature.Source, r *api.MaterializeRequest, progress func(api.Progress)) ([]api.CopiedSource, error) {
	if len(sources) == 0 {
		return nil, nil
	}
	if !n.writes() {
		return nil, feature.Errorf(feature.CodeInvalid, "source %s is copied from a table, which this process does not do (its roles lack sink and ingest): ask another one, or name views without such a source", sources[0].Name)
	}
	copies := []api.CopiedSource{}
	for _, src := range sources {
		read := func(rows int64) { progress(api.Progress{Stage: "copy " + src.Name, Done: -1, Rows: rows}) }
		did, err := n.copySource(ctx, src, materialize.CopyOptions{Full: r.Full, DryRun: r.DryRun, Read: read})
		if err != nil {
			return nil, err
		}
		copies = append(copies, copied(src, n.registry.Catalog(), did))
	}
	return copies, nil
}

// await waits for the replica of this process, if it has one, and for all others that are alive.
func (n materializer) await(ctx context.Context, result *api.MaterializeResult, views []*feature.View, head uint64, progress func(api.Progress)) error {
	var start uint64
	if n.online != nil {
		start = n.online.Position().Seq
		done := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			n.watch(done, start, head, progress)
		}()
		err := n.replica.Wait(ctx, head)
		close(done)
		<-watched
		if err != nil {
			return err
		}
	}
	want := board.Replica{Position: feature.Cut{Log: n.log.ID(), Seq: head}, Revision: n.registry.Catalog().Revision}
	replicas, err := n.copying.board.Wait(ctx, want, func(seen []board.Replica) {
		for _, r := range seen {
			progress(api.Progress{Stage: fmt.Sprintf("%d replicas", len(seen)), Done: share(r.Position.Seq, start, head)})
		}
	})
	if err != nil {
		return err
	}
	result.Seq, result.Replicas = head, len(replicas)
	if n.online != nil {
		n.materialized(result, views)
	}
	return nil
}

// share is how far at is from the one sequence to the other.
func share(at, from, to uint64) float64 {
	if to <= from || at >= to {
		return 1
	}
	return float64(at-min(at, from)) / float64(to-from)
}

// watch reports how far the replica has come until done is closed.
func (n materializer) watch(done <-chan struct{}, from, to uint64, progress func(api.Progress)) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		p := api.Progress{Stage: "log", Done: share(n.online.Position().Seq, from, to)}
		for _, j := range n.replica.Joining() {
			p.Stage, p.Done = "history of "+j.View.String(), -1
			p.Rows += j.Rows
		}
		progress(p)
	}
}

// chosen returns the views named, or those of a source named, and the sources of these that are copied from tables; all of
// both when there are no names.
func (n materializer) chosen(names []string) (views []*feature.View, sources []*feature.Source, err error) {
	catalog := n.registry.Catalog()
	take := func(source string) {
		src := catalog.Source(source)
		if src != nil && src.From != nil && !slices.Contains(sources, src) {
			sources = append(sources, src)
		}
	}
	if len(names) == 0 {
		for _, src := range catalog.Sources {
			take(src.Name)
		}
		return catalog.Views, sources, nil
	}
	for _, name := range names {
		ref, err := feature.ParseRef(name)
		if err != nil {
			return nil, nil, err
		}
		if v := catalog.View(ref.Name, ref.Version); v != nil {
			views = append(views, v)
			take(v.Source)
			continue
		}
		if ref.Version != 0 || catalog.Source(ref.Name) == nil {
			return nil, nil, feature.Errorf(feature.CodeNotFound, "unknown view or source %q", name)
		}
		take(ref.Name)
		for _, v := range catalog.Views {
			if v.Source == ref.Name {
				views = append(views, v)
			}
		}
	}
	return views, sources, nil
}

// plan says what would be done for the views.
func (n materializer) plan(result *api.MaterializeResult, views []*feature.View, full bool, head uint64) {
	note := "the replicas would apply the log up to sequence " + fmt.Sprint(head)
	if n.online != nil {
		result.Seq = n.online.Position().Seq
		note = fmt.Sprintf("would apply the log from sequence %d to %d", result.Seq+1, head)
		if result.Seq >= head {
			note = "nothing to do: the replica has it all"
		}
	}
	if full {
		note = "would load the history anew from ClickHouse"
	}
	for _, v := range views {
		result.Views = append(result.Views, api.MaterializedView{View: v.Ref().String(), Note: note + n.wouldGet(result, v)})
	}
}

// wouldGet says how many events a copy would bring to the view.
func (n materializer) wouldGet(result *api.MaterializeResult, v *feature.View) string {
	for _, c := range result.Copies {
		if c.Source == v.Source && c.Rows > 0 {
			return fmt.Sprintf("; %d more events of source %s", c.Rows, c.Source)
		}
	}
	return ""
}

func (n materializer) materialized(result *api.MaterializeResult, views []*feature.View) {
	stats := n.online.Stats()
	for _, v := range views {
		for _, s := range stats.Views {
			if s.View != v.Ref() {
				continue
			}
			m := api.MaterializedView{View: s.View.String(), Keys: s.Keys}
			if s.HasClock {
				m.Note = fmt.Sprintf("answers instants from %s; newest event at %s", s.Floor, s.Clock)
			}
			result.Views = append(result.Views, m)
		}
	}
}
