package online

import (
	"slices"
	"sort"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// leafEvents is how many events a leaf takes before the next one begins, if Config does not say else. One that gets late
// events is split at twice that.
const leafEvents = 128

// leaf is some events of one key that follow each other, in columns.
type leaf struct {
	times   []feature.Time
	stamps  []stamp
	rest    []rest           // nil while no event has anything in it
	deleted []bool           // nil while no event is a deletion
	columns []feature.Column // of the inputs that are stored, see shape; all NULL where deleted
}

// stamp is what most positions are behind their time.
type stamp struct {
	seq uint64
	idx uint32
}

// rest is the rest of a position.
type rest struct {
	tie     int64
	tieNull bool
	columns string
}

func newLeaf(w *windows) *leaf {
	l := &leaf{columns: make([]feature.Column, len(w.types))}
	for i, t := range w.types {
		l.columns[i].Type = t
	}
	return l
}

func (l *leaf) len() int { return len(l.times) }

// position returns the position of event i.
func (l *leaf) position(i int) asof.Position {
	s := l.stamps[i]
	p := asof.Position{EventTime: l.times[i], Seq: s.seq, Idx: s.idx}
	if l.rest != nil {
		p.Tie, p.TieNull, p.Columns = l.rest[i].tie, l.rest[i].tieNull, l.rest[i].columns
	}
	return p
}

func (l *leaf) isDeleted(i int) bool { return l.deleted != nil && l.deleted[i] }

// before reports whether all events of l are before e.
func (l *leaf) before(e *asof.Event) bool {
	last := l.len() - 1
	if t := l.times[last]; t != e.EventTime {
		return t < e.EventTime
	}
	return asof.Compare(l.position(last), e.Position) < 0
}

// until returns how many events are at or before t.
func (l *leaf) until(t feature.Time) int { return lastUntil(l.times, t) + 1 }

// find returns where the position is or belongs.
func (l *leaf) find(p *asof.Position) (at int, found bool) {
	at = sort.Search(l.len(), func(i int) bool { return asof.Compare(l.position(i), *p) >= 0 })
	return at, at < l.len() && l.position(at) == *p
}

// insert puts e before event i and copies what it keeps of it: of its values those of the stored inputs.
func (l *leaf) insert(i int, e *asof.Event, stored []int) {
	l.times = slices.Insert(l.times, i, e.EventTime)
	l.stamps = slices.Insert(l.stamps, i, stamp{e.Seq, e.Idx})
	if r := (rest{e.Tie, e.TieNull, e.Columns}); l.rest != nil || r != (rest{}) {
		if l.rest == nil {
			l.rest = make([]rest, len(l.stamps)-1, cap(l.stamps))
		}
		l.rest = slices.Insert(l.rest, i, r)
	}
	if l.deleted != nil || e.Deleted {
		if l.deleted == nil {
			l.deleted = make([]bool, len(l.stamps)-1, cap(l.stamps))
		}
		l.deleted = slices.Insert(l.deleted, i, e.Deleted)
	}
	for c, input := range stored {
		var v feature.Value
		if !e.Deleted { // R3
			v = e.Values[input]
		}
		insertValue(&l.columns[c], i, v)
	}
}

// insertValue puts v before place i of c, with memory of its own.
func insertValue(c *feature.Column, i int, v feature.Value) {
	if i == c.Len() {
		c.Append(owned(v))
		return
	}
	null := v.IsNull()
	if null && c.Nulls == nil {
		c.Nulls = make([]bool, c.Len())
	}
	if c.Nulls != nil {
		c.Nulls = slices.Insert(c.Nulls, i, null)
	}
	one := feature.Column{Type: c.Type}
	one.Append(owned(v))
	switch {
	case c.Type.List:
		c.Lists = slices.Insert(c.Lists, i, one.Lists[0])
	case c.Type.Kind == feature.KindFloat64:
		c.Floats = slices.Insert(c.Floats, i, one.Floats[0])
	case c.Type.Kind == feature.KindString:
		c.Strs = slices.Insert(c.Strs, i, one.Strs[0])
	default:
		c.Ints = slices.Insert(c.Ints, i, one.Ints[0])
	}
}

// cut returns a leaf of the events from i up to j, which shares no memory with l but that of strings and lists.
func (l *leaf) cut(i, j int) *leaf {
	out := &leaf{times: slices.Clone(l.times[i:j]), stamps: slices.Clone(l.stamps[i:j]), columns: make([]feature.Column, len(l.columns))}
	if l.rest != nil {
		out.rest = slices.Clone(l.rest[i:j])
	}
	if l.deleted != nil {
		out.deleted = slices.Clone(l.deleted[i:j])
	}
	for c := range l.columns {
		p := l.columns[c].Slice(i, j)
		p.Nulls, p.Ints, p.Floats = slices.Clone(p.Nulls), slices.Clone(p.Ints), slices.Clone(p.Floats)
		p.Strs, p.Lists = slices.Clone(p.Strs), slices.Clone(p.Lists)
		out.columns[c] = p
	}
	return out
}

// Sizes in memory.
const (
	leafBytes   = 152
	columnBytes = 144
)

func (l *leaf) bytes() int64 {
	n := leafBytes + int64(cap(l.times))*8 + int64(cap(l.stamps))*16 + int64(cap(l.rest))*32 + int64(cap(l.deleted)) + int64(len(l.columns))*columnBytes
	for i := range l.rest {
		n += int64(len(l.rest[i].columns))
	}
	for i := range l.columns {
		n += columnSize(&l.columns[i])
	}
	return n
}

func columnSize(c *feature.Column) int64 {
	n := int64(cap(c.Nulls) + 8*cap(c.Ints) + 8*cap(c.Floats) + 16*cap(c.Strs) + 24*cap(c.Lists))
	for _, s := range c.Strs {
		n += int64(len(s))
	}
	for _, list := range c.Lists {
		n += int64(len(list)) * valueBytes
		for _, v := range list {
			n += int64(len(v.Str()))
		}
	}
	return n
}
