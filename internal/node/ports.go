package node

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/gate"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/internal/verify"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/offline"
	"github.com/lockstepfs/lockstep/registry"
	"github.com/lockstepfs/lockstep/server"
)

// The parts of a node in the shapes that package server asks for.
type (
	pusher      struct{ *Node }
	importer    struct{ *Node }
	definitions struct{ *Node }
	verifier    struct{ *Node }
	querier     struct{ *Node }
)

func (n pusher) Push(ctx context.Context, p *server.Push) (*api.PushResponse, error) {
	mode := gate.Atomic
	if p.Partial {
		mode = gate.Partial
	}
	r, err := n.gate.Push(ctx, p.Source, p.Rows, mode)
	if err != nil {
		return nil, err
	}
	return &api.PushResponse{Accepted: r.Accepted, Seq: r.Seq, Refused: r.Refused, Duplicates: r.Duplicates, Conflicts: r.Conflicts, Differing: r.Differing}, nil
}

// Import returns once training sets see the rows; replicas follow on their own.
func (n importer) Import(ctx context.Context, im *server.Import, progress func(api.Progress)) (*api.ImportResult, error) {
	if im.Replace && im.Source.From != nil {
		return nil, feature.Errorf(feature.CodeInvalid, "source %s is copied from %s: what is copied next would be missing in what replaces it; define the files as a source of their own", im.Source.Name, im.Source.From.Name())
	}
	format, err := rowfile.ParseFormat(im.Format)
	if err != nil {
		return nil, err
	}
	req := materialize.ImportRequest{Source: im.Source, Path: im.File, Format: format, Name: im.Name, Replace: im.Replace}
	r, err := n.importer.Import(ctx, req, func(p materialize.ImportProgress) {
		progress(api.Progress{Stage: "import", Done: p.Done, Rows: p.Rows})
	})
	if err != nil {
		return nil, err
	}
	if err := n.covered.Wait(ctx, r.Seq); err != nil {
		return nil, fmt.Errorf("the rows are imported, the offline store does not show them yet: %w", err)
	}
	out := &api.ImportResult{Rows: r.Rows, Generation: r.Generation, Seq: r.Seq, Known: r.Already, Resumed: r.Resumed}
	if im.Replace {
		if err := n.replace(ctx, out, feature.Edition{Number: r.Edition, Seq: r.Seq}, im.Source.Name); err != nil {
			return nil, fmt.Errorf("the rows are imported and replace nothing yet; import them again: %w", err)
		}
	}
	if len(im.Source.ID) > 0 {
		if out.Duplicates, out.Conflicts, err = n.importer.Copies(ctx, req, r); err != nil {
			return nil, err
		}
		progress(api.Progress{Stage: "ids", Done: -1, Rows: r.Rows})
		err = n.known.Wait(ctx, im.Source, r.Seq) // so that a push that follows does not have to
	}
	return out, err
}

// replace makes what was imported all that is imported of the source (rule E2).
func (n importer) replace(ctx context.Context, out *api.ImportResult, edition feature.Edition, source string) error {
	plan, err := n.registry.Replace(ctx, source, edition)
	if err != nil {
		return err
	}
	for _, c := range plan.Changes {
		switch {
		case c.Action == registry.Change && c.Kind == registry.KindView:
			out.Views = append(out.Views, feature.Ref{Name: c.Name, Version: c.To}.String())
		case c.Action == registry.Behind:
			out.Behind = append(out.Behind, feature.Ref{Name: c.Name, Version: c.To}.String())
		}
	}
	return nil
}

func (n definitions) parse(r *api.RegistryRequest) (*registry.Definitions, registry.Options, error) {
	files := make(map[string][]byte, len(r.Files))
	for name, text := range r.Files {
		files[name] = []byte(text)
	}
	defs, err := registry.Parse(files)
	return defs, registry.Options{Upgrade: r.Upgrade, Delete: r.Delete}, err
}

func (n definitions) Describe(name string) ([]api.Definition, error) {
	if name != "" {
		d, err := n.registry.Describe(name)
		if err != nil {
			return nil, err
		}
		return []api.Definition{definitionOf(d)}, nil
	}
	all, err := n.registry.List()
	if err != nil {
		return nil, err
	}
	out := make([]api.Definition, len(all))
	for i, d := range all {
		out[i] = definitionOf(d)
	}
	return out, nil
}

func definitionOf(d *registry.Description) api.Definition {
	out := api.Definition{
		Kind: string(d.Kind), Name: d.Name, Version: d.Version, Description: d.Description, Owner: d.Owner, Tags: d.Tags,
		Definition: d.Definition, UsedBy: d.UsedBy,
	}
	for _, v := range d.Versions {
		out.Versions = append(out.Versions, api.DefinitionVersion(v))
	}
	return out
}

func (n definitions) Plan(ctx context.Context, r *api.RegistryRequest) (any, error) {
	defs, options, err := n.parse(r)
	if err != nil {
		return nil, err
	}
	plan, err := n.registry.Plan(ctx, defs, options)
	if err != nil {
		return nil, err
	}
	if err := n.checkOrigins(ctx, defs, plan); err != nil {
		return nil, err
	}
	return plan, n.estimate(ctx, defs, plan)
}

// Apply makes the event tables before it returns, so that what is pushed next has a place to go.
func (n definitions) Apply(ctx context.Context, r *api.RegistryRequest) (any, error) {
	defs, options, err := n.parse(r)
	if err != nil {
		return nil, err
	}
	plan, err := n.registry.Plan(ctx, defs, options)
	if err != nil {
		return nil, err
	}
	if err := n.checkOrigins(ctx, defs, plan); err != nil {
		return nil, err
	}
	if !r.Yes {
		if err := n.estimate(ctx, defs, plan); err != nil {
			return nil, err
		}
		if err := n.checkBudget(plan); err != nil {
			return nil, err
		}
	}
	if plan, err = n.registry.Apply(ctx, defs, options); err != nil {
		return nil, err
	}
	if n.writes() {
		if err := n.ensure(ctx, n.registry.Catalog()); err != nil {
			return nil, feature.Errorf(feature.CodeOf(err), "the definitions are applied and valid, but ClickHouse has no place for their events yet, which is made as soon as it can be: %w", err)
		}
	}
	return plan, nil
}

func (n definitions) Rollback(ctx context.Context, service string) (any, error) {
	return n.registry.Rollback(ctx, service)
}

// both is the two paths as package verify sees the offline one.
type both struct{ *Node }

func (b both) Lookup(ctx context.Context, l *feature.Lookup, cut feature.Cut) (*feature.Answer, error) {
	return b.offline.Lookup(ctx, l, cut)
}

func (b both) Explain(ctx context.Context, l *feature.Lookup, cut feature.Cut) (*feature.Answer, []asof.Trace, error) {
	return b.offline.Explain(ctx, l, cut)
}

func (b both) SampleKeys(ctx context.Context, p *feature.Plan, at feature.Time, n int, cut feature.Cut) ([][]feature.Value, error) {
	return b.offline.SampleKeys(ctx, p, at, n, cut)
}
func (b both) Wait(ctx context.Context, seq uint64) error { return b.covered.Wait(ctx, seq) }
func (b both) Watermark() feature.Cut                     { return b.covered.Watermark() }

// verifyWait bounds the wait for both paths to have what the log held when a verification began.
const verifyWait = time.Minute

// Verify compares what both paths make of the log as it is now: what was pushed before is looked at.
func (n verifier) Verify(ctx context.Context, v *server.Verification, progress func(api.Progress)) (*api.VerifyResult, error) {
	if err := n.offline.Ping(ctx); err != nil { // else it waits for ClickHouse to come back
		return nil, err
	}
	if err := n.level(ctx); err != nil {
		return nil, err
	}
	report, err := verify.Run(ctx, n.online, both(n), verify.Request{Plan: v.Plan, At: v.At, Sample: v.Sample}, func(p verify.Progress) {
		progress(api.Progress{Stage: "compare", Done: float64(p.Done) / float64(p.Total)})
	})
	if err != nil {
		return nil, err
	}
	r := &api.VerifyResult{Compared: report.Compared, Informative: report.Informative, Different: report.Different, Differences: []api.Difference{}}
	for _, d := range report.Differences {
		keys := map[string]feature.Value{}
		for i, k := range v.Plan.Keys {
			keys[k.Name] = d.Key[i]
		}
		out := api.Difference{Feature: d.Feature, Keys: keys, At: d.At.Std(), Online: api.CellOf(d.Online), Offline: api.CellOf(d.Offline)}
		if d.Why != nil {
			why := explained(d.Why)
			out.Explained = &why
		}
		r.Differences = append(r.Differences, out)
	}
	if err := report.Check(); err != nil {
		r.Problem = err.Error()
	}
	return r, nil
}

// level returns when both paths have what the log holds now.
func (n verifier) level(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verifyWait)
	defer cancel()
	_, head, err := n.log.Bounds(ctx)
	if err != nil {
		return err
	}
	if err := n.replica.Wait(ctx, head); err != nil {
		return err
	}
	return n.covered.Wait(ctx, head)
}

// queryRows is how many rows a look into the offline store returns at the most.
const queryRows = 100_000

func (n querier) Query(ctx context.Context, sql string) (*server.Table, error) {
	t, err := n.offline.Query(ctx, sql, queryRows)
	if err != nil {
		return nil, err
	}
	return &server.Table{Fields: t.Fields, Batches: batchesOf(t)}, nil
}

func batchesOf(t *offline.Table) iter.Seq2[*feature.Batch, error] {
	return func(yield func(*feature.Batch, error) bool) {
		b := &feature.Batch{Fields: t.Fields, Columns: make([]feature.Column, len(t.Fields))}
		for i, f := range t.Fields {
			b.Columns[i].Type = f.Type
		}
		for _, row := range t.Rows {
			b.Append(row)
		}
		if !yield(b, nil) || !t.Truncated {
			return
		}
		yield(nil, feature.Errorf(feature.CodeTooLarge, "the result has more than %d rows: add a LIMIT", queryRows))
	}
}
