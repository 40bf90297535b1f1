package offline

import (
	"context"
	"errors"

	"github.com/lockstepfs/lockstep/feature"
)

// Statements renders every statement that reads events of a view, by the name of its template, for the golden files.
func Statements(src *feature.Source, v *feature.View, imported bool) (map[string]string, error) {
	read := func() *events {
		e, err := newEvents(src, v.Keys, v.Inputs())
		if err != nil {
			panic(err)
		}
		e.at(1, nil)
		e.Order = order(src, v.Keys, imported)
		if imported {
			e.Generations = append(e.Generations, 7)
		}
		return e
	}
	var keys []spineKey
	for i := range v.Keys {
		keys = append(keys, spineKey{quote(spineColumn(i)), "assumeNotNull(" + quote(spineColumn(i)) + ")"})
	}
	training := func(ranked, available bool) trainQuery {
		e := read()
		return trainQuery{events: e, packed: newPacked(src, e), Ranked: ranked, Available: available, Spine: quote("tmp_spine_1"), SpineKeys: keys, OnlyKeys: ranked}
	}
	kept, err := newKeptQuery(read(), src, v)
	if err != nil {
		return nil, err
	}
	explained, whole, asked := &keptQuery{view: v}, read(), read()
	explained.selectAll(whole, src)
	asked.ask(src)
	out := map[string]string{"kept.sql": kept.sql}
	for name, q := range map[string]struct {
		template string
		data     any
	}{
		"events_create.sql":   {"events_create.sql", newTable(src)},
		"lookup.sql":          {"lookup.sql", read()},
		"lookup_events.sql":   {"lookup_events.sql", read()},
		"lookup_asked.sql":    {"lookup.sql", asked},
		"explain.sql":         {"explain.sql", whole},
		"clock.sql":           {"clock.sql", read()},
		"sample.sql":          {"sample.sql", read()},
		"train.sql":           {"train.sql", training(false, false)},
		"train_large.sql":     {"train_large.sql", training(false, false)},
		"train_ranked.sql":    {"train_large.sql", training(true, false)},
		"train_available.sql": {"train_large.sql", training(false, true)},
	} {
		if out[name], err = text(q.template, q.data); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// WindowStatements renders what computes the view's windows.
func WindowStatements(src *feature.Source, v *feature.View, imported bool) (map[string]string, error) {
	var features []int
	for f := range v.Features {
		features = append(features, f)
	}
	p, err := newWindowPlan(v, features, func(in feature.Input) (feature.Type, error) { return inputType(src, in) })
	if err != nil {
		return nil, err
	}
	e, err := newEvents(src, v.Keys, p.inputs())
	if err != nil {
		return nil, err
	}
	e.at(1, nil)
	e.Order = order(src, v.Keys, imported)
	var keys []spineKey
	for i := range v.Keys {
		keys = append(keys, spineKey{quote(spineColumn(i)), "assumeNotNull(" + quote(spineColumn(i)) + ")"})
	}
	q := newWindowQuery(src, e, p, windowAsk{item: &feature.Item{View: v}, spine: quote("tmp_spine_1"), keys: keys, onlyKeys: imported})
	q.Ranked = imported
	out := map[string]string{}
	var errs []error
	add := func(name, sql string, err error) {
		if errs = append(errs, err); sql != "" {
			out[name] = sql
		}
	}
	sql, err := q.ranges()
	add("window_ranges.sql", sql, err)
	q.Late = quote("tmp_spine_1_late0")
	sql, err = q.lives()
	add("window_lives_late.sql", sql, err)
	q.Placed = false
	sql, err = text("late.sql", q)
	add("late.sql", sql, err)
	return out, errors.Join(errs...)
}

// Unfinish makes a copy look as if its process had died before its last step.
func (s *Store) Unfinish(ctx context.Context, src *feature.Source, generation uint64) error {
	return s.copyStep(ctx, src, copyState{copied: feature.Copied{Generation: generation}, state: importBegun})
}

// Staged are the tables that copies have staged.
func (s *Store) Staged(ctx context.Context) (names []string, err error) {
	err = s.conn.QueryRow(ctx, "SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'tmp_')").Scan(&names)
	return names, err
}
