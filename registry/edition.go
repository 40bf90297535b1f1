package registry

import (
	"context"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Replace makes an edition that was imported the one that imports of the source go into (rule E2): the source has a new version, and so
// has every view on it, which sees the imported events of that edition and none of others. No service moves. Replacing by the
// edition that there is changes nothing; by one that came before it, it is a CodeConflict error.
func (r *Registry) Replace(ctx context.Context, source string, edition feature.Edition) (*Plan, error) {
	return r.change(ctx, func(rec *record) (*Plan, *record, error) { return rec.replace(source, edition, time.Now()) })
}

func (r *record) replace(source string, edition feature.Edition, now time.Time) (*Plan, *record, error) {
	p := planner{old: r, next: r.clone(), now: now.UTC().Truncate(time.Microsecond)}
	o := p.next.find(KindSource, source)
	if o == nil || o.Deleted {
		return nil, nil, feature.Errorf(feature.CodeNotFound, "%s", unknown("source", source, "", p.next.names(KindSource)))
	}
	switch was := o.newest(); {
	case was.Edition == edition:
		p.note(Unchanged, o, was.Version)
	case was.Edition.Number >= edition.Number:
		return nil, nil, feature.Errorf(feature.CodeConflict, "the imported events of source %s were replaced by others meanwhile", source)
	default:
		o.add(version{Since: p.now, Definition: was.Definition, Edition: edition})
		p.note(Change, o, was.Version, "what was imported before is replaced")
	}
	p.next.alive(KindView, func(v *object) {
		was := v.newest()
		if def, _ := was.Definition.(*View); def.Source != source || was.Edition == edition {
			return
		}
		v.add(version{Since: p.now, Definition: was.Definition, Edition: edition, Computed: was.Computed})
		p.note(Change, v, was.Version, "what was imported into source "+source+" before is replaced")
	})
	p.next.alive(KindService, p.follow)
	return &p.plan, p.next, nil
}

// edition returns the edition that a new version of a definition has: a source keeps its own, a view sees that of its source.
func (r *record) edition(def definition) feature.Edition {
	source := def.name()
	if v, ok := def.(*View); ok {
		source = v.Source
	}
	if o := r.find(KindSource, source); o != nil && def.kind() != KindEntity && def.kind() != KindService {
		return o.newest().Edition
	}
	return feature.Edition{}
}
