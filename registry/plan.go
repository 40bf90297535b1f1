package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Action is what a plan does to one name.
type Action string

// The actions. Only those up to Delete change the registry.
const (
	Create   Action = "create"   // a new name, or one that was deleted
	Change   Action = "change"   // a new version
	Upgrade  Action = "upgrade"  // a new version of a service, on the newest versions of its views
	Annotate Action = "annotate" // another description, owner or tags: no new version
	Delete   Action = "delete"   // the name is no longer served

	Unchanged Action = "unchanged"
	Behind    Action = "behind"  // a service that stays on older versions of its views (G1)
	Missing   Action = "missing" // registered, but not in the definitions: it stays as it is
)

// Options says what a plan does besides what the definitions say.
type Options struct {
	// Upgrade names services to move to the newest versions of their views (G1).
	Upgrade []string `json:"upgrade,omitempty"`
	// Delete names what to delete: NAME, KIND/NAME where a name is ambiguous, or SERVICE@VERSION for one version
	// of a service that is not its newest.
	Delete []string `json:"delete,omitempty"`
}

// Plan is the difference between definitions and the registry.
type Plan struct {
	// Revision is the registry's revision that the plan starts from; after Apply the one that has it.
	Revision uint64       `json:"revision"`
	Changes  []PlanChange `json:"changes"`
}

// PlanChange says what happens to one name, or that nothing does.
type PlanChange struct {
	Action Action   `json:"action"`
	Kind   Kind     `json:"kind"`
	Name   string   `json:"name"`
	From   int      `json:"from,omitempty"` // newest version before; 0 if there was none
	To     int      `json:"to,omitempty"`   // newest version after; 0 if deleted
	Notes  []string `json:"notes,omitempty"`
	// State is what a new version of a view will take, where whoever planned could tell.
	State *StateEstimate `json:"state,omitempty"`
}

// StateEstimate is about what a view takes on the disk of every replica, before compression.
type StateEstimate struct {
	Keys  uint64 `json:"keys"`
	Bytes int64  `json:"bytes"`
}

// String returns the estimate in words.
func (s *StateEstimate) String() string {
	return fmt.Sprintf("about %s of state in every replica, for %d keys", size(s.Bytes), s.Keys)
}

// size writes bytes with a unit.
func size(n int64) string {
	x, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if x < 1024 {
			break
		}
		x, unit = x/1024, next
	}
	return fmt.Sprintf("%.3g %s", x, unit)
}

// Changed reports whether applying the plan changes the registry.
func (p *Plan) Changed() bool {
	return slices.ContainsFunc(p.Changes, func(c PlanChange) bool { return c.Action.changes() })
}

func (a Action) changes() bool {
	switch a {
	case Create, Change, Upgrade, Annotate, Delete:
		return true
	default:
		return false
	}
}

// planner makes a plan and the record that it leads to.
type planner struct {
	old, next *record
	now       time.Time
	options   Options
	defined   map[*object]definition // by the definitions
	changed   []*object              // entities with another key
	upgraded  map[string]bool
	plan      Plan
	problems  problems
}

// plan returns the difference that definitions make, and the record after it.
func (r *record) plan(defs *Definitions, o Options, now time.Time) (*Plan, *record, error) {
	p := planner{old: r, next: r.clone(), now: now.UTC().Truncate(time.Microsecond), options: o, defined: map[*object]definition{}, upgraded: map[string]bool{}}
	p.plan.Changes = []PlanChange{}
	for _, def := range defs.all() {
		if s, ok := def.(*Service); ok {
			p.service(s)
		} else {
			p.define(def)
		}
	}
	p.others()
	if err := p.checkUpgrades(); err != nil {
		return nil, nil, err
	}
	if err := p.deletes(); err != nil {
		return nil, nil, err
	}
	p.checkEntities()
	p.checkRetention()
	cat, broken := p.next.catalog(0)
	if broken == nil {
		broken = p.checkOnDemand(cat)
	}
	if err := p.problems.err(feature.CodeConflict, "these changes cannot be made"); err != nil {
		return nil, nil, err
	}
	if broken != nil {
		return nil, nil, fmt.Errorf("plan definitions: %w", broken)
	}
	return &p.plan, p.next, nil
}

func (p *planner) note(a Action, o *object, from int, notes ...string) {
	c := PlanChange{Action: a, Kind: o.Kind, Name: o.Name, From: from, To: o.newest().Version, Notes: notes}
	if a == Delete {
		c.To = 0
	}
	p.plan.Changes = append(p.plan.Changes, c)
}

// define brings one definition into the next record and returns its object, and whether it has a new version.
func (p *planner) define(def definition) (*object, bool) {
	o := p.next.find(def.kind(), def.name())
	if o == nil {
		o = &object{Kind: def.kind(), Name: def.name(), Versions: []*version{{Version: 1, Since: p.now, Definition: def, Edition: p.next.edition(def), Computed: p.next.computed(def)}}}
		p.next.Objects = append(p.next.Objects, o)
		p.defined[o] = def
		p.note(Create, o, 0)
		return o, true
	}
	p.defined[o] = def
	was := o.newest()
	differences := diff(was.Definition.meaning(), def.meaning())
	computed := p.next.computed(def)
	if v, ok := def.(*View); ok && !o.Deleted {
		differences = append(differences, computedDiff(v.Source, was.Computed, computed)...)
	}
	switch {
	case o.Deleted:
		p.compatible(was.Definition, def)
		o.add(version{Since: p.now, Definition: def, Edition: p.next.edition(def), Computed: computed})
		p.note(Create, o, was.Version, fmt.Sprintf("it was deleted at version %d", was.Version))
		return o, true
	case len(differences) > 0:
		p.compatible(was.Definition, def)
		if o.Kind == KindEntity {
			p.changed = append(p.changed, o)
		}
		o.add(version{Since: p.now, Definition: def, Edition: p.next.edition(def), Computed: computed})
		p.note(Change, o, was.Version, differences...)
		return o, true
	case len(diff(was.Definition, def)) > 0:
		differences = diff(was.Definition, def)
		was.Definition = def
		p.note(Annotate, o, was.Version, differences...)
	default:
		p.note(Unchanged, o, was.Version)
	}
	return o, false
}

// compatible reports what would make stored events of a source unreadable.
func (p *planner) compatible(was, now definition) {
	old, ok := was.(*Source)
	if !ok {
		return
	}
	s, _ := now.(*Source)
	const advice = "its events are stored already: define it as a source of another name and point the views at that"
	for _, c := range old.Columns {
		switch at := feature.FieldIndex(s.Columns, c.Name); {
		case at < 0 && slices.Contains(readable(s).names(), c.Name):
			p.problems.add(s.value("columns."+c.Name), "column %q of source %s cannot become an expression; %s", c.Name, s.Name, advice)
		case at < 0:
			p.problems.add(s.value("columns"), "column %q of source %s cannot be removed%s; leave it: events may come without it, and it is NULL in them", c.Name, s.Name, p.old.readers(s.Name, c.Name))
		case s.Columns[at].Type != c.Type:
			p.problems.add(s.value("columns."+c.Name), "column %q of source %s cannot become %s, it is %s; %s", c.Name, s.Name, s.Columns[at].Type, c.Type, advice)
		}
	}
	for _, f := range []struct{ path, was, now string }{
		{"event_time", old.EventTime, s.EventTime},
		{"available_at", old.AvailableAt, s.AvailableAt},
		{"tiebreak", old.Tiebreak, s.Tiebreak},
		{"deleted", old.Deleted, s.Deleted},
		{"id", strings.Join(old.ID, ", "), strings.Join(s.ID, ", ")},
	} {
		if f.was != f.now {
			p.problems.add(s.value(f.path), "%s of source %s cannot become %s, it is %s; %s", f.path, s.Name, orNothing(f.now), orNothing(f.was), advice)
		}
	}
}

// readers returns which live views read a column, after a semicolon, or "".
func (r *record) readers(source, column string) string {
	var using []string
	var of columns
	if o := r.find(KindSource, source); o != nil {
		def, _ := o.newest().Definition.(*Source)
		of = readable(def)
	}
	r.alive(KindView, func(o *object) {
		for _, v := range r.live(o) {
			def, _ := v.Definition.(*View)
			reads := slices.ContainsFunc(def.Features, func(f Feature) bool { return f.reads(column, of) })
			if def.Source == source && (reads || slices.Contains(slices.Collect(maps.Values(def.Keys)), column)) {
				using = append(using, fmt.Sprintf("view %s@%d", o.Name, v.Version))
			}
		}
	})
	if len(using) == 0 {
		return ""
	}
	return "; it is read by " + strings.Join(using, ", ")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return fmt.Sprintf("%q", s)
}

// service brings a service into the next record. A new version pins the newest versions of its views.
func (p *planner) service(s *Service) {
	o, renewed := p.define(s)
	if renewed {
		o.newest().pins = p.next.newestPins(s)
		return
	}
	p.follow(o)
}

// follow notes that a service stays behind its views, or moves it if it is to be upgraded.
func (p *planner) follow(o *object) {
	was := o.newest()
	def, _ := was.Definition.(*Service)
	newest := p.next.newestPins(def)
	behind := append(behindOf("view", was.Views, newest.Views), behindOf("on-demand", was.OnDemand, newest.OnDemand)...)
	switch {
	case len(behind) == 0:
	case p.wanted(o.Name):
		p.upgraded[o.Name] = true
		o.add(version{Since: p.now, Definition: def, pins: newest})
		p.note(Upgrade, o, was.Version, behind...)
	default:
		p.note(Behind, o, was.Version, behind...)
	}
}

func behindOf(what string, pinned, newest map[string]int) []string {
	var behind []string
	for _, name := range sortedKeys(newest) {
		switch {
		case pinned[name] == 0:
			behind = append(behind, fmt.Sprintf("%s %s: not read yet, newest is %d", what, name, newest[name]))
		case newest[name] != pinned[name]:
			behind = append(behind, fmt.Sprintf("%s %s: version %d, newest is %d", what, name, pinned[name], newest[name]))
		}
	}
	return behind
}

// wanted reports whether a service is to be upgraded.
func (p *planner) wanted(service string) bool { return slices.Contains(p.options.Upgrade, service) }

// others looks at what is registered but not in the definitions.
func (p *planner) others() {
	for _, kind := range kindNames() {
		p.next.alive(Kind(kind), func(o *object) {
			if p.defined[o] != nil {
				return
			}
			p.note(Missing, o, o.newest().Version)
			if o.Kind == KindView {
				p.computed(o)
			}
			if o.Kind == KindService {
				p.follow(o)
			}
		})
	}
}

// checkUpgrades fails for a name that is no service, and reports a service that does not fit the newest views.
func (p *planner) checkUpgrades() error {
	for _, name := range p.options.Upgrade {
		o := p.next.find(KindService, name)
		if o == nil || o.Deleted {
			return feature.Errorf(feature.CodeNotFound, "%s", unknown("service", name, "", p.next.names(KindService)))
		}
		if !p.upgraded[name] {
			continue
		}
		views := map[string]*feature.View{}
		p.next.alive(KindView, func(v *object) {
			def, _ := v.newest().Definition.(*View)
			views[v.Name] = p.next.build(def, v.newest())
		})
		onDemand := map[string]*OnDemand{}
		p.next.alive(KindOnDemand, func(d *object) { onDemand[d.Name], _ = d.newest().Definition.(*OnDemand) })
		def, _ := o.newest().Definition.(*Service)
		for _, d := range checkAgainst(def, views, onDemand) {
			d.Message = fmt.Sprintf("service %s cannot move to the newest views: %s", name, d.Message)
			p.problems.details = append(p.problems.details, d)
		}
	}
	return nil
}

// build makes a view with the entity and the source as they are in r.
func (r *record) build(v *View, of *version) *feature.View {
	var entity *Entity
	var source *Source
	if o := r.find(KindEntity, v.Entity); o != nil {
		entity, _ = o.newest().Definition.(*Entity)
	}
	if o := r.find(KindSource, v.Source); o != nil {
		source, _ = o.newest().Definition.(*Source)
	}
	return buildView(v, of, entity, source)
}

// names returns the names of the kind that are not deleted, in order.
func (r *record) names(kind Kind) []string {
	var names []string
	r.alive(kind, func(o *object) { names = append(names, o.Name) })
	slices.Sort(names)
	return names
}

// checkRetention reports views that read further back than their source keeps events (rule E4).
func (p *planner) checkRetention() {
	p.next.alive(KindView, func(o *object) {
		for _, of := range p.next.live(o) {
			def, _ := of.Definition.(*View)
			source := p.next.find(KindSource, def.Source)
			if source == nil {
				continue
			}
			s, _ := source.newest().Definition.(*Source)
			v := p.next.build(def, of)
			reach, bounded := v.Reach()
			if s.Retention == 0 || bounded && reach <= s.Retention {
				continue
			}
			if bounded {
				p.problems.add(s.value("retention"), "source %s keeps its events for %s, and view %s reads up to %s back", s.Name, s.Retention, v.Ref(), reach)
			} else {
				p.problems.add(s.value("retention"), "source %s keeps its events for %s, and view %s reads events of all times: give its features of latest a ttl, and its windows a span", s.Name, s.Retention, v.Ref())
			}
		}
	})
}

// checkEntities reports entities whose key changed while versions of views that were there before live on.
func (p *planner) checkEntities() {
	for _, o := range p.changed {
		if o.Deleted {
			continue
		}
		var using []string
		for _, ref := range p.next.dependents(o) {
			name, number, _ := strings.Cut(strings.TrimPrefix(ref, "view "), "@")
			if was := p.old.find(KindView, name); was != nil && slices.ContainsFunc(was.Versions, func(v *version) bool { return fmt.Sprint(v.Version) == number }) {
				using = append(using, ref)
			}
		}
		if len(using) > 0 {
			p.problems.add(o.newest().Definition.place().value("key"), "the key of entity %s cannot change while it is used by %s: give an entity that differs a name of its own", o.Name, strings.Join(using, ", "))
		}
	}
}
