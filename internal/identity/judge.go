package identity

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// Verdict says which rows of a batch are events.
type Verdict struct {
	Fresh  *feature.Batch // the rows that are, in their order; the batch itself if all are
	Copies []feature.Copy // the others, in their order; where the event is among the Fresh its place is not known
	facts  []fact         // of Fresh, row by row
	within []int          // for each of Copies the event's row in Fresh, or -1 if the index knows it
	epoch  int            // of the Publisher's index
}

// fact is what the index keeps of a row.
type fact struct {
	id   string
	time feature.Time
	sum  uint64
	next int32 // in Verdict.facts, a later row of the same id, or -1
}

// Judge says which rows of a batch of src are events, given the events that the index knows, as if they arrived
// now in their order. It changes nothing.
func (x *Index) Judge(src *feature.Source, b *feature.Batch) (*Verdict, error) {
	number, err := x.number(src)
	if err != nil {
		return nil, err
	}
	r, err := rowsOf(src, b)
	if err != nil {
		return nil, err
	}
	it, err := x.db.NewIter(&pebble.IterOptions{LowerBound: prefix(number), UpperBound: prefix(number + 1)})
	if err != nil {
		return nil, fmt.Errorf("read the index of ids: %w", err)
	}
	j := &judgment{rows: r, it: it, span: src.Dedup, last: make(map[string]int32, b.Rows), key: prefix(number), verdict: &Verdict{Fresh: b}}
	err = j.all()
	if closed := it.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("read the index of ids: %w", err)
	}
	return j.verdict, nil
}

// judgment is a Judge under way.
type judgment struct {
	rows    *rows
	it      *pebble.Iterator
	span    feature.Span
	last    map[string]int32 // by id, the last of verdict.facts that has it
	key     []byte           // begins with the source's prefix
	verdict *Verdict
}

func (j *judgment) all() error {
	b := j.rows.batch
	for i := range b.Rows {
		f, first, err := j.row(i)
		switch {
		case err != nil:
			return err
		case first == nil:
			f.next = -1
			if before, ok := j.last[f.id]; ok {
				f.next = before
			}
			j.last[f.id] = int32(len(j.verdict.facts))
			j.verdict.facts = append(j.verdict.facts, f)
		default:
			j.verdict.Copies = append(j.verdict.Copies, feature.Copy{Row: i, Of: first.place, Conflict: first.sum != f.sum})
			j.verdict.within = append(j.verdict.within, first.fresh)
		}
	}
	j.verdict.Fresh = without(b, j.verdict.Copies)
	return nil
}

// original is the event that a row is a copy of.
type original struct {
	stored
	fresh int // its row in Verdict.Fresh, or -1
}

// row returns what the index would keep of row i, and what it is a copy of, or nil.
func (j *judgment) row(i int) (fact, *original, error) {
	at := len(j.key)
	key, ok := j.rows.appendID(j.key, i)
	j.key = key[:at]
	f := fact{time: feature.Time(j.rows.times[i]), sum: j.rows.sum(i)}
	if !ok {
		return f, nil, nil
	}
	first, err := j.known(key, f.time)
	if err != nil {
		return f, nil, err
	}
	if first != nil {
		return f, &original{*first, -1}, nil
	}
	id := key[at:]
	found := -1
	if before, ok := j.last[string(id)]; ok {
		for n := before; n >= 0; n = j.verdict.facts[n].next {
			if within(j.verdict.facts[n].time, f.time, j.span) {
				found = int(n) // and go on: the list goes from the last to the first
			}
		}
	}
	if found >= 0 {
		return f, &original{stored{sum: j.verdict.facts[found].sum}, found}, nil
	}
	f.id = string(id)
	return f, nil, nil
}

// within reports whether two event times are at most span apart (E1).
func within(a, b feature.Time, span feature.Span) bool {
	return max(a, b).Sub(min(a, b)) <= span
}

// known returns the first event to arrive that the index knows of the id within the span of t, or nil. key is the
// source's prefix and the id.
func (j *judgment) known(key []byte, t feature.Time) (*stored, error) {
	n := len(key)
	key = appendTime(key, t.Add(-j.span))
	j.key = key[:len(j.key)] // it may have grown
	var first *stored
	for ok := j.it.SeekPrefixGE(key); ok && bytes.Equal(j.it.Key()[:n], key[:n]); ok = j.it.Next() {
		s, err := parseStored(j.it.Key(), j.it.Value())
		if err != nil {
			return nil, err
		}
		if !within(s.time, t, j.span) {
			break
		}
		if first == nil || s.place.Compare(first.place) < 0 {
			first = &s
		}
	}
	return first, j.it.Error()
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
