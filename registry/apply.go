package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// Plan returns what Apply with the same arguments would do now, and changes nothing. Changes that cannot be
// made are a *feature.Error of CodeConflict with all reasons.
func (r *Registry) Plan(ctx context.Context, defs *Definitions, o Options) (*Plan, error) {
	rec, revision, err := r.load(ctx)
	if err != nil {
		return nil, err
	}
	plan, _, err := rec.plan(defs, o, time.Now())
	if err != nil {
		return nil, err
	}
	plan.Revision = revision
	return plan, nil
}

// Apply makes the registry say what the definitions say, all at once or not at all, and returns what changed.
// What the definitions do not name stays as it is, unless the options delete it. When it returns, Catalog is at
// the plan's revision or later. If nothing changes there is no new revision. If others change the registry
// at the same time it plans again on what they made; CodeConflict says that they never ceased.
func (r *Registry) Apply(ctx context.Context, defs *Definitions, o Options) (*Plan, error) {
	return r.change(ctx, func(rec *record) (*Plan, *record, error) { return rec.plan(defs, o, time.Now()) })
}

// Rollback makes the version of a service before its newest that was not deleted, or the one named as SERVICE@VERSION, its newest
// again, as a new version with the same list and the same versions of views (G1).
func (r *Registry) Rollback(ctx context.Context, service string) (*Plan, error) {
	ref, err := feature.ParseRef(service)
	if err != nil {
		return nil, err
	}
	return r.change(ctx, func(rec *record) (*Plan, *record, error) { return rec.rollback(ref, time.Now()) })
}

// change replaces the record by what plan returns, again if somebody else was faster.
func (r *Registry) change(ctx context.Context, plan func(*record) (*Plan, *record, error)) (*Plan, error) {
	for attempt := range attempts {
		rec, revision, err := r.load(ctx)
		if err != nil {
			return nil, err
		}
		p, next, err := plan(rec)
		if err != nil {
			return nil, err
		}
		p.Revision = revision
		if !p.Changed() {
			return p, nil
		}
		p.Revision, err = r.store(ctx, next, revision)
		switch {
		case err == nil:
			return p, nil
		case !raced(err):
			return nil, err
		}
		// What is read next may come from a server that has not seen the other's write yet.
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("apply definitions: %w", ctx.Err())
		case <-time.After(time.Duration(attempt) * 5 * time.Millisecond):
		}
	}
	return nil, feature.Errorf(feature.CodeConflict, "apply definitions: others changed the registry %d times meanwhile", attempts)
}

// raced reports whether a write failed because somebody else wrote first.
func raced(err error) bool {
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

// store writes the record if the registry still is at the revision.
func (r *Registry) store(ctx context.Context, rec *record, revision uint64) (uint64, error) {
	data, err := rec.encode()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if revision == 0 {
		revision, err = r.kv.Create(ctx, recordKey, data)
	} else {
		revision, err = r.kv.Update(ctx, recordKey, data, revision)
	}
	switch {
	case raced(err):
		return 0, err
	case errors.Is(err, nats.ErrMaxPayload):
		return 0, feature.Errorf(feature.CodeTooLarge, "write the registry: %d bytes of definitions are more than one NATS message takes (max_payload): %w", len(data), err)
	case err != nil:
		return 0, feature.Errorf(feature.CodeUnavailable, "write the registry: %w", err)
	}
	if _, err := r.adopt(data, revision); err != nil {
		return 0, err
	}
	return revision, nil
}

// rollback returns the change that makes an earlier version of a service its newest again.
func (r *record) rollback(ref feature.Ref, now time.Time) (*Plan, *record, error) {
	next := r.clone()
	o := next.find(KindService, ref.Name)
	if o == nil || o.Deleted {
		return nil, nil, feature.Errorf(feature.CodeNotFound, "%s", unknown("service", ref.Name, "", r.names(KindService)))
	}
	was := o.newest()
	if ref.Version == 0 {
		ref.Version = was.Version - 1
		for _, v := range o.Versions[:len(o.Versions)-1] {
			if !v.Retired {
				ref.Version = v.Version
			}
		}
	}
	to := o.number(ref.Version)
	switch {
	case to == nil:
		return nil, nil, feature.Errorf(feature.CodeNotFound, "service %s is at version %d and has no version %d to go back to", o.Name, was.Version, ref.Version)
	case to.Retired:
		return nil, nil, feature.Errorf(feature.CodeConflict, "version %d of service %s was deleted", ref.Version, o.Name)
	case to == was:
		return &Plan{Changes: []PlanChange{{Action: Unchanged, Kind: KindService, Name: o.Name, From: was.Version, To: was.Version}}}, next, nil
	}
	o.add(version{Since: now.UTC().Truncate(time.Microsecond), Definition: to.Definition, pins: to.pins})
	notes := append([]string{fmt.Sprintf("back to version %d", to.Version)}, diff(was.Definition.meaning(), to.Definition.meaning())...)
	notes = append(notes, moved("view", was.Views, to.Views)...)
	notes = append(notes, moved("on-demand", was.OnDemand, to.OnDemand)...)
	return &Plan{Changes: []PlanChange{{Action: Change, Kind: KindService, Name: o.Name, From: was.Version, To: o.newest().Version, Notes: notes}}}, next, nil
}

func moved(what string, was, to map[string]int) []string {
	var notes []string
	for _, name := range sortedKeys(to) {
		if n, ok := was[name]; ok && n != to[name] {
			notes = append(notes, fmt.Sprintf("%s %s: version %d, was %d", what, name, to[name], n))
		}
	}
	return notes
}
