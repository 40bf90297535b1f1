package offline

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// Training asks for a training set. Exactly one of Spine, SQL and KeysAll gives the spine.
type Training struct {
	Plan *feature.Plan

	Fields []feature.Field                  // columns of Spine; needed where Spine may yield nothing
	Spine  iter.Seq2[*feature.Batch, error] // rows; every batch has the same fields
	SQL    string                           // a SELECT, run by ClickHouse and allowed to read only
	// KeysAll reads every key of the plan's one entity that has an event at or before hi, at the instant At (rule S3).
	KeysAll bool
	At      feature.Time

	TimeColumn string            // column of the spine that holds its time; "" is the only one of event_timestamp, ts and time
	Keys       map[string]string // request key → column of the spine, where they are not named alike
	Clock      feature.Clock
	Cut        feature.Cut // a state that the history covers; the zero Cut is its watermark
}

// TrainingSet is a training set whose spine is staged and checked. The caller ranges over Batches once and calls Close.
type TrainingSet struct {
	Fields      []feature.Field     // the spine's columns, then the plan's in its order
	Rows        uint64              // of the spine, and so of the training set
	Cut         feature.Cut         // what it is made from (rule G2)
	Generations map[string][]uint64 // import generations that were visible, by source

	store *Store
	ask   Training
	spine *spine
	at    generationsAt
	rows  map[string]uint64 // of event tables, by source
}

// timeColumns are the names that a spine's time column has when none is given.
var timeColumns = []string{"event_timestamp", "ts", "time"}

// keysAllTime is the time column of a training set without a spine.
const keysAllTime = "event_timestamp"

// Train stages the spine of a training set and checks it: errors that the caller can mend have CodeInvalid and name column
// and row. The Batches of the result make the values.
func (s *Store) Train(ctx context.Context, ask Training) (*TrainingSet, error) {
	if err := ask.validate(); err != nil {
		return nil, err
	}
	cut, err := s.trainingCut(ctx, ask.Cut)
	if err != nil {
		return nil, err
	}
	ask.Cut = cut
	set := &TrainingSet{Cut: cut, Generations: map[string][]uint64{}, store: s, ask: ask, at: generationsAt{}}
	for _, it := range ask.Plan.Items {
		generations, err := s.generationsOf(ctx, set.at, editionOf{it.View.Source, it.View.Edition.Number}, cut)
		if err != nil {
			return nil, err
		}
		generations = append(slices.Clone(generations), set.Generations[it.View.Source]...) // of two views they may be of two editions
		slices.Sort(generations)
		set.Generations[it.View.Source] = slices.Compact(generations)
	}
	if set.spine, err = s.stage(ctx, &ask); err != nil {
		return nil, err
	}
	if err := set.checkKept(ctx); err != nil {
		return nil, errors.Join(err, set.Close())
	}
	set.Rows = set.spine.rows
	set.Fields = slices.Clone(set.spine.fields)
	for i, name := range ask.Plan.Names {
		slot := ask.Plan.Slots[i]
		set.Fields = append(set.Fields, feature.Field{Name: name, Type: ask.Plan.Items[slot.Item].View.Features[slot.Feature].Type})
	}
	return set, nil
}

// Close removes the staged spine.
func (t *TrainingSet) Close() error { return t.spine.drop() }

func (ask *Training) validate() error {
	given := 0
	for _, is := range []bool{ask.Spine != nil, ask.SQL != "", ask.KeysAll} {
		if is {
			given++
		}
	}
	if given != 1 {
		return feature.Errorf(feature.CodeInvalid, "a training set needs one spine: rows, SQL or all keys")
	}
	for name := range ask.Keys {
		if feature.FieldIndex(ask.Plan.Keys, name) < 0 {
			return feature.Errorf(feature.CodeInvalid, "keys: there is no key %q: expected one of %s", name, fieldNames(ask.Plan.Keys))
		}
	}
	if ask.KeysAll && !ask.At.Valid() {
		return feature.Errorf(feature.CodeInvalid, "the instant of a training set of all keys must lie in the years 1900 to 2299")
	}
	return nil
}

func fieldNames(fields []feature.Field) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

func (s *Store) trainingCut(ctx context.Context, cut feature.Cut) (feature.Cut, error) {
	p, err := s.progress(ctx)
	reached, known := p.logs[cut.Log]
	switch {
	case err != nil:
		return feature.Cut{}, err
	case cut == feature.Cut{}:
		return p.mark, nil
	case len(p.logs) > 0 && !known: // a history that took nothing yet is of any log
		return feature.Cut{}, feature.Errorf(feature.CodeInvalid, "the history is of log %q, and never was of log %q", p.mark.Log, cut.Log)
	case cut.Seq > reached:
		return feature.Cut{}, feature.Errorf(feature.CodeUnavailable, "the history covers log %s up to %d, not yet up to %d", cut.Log, reached, cut.Seq)
	}
	return cut, nil
}

// layout is where a spine's time and keys are.
type layout struct {
	time int   // index of the time column
	keys []int // for each of the plan's keys the index of its column
}

// arrange finds time and keys among the fields of a spine; all that is wrong comes at once.
func (ask *Training) arrange(fields []feature.Field) (layout, error) {
	var l layout
	var wrong []feature.Detail
	add := func(field, format string, args ...any) {
		wrong = append(wrong, feature.Detail{Field: field, Message: feature.Errorf(feature.CodeInvalid, format, args...).Message})
	}
	for i, f := range fields {
		if feature.FieldIndex(fields, f.Name) != i {
			add(f.Name, "the spine has two columns of this name")
		}
		if slices.Contains(ask.Plan.Names, f.Name) {
			add(f.Name, "the spine has a column with the name of a feature: give it another name")
		}
	}
	name, err := ask.timeColumn(fields)
	if err != nil {
		wrong = append(wrong, feature.Detail{Field: ask.TimeColumn, Message: err.Error()})
	}
	l.time = feature.FieldIndex(fields, name)
	for _, key := range ask.Plan.Keys {
		column, renamed := ask.Keys[key.Name]
		if !renamed {
			column = key.Name
		}
		at := feature.FieldIndex(fields, column)
		if at < 0 {
			add(column, "the spine has no such column for key %s: it has %s", key.Name, fieldNames(fields))
		}
		l.keys = append(l.keys, at)
	}
	if len(wrong) > 0 {
		return l, &feature.Error{Code: feature.CodeInvalid, Message: "the spine does not fit", Details: wrong}
	}
	return l, nil
}

func (ask *Training) timeColumn(fields []feature.Field) (string, error) {
	if ask.TimeColumn != "" {
		if feature.FieldIndex(fields, ask.TimeColumn) < 0 {
			return "", feature.Errorf(feature.CodeInvalid, "the spine has no such time column: it has %s", fieldNames(fields))
		}
		return ask.TimeColumn, nil
	}
	var found []string
	for _, name := range timeColumns {
		if feature.FieldIndex(fields, name) >= 0 {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return "", feature.Errorf(feature.CodeInvalid, "the spine needs a time: expected one column of %s, or the name of another one; it has %s",
			strings.Join(timeColumns, ", "), fieldNames(fields))
	}
	return found[0], nil
}
