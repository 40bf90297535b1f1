package identity

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// Verdict says which rows of a batch are events.
type Verdict struct {
	Fresh  *feature.Batch // the rows that are, in their order; the batch itself if all are
	Copies []feature.Copy // the others, in their order; where the event is among the Fresh its place is not known

	facts     []fact // of Fresh, row by row
	originals []int  // for each of Copies the event's row in Fresh, or -1 if the index knows it
	epoch     int    // of the Publisher's index
}

// fact is what the index keeps of a row.
type fact struct {
	id   []byte // nil if a part of it is NULL
	time feature.Time
	sum  uint64
	next int32 // in Verdict.facts, a row before it of the same id, or -1
}

// Judge says which rows of a batch of src are events, given the events that the index knows, as if they arrived
// now in their order. It changes nothing.
func (x *Index) Judge(src *feature.Source, b *feature.Batch) (*Verdict, error) {
	number, err := x.number(src)
	if err != nil {
		return nil, err
	}
	j, err := newJudgment(number, src, b)
	if err != nil {
		return nil, err
	}
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: prefix(number), UpperBound: prefix(number + 1)})
	if err != nil {
		return nil, fmt.Errorf("read the index of ids: %w", err)
	}
	err = j.lookUp(it)
	if closed := it.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("read the index of ids: %w", err)
	}
	return j.verdict(), nil
}

// judgment is a Judge under way.
type judgment struct {
	span  feature.Span
	batch *feature.Batch
	keys  []byte // of all rows, one after the other: the source's prefix, the id, and the earliest time that is within the span
	rows  []judged
}

// judged is a row of the batch.
type judged struct {
	key   []byte // in judgment.keys; nil if a part of the id is NULL
	time  feature.Time
	sum   uint64
	known stored // the first event to arrive that the index knows within the span
	found bool   // there is one
}

func (r *judged) id() []byte { return r.key[prefixBytes : len(r.key)-timeBytes] }

func newJudgment(number uint32, src *feature.Source, b *feature.Batch) (*judgment, error) {
	r, err := rowsOf(src, b)
	if err != nil {
		return nil, err
	}
	j := &judgment{span: src.Dedup, batch: b, rows: make([]judged, b.Rows), keys: make([]byte, 0, 32*b.Rows)}
	head := prefix(number)
	ends := make([]int, b.Rows)
	for i := range j.rows {
		row := &j.rows[i]
		row.time, row.sum = feature.Time(r.times[i]), r.sum(i)
		from := len(j.keys)
		var ok bool
		if j.keys, ok = r.appendID(append(j.keys, head...), i); ok {
			j.keys = appendTime(j.keys, row.time.Add(-j.span))
		} else {
			j.keys = j.keys[:from]
		}
		ends[i] = len(j.keys)
	}
	from := 0
	for i, end := range ends { // keys lies where it stays
		if end > from {
			j.rows[i].key = j.keys[from:end:end]
		}
		from = end
	}
	return j, nil
}

// lookUp finds what the index knows of each row, in the order of the keys, because neighbours lie in one block.
func (j *judgment) lookUp(it *pebble.Iterator) error {
	order := make([]int32, 0, len(j.rows))
	for i := range j.rows {
		if j.rows[i].key != nil {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return bytes.Compare(j.rows[a].key, j.rows[b].key) })
	for _, i := range order {
		if err := j.rows[i].lookUp(it, j.span); err != nil {
			return err
		}
	}
	return nil
}

func (r *judged) lookUp(it *pebble.Iterator, span feature.Span) error {
	for ok := it.SeekPrefixGE(r.key); ok; ok = it.Next() {
		s, err := parseStored(it.Key(), it.Value())
		if err != nil {
			return err
		}
		if !within(s.time, r.time, span) {
			break
		}
		if !r.found || s.place.Compare(r.known.place) < 0 {
			r.known, r.found = s, true
		}
	}
	return it.Error()
}

// within reports whether two event times are at most span apart (E1).
func within(a, b feature.Time, span feature.Span) bool {
	return max(a, b).Sub(min(a, b)) <= span
}

// verdict judges row by row.
func (j *judgment) verdict() *Verdict {
	v := &Verdict{facts: make([]fact, 0, len(j.rows))}
	last := make(map[string]int32, len(j.rows)) // by id, the last of the facts that has it
	for i := range j.rows {
		r := &j.rows[i]
		if r.key == nil {
			v.facts = append(v.facts, fact{time: r.time, sum: r.sum, next: -1})
			continue
		}
		before, repeated := last[string(r.id())]
		switch first := v.within(before, repeated, r.time, j.span); {
		case r.found:
			v.Copies = append(v.Copies, feature.Copy{Row: i, Of: r.known.place, Conflict: r.known.sum != r.sum})
			v.originals = append(v.originals, -1)
		case first >= 0:
			v.Copies = append(v.Copies, feature.Copy{Row: i, Conflict: v.facts[first].sum != r.sum})
			v.originals = append(v.originals, first)
		default:
			if !repeated {
				before = -1
			}
			last[string(r.id())] = int32(len(v.facts))
			v.facts = append(v.facts, fact{id: r.id(), time: r.time, sum: r.sum, next: before})
		}
	}
	v.Fresh = without(j.batch, v.Copies)
	return v
}

// within returns the first of the facts of an id that is within the span of t, or -1. Those of an id are a list from the
// last to the first.
func (v *Verdict) within(last int32, exists bool, t feature.Time, span feature.Span) int {
	found := -1
	for n := last; exists && n >= 0; n = v.facts[n].next {
		if within(v.facts[n].time, t, span) {
			found = int(n)
		}
	}
	return found
}

// without returns b without the rows that are copies, which are in order.
func without(b *feature.Batch, copies []feature.Copy) *feature.Batch {
	if len(copies) == 0 {
		return b
	}
	out := &feature.Batch{Source: b.Source, Fields: b.Fields, Columns: make([]feature.Column, len(b.Columns))}
	for i, f := range b.Fields {
		out.Columns[i].Type = f.Type
	}
	from := 0
	for _, c := range copies {
		if c.Row > from {
			out.AppendBatch(b.Slice(from, c.Row))
		}
		from = c.Row + 1
	}
	if from < b.Rows {
		out.AppendBatch(b.Slice(from, b.Rows))
	}
	return out
}
