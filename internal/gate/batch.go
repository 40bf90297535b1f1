package gate

import (
	"errors"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/lockstepfs/lockstep/feature"
)

// AddBatch takes the rows of a typed batch: columns are matched by name and converted where nothing is lost
// (K4), columns that are not there are NULL. It returns what was refused, a Detail with its row for each
// column that is wrong in it, in order of rows; all other rows were taken. When the columns themselves are
// wrong (an unknown one, no event time) the details name no row and nothing was taken. o is not changed and
// nothing of it is kept but strings and lists.
func (b *Builder) AddBatch(o *feature.Batch) []feature.Detail {
	if bad := b.checkColumns(o); len(bad) > 0 {
		return bad
	}
	in := &feature.Batch{Source: b.src.Name, Fields: b.src.Columns, Columns: make([]feature.Column, len(b.src.Columns)), Rows: o.Rows}
	var bad []feature.Detail
	for i, f := range b.src.Columns {
		c := o.Column(f.Name)
		if c == nil {
			in.Columns[i] = nullColumn(f.Type, o.Rows)
			continue
		}
		in.Columns[i] = convertColumn(c, f.Type, func(row int, err error) {
			bad = append(bad, refusal(row, f.Name, err))
		})
	}
	bad = append(bad, b.checkEventTimes(&in.Columns[b.event], bad)...)
	for _, i := range b.id {
		bad = append(bad, b.checkID(i, &in.Columns[i], bad)...)
	}
	slices.SortStableFunc(bad, func(x, y feature.Detail) int { return *x.Row - *y.Row })
	b.appendGood(in, bad)
	return bad
}

func refusal(row int, field string, err error) feature.Detail {
	return feature.Detail{Row: &row, Field: field, Message: err.Error()}
}

// checkColumns says what is wrong with the columns of o as a whole.
func (b *Builder) checkColumns(o *feature.Batch) []feature.Detail {
	var bad []feature.Detail
	seen := make(map[string]bool, len(o.Fields))
	for _, f := range o.Fields {
		if _, ok := b.names[f.Name]; !ok {
			bad = append(bad, feature.Detail{Field: f.Name, Message: unknownColumn(b.src).Error()})
		} else if seen[f.Name] {
			bad = append(bad, feature.Detail{Field: f.Name, Message: "there are two columns of this name"})
		}
		seen[f.Name] = true
	}
	if !seen[b.src.EventTime] {
		bad = append(bad, feature.Detail{Field: b.src.EventTime, Message: "the event time is required: there is no such column"})
	}
	return bad
}

// refused returns the rows that were refused for the field.
func refused(already []feature.Detail, field string) map[int]bool {
	rows := map[int]bool{}
	for _, d := range already {
		if d.Field == field {
			rows[*d.Row] = true
		}
	}
	return rows
}

// checkID refuses rows with NULL in a column of the id, except those already refused for it.
func (b *Builder) checkID(column int, c *feature.Column, already []feature.Detail) []feature.Detail {
	name := b.src.Columns[column].Name
	told := refused(already, name)
	var bad []feature.Detail
	for i, null := range c.Nulls {
		if null && !told[i] {
			bad = append(bad, refusal(i, name, errNoID))
		}
	}
	return bad
}

// checkEventTimes refuses rows without an event time and from the future, except those already refused for it.
func (b *Builder) checkEventTimes(c *feature.Column, already []feature.Detail) []feature.Detail {
	told := refused(already, b.src.EventTime)
	var bad []feature.Detail
	for i, at := range c.Ints {
		switch {
		case c.IsNull(i) && !told[i]:
			bad = append(bad, refusal(i, b.src.EventTime, errNoEventTime))
		case feature.Time(at) > b.latest:
			bad = append(bad, refusal(i, b.src.EventTime, b.checkFuture(feature.Time(at))))
		}
	}
	return bad
}

var (
	errNoEventTime = errors.New("the event time is required: expected a timestamp")
	errNoID        = errors.New("it is part of the id, which says which event a row is: expected a value")
)

// appendGood adds the rows of in that bad, in order of rows, does not name.
func (b *Builder) appendGood(in *feature.Batch, bad []feature.Detail) {
	out := b.current(in.Rows)
	from := 0
	for _, d := range bad {
		if *d.Row > from {
			out.AppendBatch(in.Slice(from, *d.Row))
		}
		from = *d.Row + 1
	}
	switch {
	case from == 0:
		out.AppendBatch(in)
	case from < in.Rows:
		out.AppendBatch(in.Slice(from, in.Rows))
	}
}

func nullColumn(t feature.Type, rows int) feature.Column {
	c := feature.Column{Type: t}
	reserve(&c, rows)
	for range rows {
		c.Append(feature.Value{})
	}
	return c
}

// convertColumn returns c as a column of type t, sharing memory with c where nothing changes. A place that
// cannot be converted is told to refuse and is NULL.
func convertColumn(c *feature.Column, t feature.Type, refuse func(row int, err error)) feature.Column {
	if c.Type != t || t.List {
		return convertEach(c, t, refuse)
	}
	switch t.Kind {
	case feature.KindFloat64:
		if slices.ContainsFunc(c.Floats, func(f float64) bool { return !(math.Abs(f) <= math.MaxFloat64) || f == 0 && math.Signbit(f) }) {
			return convertEach(c, t, refuse)
		}
	case feature.KindString:
		if !slices.ContainsFunc(c.Strs, func(s string) bool { return !utf8.ValidString(s) }) {
			return *c
		}
		return convertEach(c, t, refuse)
	case feature.KindTimestamp:
		if slices.ContainsFunc(c.Ints, func(x int64) bool { return !feature.Time(x).Valid() }) {
			return convertEach(c, t, refuse)
		}
	default: // always right
	}
	return *c
}

func convertEach(c *feature.Column, t feature.Type, refuse func(row int, err error)) feature.Column {
	out := feature.Column{Type: t}
	n := c.Len()
	reserve(&out, n)
	for i := range n {
		v, err := feature.Convert(c.Value(i), t)
		if err != nil {
			refuse(i, err)
		}
		out.Append(v)
	}
	return out
}
