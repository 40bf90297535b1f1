package online

import (
	"log/slog"
	"maps"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Restart forgets everything and places the replica at cut: the next entry to apply is cut.Seq + 1, and every
// view joins anew (Follow returns it).
func (s *Store) Restart(cut feature.Cut) error {
	s.apply.Lock()
	for _, v := range s.stored {
		s.drops = append(s.drops, v.id)
	}
	clear(s.stored)
	tables := map[feature.Ref]*table{}
	for ref, t := range s.world.Load().tables {
		tables[ref] = s.anew(t)
	}
	s.position.Store(&cut)
	s.setWorld(tables)
	s.apply.Unlock()
	return s.Flush()
}

// anew returns an empty table for the view of t.
func (s *Store) anew(t *table) *table {
	s.nextID++
	n, err := newTable(s.nextID-1, t.view, t.source, s.cfg.LeafEvents)
	if err != nil {
		panic(err) // t was made of the same
	}
	return n
}

func (s *Store) drop(t *table) {
	t.phase.Store(gone)
	t.staged = nil
	s.drops = append(s.drops, t.id)
}

// Follow says which views the replica keeps: those of catalog, in the definitions that it gives, and, as long as
// the newest version of a view is joining, the version that is served in its place, which may be a former one. Others
// are dropped, and so is one that was kept under another definition. It returns the views that are joining: entries
// are applied to them from now on, and they are served after their history up to any later position was
// merged (Merge) and SetReady said so. The catalog must have the source of every view.
func (s *Store) Follow(catalog *feature.Catalog) ([]*feature.View, error) {
	wait, err := s.follow(catalog)
	if err != nil {
		return nil, err
	}
	return wait, s.Flush()
}

func (s *Store) follow(catalog *feature.Catalog) ([]*feature.View, error) {
	s.apply.Lock()
	defer s.apply.Unlock()
	old, tables := s.world.Load().tables, map[feature.Ref]*table{}
	var wait []*feature.View
	for _, v := range catalog.Views {
		src := catalog.Source(v.Source)
		if src == nil {
			return nil, feature.Errorf(feature.CodeInvalid, "view %s: the catalog has no source %q", v.Ref(), v.Source)
		}
		t, err := s.adopt(old[v.Ref()], v, src)
		if err != nil {
			return nil, err
		}
		tables[v.Ref()] = t
		if t.phase.Load() == joining {
			wait = append(wait, v)
		}
	}
	if err := s.keepFormer(catalog, old, tables); err != nil {
		return nil, err
	}
	for ref := range old {
		if tables[ref] == nil {
			s.logger.Info("the replica dropped a view", slog.String("view", ref.String()))
		}
	}
	for _, v := range s.stored {
		s.drops = append(s.drops, v.id)
	}
	clear(s.stored)
	s.setWorld(tables)
	return wait, nil
}

// keepFormer adds to tables, for each view whose newest version is joining, the newest former version that is ready.
func (s *Store) keepFormer(catalog *feature.Catalog, old, tables map[feature.Ref]*table) error {
	for _, t := range tables {
		t.former = false
	}
	best := map[string]*feature.View{}
	for _, v := range catalog.Former {
		newest, t := tables[catalog.View(v.Name, 0).Ref()], old[v.Ref()]
		_, has := s.stored[v.Ref()]
		has = has || t != nil && t.phase.Load() == ready
		if has && newest.phase.Load() == joining && (best[v.Name] == nil || best[v.Name].Version < v.Version) {
			best[v.Name] = v
		}
	}
	for _, v := range best {
		t, err := s.adopt(old[v.Ref()], v, catalog.Source(v.Source))
		if err != nil {
			return err
		}
		if t.phase.Load() == ready {
			t.former = true
			tables[v.Ref()] = t
		}
	}
	return nil
}

// adopt returns the table of v: t if it is of the same definition, that of the last run, or a new one.
func (s *Store) adopt(t *table, v *feature.View, src *feature.Source) (*table, error) {
	if t != nil && t.print == fingerprint(v, src) {
		t.same.Store(v)
		return t, nil
	}
	if st, ok := s.stored[v.Ref()]; ok && st.record.Fingerprint == fingerprint(v, src) {
		t, err := newTable(st.id, v, src, s.cfg.LeafEvents)
		if err != nil {
			return nil, err
		}
		delete(s.stored, v.Ref())
		t.clock.Store(st.record.Clock)
		t.distinct.restore(st.record.Sketch)
		t.nulls.Store(st.record.Nulls)
		t.loading.Store(st.record.Loading)
		t.phase.Store(ready)
		return t, nil
	}
	s.nextID++
	return newTable(s.nextID-1, v, src, s.cfg.LeafEvents)
}

// Rejoin forgets the state of a view, whose history is then to be merged anew (Follow returns it).
func (s *Store) Rejoin(v feature.Ref) error {
	s.apply.Lock()
	tables := maps.Clone(s.world.Load().tables)
	t := tables[v]
	if t == nil {
		s.apply.Unlock()
		return unknownView(v)
	}
	tables[v] = s.anew(t)
	s.setWorld(tables)
	s.apply.Unlock()
	return s.Flush()
}

// SetReady says that the history of a joining view is merged: lookups of it are answered from now on, and a former
// version that was served in its place is dropped. The error is CodeNotFound if the view is not followed any more.
func (s *Store) SetReady(v feature.Ref) error {
	s.apply.Lock()
	tables := maps.Clone(s.world.Load().tables)
	t := tables[v]
	if t == nil {
		s.apply.Unlock()
		return unknownView(v)
	}
	t.phase.CompareAndSwap(joining, ready)
	maps.DeleteFunc(tables, func(ref feature.Ref, t *table) bool { return t.former && ref.Name == v.Name && ref.Version < v.Version })
	s.setWorld(tables)
	s.apply.Unlock()
	if err := s.Flush(); err != nil {
		return err
	}
	return s.sweepAll(t)
}

// Follows reports whether the replica keeps the view, ready or not.
func (s *Store) Follows(v feature.Ref) bool { return s.world.Load().tables[v] != nil }

func unknownView(v feature.Ref) error {
	return feature.Errorf(feature.CodeNotFound, "this replica does not follow the view %s", v)
}

// Floor returns the earliest instant at which the replica answers reads of the view (C4). It returns false while
// the view has no event, when every instant is answered, and for a view that is not followed.
func (s *Store) Floor(v feature.Ref) (feature.Time, bool) {
	t := s.world.Load().tables[v]
	if t == nil || feature.Time(t.clock.Load()) == asof.NoClock {
		return 0, false
	}
	return t.floor(), true
}

// Instants returns the least clock and the greatest floor of the plan's views, of those that have events; false
// if none has.
func (s *Store) Instants(p *feature.Plan) (clock, floor feature.Time, known bool) {
	tables := s.world.Load().tables
	for _, it := range p.Items {
		t := tables[it.View.Ref()]
		if t == nil {
			continue
		}
		c := feature.Time(t.clock.Load())
		if c == asof.NoClock {
			continue
		}
		f := asof.Floor(c, t.view.History)
		if known {
			clock, floor = min(clock, c), max(floor, f)
		} else {
			clock, floor, known = c, f, true
		}
	}
	return clock, floor, known
}

// refs returns the followed views by name.
func (w *world) refs() []feature.Ref {
	return slices.SortedFunc(maps.Keys(w.tables), func(a, b feature.Ref) int {
		if a.Name != b.Name {
			if a.Name < b.Name {
				return -1
			}
			return 1
		}
		return a.Version - b.Version
	})
}
