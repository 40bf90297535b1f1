package online

import (
	"fmt"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Apply applies the entry seq of the log, rows of one source that the log took at the instant taken, to all
// views of that source, and moves the position to it. An entry at or before the position changes nothing. Entries
// come in their order, from one goroutine. Apply waits while too much is not on disk yet, and fails (CodeUnavailable)
// if it cannot get there. It keeps nothing of b. After an error nothing is applied.
func (s *Store) Apply(seq uint64, taken feature.Time, b *feature.Batch) error {
	if err := s.relieve(); err != nil {
		return err
	}
	if err := s.applyBatch(seq, taken, b); err != nil {
		return fmt.Errorf("apply entry %d of %s: %w", seq, b.Source, err)
	}
	return nil
}

func (s *Store) applyBatch(seq uint64, taken feature.Time, b *feature.Batch) error {
	s.apply.Lock()
	defer s.apply.Unlock()
	if seq <= s.position.Load().Seq {
		return nil
	}
	tables := s.world.Load().sources[b.Source]
	for _, t := range tables { // nothing is applied of an entry that does not fit
		if err := t.mapping.set(t, b); err != nil {
			return err
		}
	}
	for _, t := range tables {
		s.applyRows(t, seq, taken, b.Rows)
	}
	s.moveTo(seq)
	return nil
}

// applyRows applies the rows that t.mapping stands for.
func (s *Store) applyRows(t *table, seq uint64, taken feature.Time, rows int) {
	m := &t.mapping
	clock, nulls := m.clock(taken, rows)
	t.raise(clock) // before any state is pruned by it: see Lookup
	keep := t.keeping(t.folds())
	for i := range rows {
		if m.outside(i) {
			continue
		}
		s.scratch.parts = s.scratch.parts[:0]
		for _, c := range m.keys {
			s.scratch.parts = append(s.scratch.parts, c.Value(i))
		}
		s.scratch.key = wire.AppendKey(t.prefix(s.scratch.key[:0]), s.scratch.parts)
		e := m.event(seq, i, s.scratch.values[:0], t.windows == nil)
		if t.windows != nil {
			s.scratch.values = e.Values // nobody keeps them
		}
		s.scratch.one[0] = e
		s.update(t, placeOf(s.scratch.key), s.scratch.one[:], keep)
	}
	t.nulls.Add(nulls)
}

// mapping is the columns of a batch that a view reads; nil stands for a column that the batch does not have,
// which is NULL in all its rows.
type mapping struct {
	eventTime, tie, deleted *feature.Column
	tied                    bool // the source declares a tiebreak
	keys                    []*feature.Column
	formulas                formulas
	values                  []mapped // of the view's inputs
}

// mapped is where an input's values come from.
type mapped struct {
	column   *feature.Column
	every    bool // "*": true, whatever the columns
	where    int  // index of a formula that must be true, or -1
	computed int  // index of the formula that is the value, or -1
}

// value returns the input's value in row i, of which the formulas are worth some values.
func (m *mapped) value(i int, formulas []feature.Value) feature.Value {
	switch {
	case m.where >= 0 && (formulas[m.where].IsNull() || !formulas[m.where].Bool()):
		return feature.Value{}
	case m.computed >= 0:
		return formulas[m.computed]
	case m.every:
		return feature.BoolValue(true)
	case m.column == nil:
		return feature.Value{}
	default:
		return m.column.Value(i)
	}
}

// set points m at the columns of b.
func (m *mapping) set(t *table, b *feature.Batch) error {
	src := t.source
	*m = mapping{tied: src.Tiebreak != "", keys: m.keys[:0], values: m.values[:0], formulas: m.formulas}
	var err error
	find := func(name string) *feature.Column {
		c := b.Column(name)
		if c == nil {
			return nil
		}
		at := feature.FieldIndex(src.Columns, name)
		if at >= 0 && (src.Columns[at].Type.Kind != c.Type.Kind || src.Columns[at].Type.List != c.Type.List) && err == nil {
			err = feature.Errorf(feature.CodeInvalid, "column %q holds %s, expected %s for view %s", name, c.Type, src.Columns[at].Type, t.ref)
		}
		return c
	}
	if m.eventTime = find(src.EventTime); m.eventTime == nil {
		return feature.Errorf(feature.CodeInvalid, "no column %q, which is the event time", src.EventTime)
	}
	if src.Tiebreak != "" {
		m.tie = find(src.Tiebreak)
	}
	if src.Deleted != "" {
		m.deleted = find(src.Deleted)
	}
	for _, name := range t.view.Keys {
		m.keys = append(m.keys, find(name))
	}
	for i, in := range t.inputs {
		v := mapped{every: in.Column == feature.AnyEvent, where: m.formulas.where[i], computed: m.formulas.computed[i]}
		if !v.every && v.computed < 0 {
			v.column = find(in.Column)
		}
		m.values = append(m.values, v)
	}
	m.formulas.set(find)
	return err
}

// outside reports whether row i is not part of the view (K2).
func (m *mapping) outside(i int) bool {
	for _, c := range m.keys {
		if c == nil || c.IsNull(i) {
			return true
		}
	}
	return m.eventTime.IsNull(i)
}

// clock returns what the rows do to the view's clock (C4), and how many are not part of the view.
func (m *mapping) clock(taken feature.Time, rows int) (clock feature.Time, nulls int64) {
	clock = asof.NoClock
	for i := range rows {
		if m.outside(i) {
			nulls++
			continue
		}
		clock = max(clock, asof.Clock(feature.Time(m.eventTime.Ints[i]), taken))
	}
	return clock, nulls
}

// event returns row i, with its values appended to values. Where own is set, they share no memory with the batch: a state
// may live long, and a string would keep the whole message in memory.
func (m *mapping) event(seq uint64, i int, values []feature.Value, own bool) asof.Event {
	if own {
		values = make([]feature.Value, 0, len(m.values))
	}
	formulas := m.formulas.eval(i)
	for j := range m.values {
		v := m.values[j].value(i, formulas)
		if own {
			v = owned(v)
		}
		values = append(values, v)
	}
	e := asof.Event{
		Position: asof.Position{EventTime: feature.Time(m.eventTime.Ints[i]), Seq: seq, Idx: uint32(i)},
		Deleted:  m.deleted != nil && !m.deleted.IsNull(i) && m.deleted.Ints[i] != 0,
		Values:   values,
	}
	switch {
	case !m.tied:
	case m.tie == nil || m.tie.IsNull(i):
		e.TieNull = true
	default:
		e.Tie = m.tie.Ints[i]
	}
	return e
}

// owned returns v with memory of its own.
func owned(v feature.Value) feature.Value {
	t := v.Type()
	switch {
	case t.List:
		elem := make([]feature.Value, len(v.List()))
		for i, e := range v.List() {
			elem[i] = owned(e)
		}
		return feature.ListValue(t.Kind, elem)
	case t.Kind == feature.KindString:
		return feature.StringValue(strings.Clone(v.Str()))
	default:
		return v
	}
}
