package registry

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// deletes marks what is to be deleted, then reports what still depends on it.
func (p *planner) deletes() error {
	var gone []*object
	for _, name := range p.options.Delete {
		o, number, err := p.next.lookup(name)
		switch {
		case err != nil:
			return err
		case number > 0:
			if err := p.retire(o, number); err != nil {
				return err
			}
		case p.defined[o] != nil:
			p.problems.add(p.defined[o].place().value("name"), "%s cannot be deleted while it is defined here: remove the definition as well", o)
		case !o.Deleted:
			o.delete()
			gone = append(gone, o)
			p.plan.Changes = slices.DeleteFunc(p.plan.Changes, func(c PlanChange) bool { return c.Kind == o.Kind && c.Name == o.Name })
			p.note(Delete, o, o.newest().Version)
		}
	}
	for _, o := range gone {
		if using := p.next.dependents(o); len(using) > 0 {
			p.problems.add(spot{}, "%s cannot be deleted while it is used by %s", o, strings.Join(using, ", "))
		}
	}
	return nil
}

// delete marks o as deleted. Its versions stay retired if the name is ever used again.
func (o *object) delete() {
	o.Deleted = true
	for _, v := range o.Versions {
		v.Retired = true
	}
}

// retire marks one version of a service as no longer served.
func (p *planner) retire(o *object, number int) error {
	if o.Kind != KindService {
		return feature.Errorf(feature.CodeInvalid, "%s@%d cannot be deleted by itself: a version of a %s goes when nothing pins it", o, number, o.Kind)
	}
	if number == o.newest().Version {
		return feature.Errorf(feature.CodeConflict, "%s@%d is the newest version: delete the whole service, or roll it back first", o, number)
	}
	v := o.number(number)
	if v == nil {
		return feature.Errorf(feature.CodeNotFound, "%s has no version %d: expected 1 to %d", o, number, o.newest().Version)
	}
	if !v.Retired {
		v.Retired = true
		p.plan.Changes = append(p.plan.Changes, PlanChange{
			Action: Delete, Kind: o.Kind, Name: fmt.Sprintf("%s@%d", o.Name, number), From: number,
		})
	}
	return nil
}

func (o *object) number(n int) *version {
	for _, v := range o.Versions {
		if v.Version == n {
			return v
		}
	}
	return nil
}

// lookup finds what a person calls NAME, KIND/NAME, NAME@VERSION or KIND/NAME@VERSION, deleted objects last.
// The version is 0 if none was said. It fails with CodeNotFound, or CodeInvalid for a name that means several.
func (r *record) lookup(name string) (*object, int, error) {
	kind, rest, ok := strings.Cut(name, "/")
	if !ok {
		kind, rest = "", name
	}
	ref, err := feature.ParseRef(rest)
	if err != nil {
		return nil, 0, err
	}
	var found, deleted []*object
	var known []string
	for _, o := range r.Objects {
		if !o.Deleted {
			known = append(known, o.Name)
		}
		if o.Name != ref.Name || kind != "" && string(o.Kind) != kind {
			continue
		}
		if o.Deleted {
			deleted = append(deleted, o)
		} else {
			found = append(found, o)
		}
	}
	if len(found) == 0 {
		found = deleted
	}
	switch len(found) {
	case 0:
		slices.Sort(known)
		return nil, 0, feature.Errorf(feature.CodeNotFound, "%s", unknown("name", name, "", slices.Compact(known)))
	case 1:
		return found[0], ref.Version, nil
	default:
		var kinds []string
		for _, o := range found {
			kinds = append(kinds, string(o.Kind)+"/"+ref.Name)
		}
		return nil, 0, feature.Errorf(feature.CodeInvalid, "%q means several things: expected %s", name, oneOf(kinds))
	}
}
