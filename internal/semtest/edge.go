package semtest

import (
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// Share counts how much of what was read is hard: cells on an edge or on a tie.
type Share struct {
	Reads, HardReads   int // of one key at one instant each; hard if one of its cells is
	Cells, Edges, Ties int
	Hard               int // cells that are one or the other
}

// Add adds the cells of o.
func (s *Share) Add(o Share) {
	s.Reads += o.Reads
	s.HardReads += o.HardReads
	s.Cells += o.Cells
	s.Edges += o.Edges
	s.Ties += o.Ties
	s.Hard += o.Hard
}

// Percent returns the share of hard cells.
func (s Share) Percent() float64 {
	if s.Cells == 0 {
		return 0
	}
	return 100 * float64(s.Hard) / float64(s.Cells)
}

// Share returns the share of the history's reads and training rows. A cell is on an edge when an event of its key
// lies at hi or a microsecond beside it, or its age is the ttl or a microsecond beside that, or it lies at the old edge of a window or beside that; it is on a tie when
// the instant that decides has several events of the key.
func (h *History) Share() Share {
	var s Share
	var rows []map[string]feature.Value
	src := h.Catalog.Source(source)
	for _, step := range h.Steps {
		rows = append(rows, step.rows...)
		switch {
		case step.Read != nil:
			rows := slices.Concat(rows, rowsOf(step.Read.Events))
			for i := range step.Read.Rows() {
				key := func(name string) feature.Value {
					return step.Read.Keys[feature.FieldIndex(step.Read.Plan.Keys, name)][i]
				}
				s.Add(shareOf(step.Read.Plan, src, rows, asked{key, step.Read.At}))
			}
		case step.Training != nil && step.Training.Spine != nil:
			spine := step.Training.Spine
			for i := range spine.Rows {
				key := func(name string) feature.Value { return spine.Column(name).Value(i) }
				s.Add(shareOf(step.Training.Plan, src, rows, asked{key, spine.Column(step.Training.Time).Value(i).Time()}))
			}
		}
	}
	return s
}

// rowsOf returns the rows of batches by column.
func rowsOf(batches []*feature.Batch) (rows []map[string]feature.Value) {
	for _, b := range batches {
		for i := range b.Rows {
			row := map[string]feature.Value{}
			for k, v := range b.Row(i) {
				row[b.Fields[k].Name] = v
			}
			rows = append(rows, row)
		}
	}
	return rows
}

type asked struct {
	key func(name string) feature.Value
	at  feature.Time
}

func shareOf(plan *feature.Plan, src *feature.Source, rows []map[string]feature.Value, q asked) Share {
	var s Share
	for _, slot := range plan.Base().Slots {
		it := plan.Items[slot.Item]
		hi := q.at.Add(-it.View.Delay)
		ttl, window := it.View.Features[slot.Feature].TTL, it.View.Features[slot.Feature].Window
		edge, newest, count := false, feature.MinTime-1, 0
		for _, row := range rows {
			if !ofKey(it, row, q) {
				continue
			}
			e := row[src.EventTime].Time()
			edge = edge || near(hi.Sub(e)) || ttl > 0 && near(hi.Sub(e)-ttl) || window != nil && window.Width > 0 && near(e.Sub(lower(window, hi)))
			switch {
			case e > hi || e < newest:
			case e == newest:
				count++
			default:
				newest, count = e, 1
			}
		}
		s.Cells++
		if edge {
			s.Edges++
		}
		if count > 1 {
			s.Ties++
		}
		if edge || count > 1 {
			s.Hard++
		}
	}
	s.Reads = 1
	if s.Hard > 0 {
		s.HardReads = 1
	}
	return s
}

// lower is the old edge of a window (W1).
func lower(w *feature.Window, hi feature.Time) feature.Time {
	lo := hi.Add(-w.Width)
	if w.Hop > 0 {
		rest := lo % feature.Time(w.Hop)
		if rest < 0 {
			rest += feature.Time(w.Hop)
		}
		lo -= rest
	}
	return lo
}

func near(s feature.Span) bool { return s >= -1 && s <= 1 }

func ofKey(it feature.Item, row map[string]feature.Value, q asked) bool {
	for i, name := range it.Keys {
		if v := q.key(name); v.IsNull() || !v.Equal(row[it.View.Keys[i]]) {
			return false
		}
	}
	return true
}
