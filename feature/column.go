package feature

// Column is a column of a Batch: one typed slice, as long as the batch, and which of its places are NULL.
// Exactly one of the slices is used: Ints for int64, timestamp (microseconds) and bool (0 and 1), Floats for
// float64, Strs for string, Lists for lists. A NULL place holds the zero value.
type Column struct {
	Type   Type
	Nulls  []bool // nil when no place is NULL, else as long as the column
	Ints   []int64
	Floats []float64
	Strs   []string
	Lists  [][]Value
}

// Len returns the number of places.
func (c *Column) Len() int {
	switch {
	case c.Type.List:
		return len(c.Lists)
	case c.Type.Kind == KindFloat64:
		return len(c.Floats)
	case c.Type.Kind == KindString:
		return len(c.Strs)
	default:
		return len(c.Ints)
	}
}

// IsNull reports whether place i is NULL.
func (c *Column) IsNull(i int) bool { return c.Nulls != nil && c.Nulls[i] }

// Value returns place i.
func (c *Column) Value(i int) Value {
	if c.IsNull(i) {
		return Value{}
	}
	switch {
	case c.Type.List:
		return ListValue(c.Type.Kind, c.Lists[i])
	case c.Type.Kind == KindFloat64:
		return Float64Value(c.Floats[i])
	case c.Type.Kind == KindString:
		return StringValue(c.Strs[i])
	default:
		return Value{kind: c.Type.Kind, num: uint64(c.Ints[i])}
	}
}

// Append adds v, which must be NULL or of the column's type (Convert makes it so).
func (c *Column) Append(v Value) {
	if null := v.IsNull(); null || c.Nulls != nil {
		if c.Nulls == nil {
			c.Nulls = make([]bool, c.Len(), c.Len()+8)
		}
		c.Nulls = append(c.Nulls, null)
	}
	switch {
	case c.Type.List:
		c.Lists = append(c.Lists, v.List())
	case c.Type.Kind == KindFloat64:
		c.Floats = append(c.Floats, v.Float64())
	case c.Type.Kind == KindString:
		c.Strs = append(c.Strs, v.str)
	default:
		c.Ints = append(c.Ints, int64(v.num))
	}
}

// Slice returns places i to j (exclusive) as a column that shares memory with c.
func (c *Column) Slice(i, j int) Column {
	s := Column{Type: c.Type}
	if c.Nulls != nil {
		s.Nulls = c.Nulls[i:j:j]
	}
	switch {
	case c.Type.List:
		s.Lists = c.Lists[i:j:j]
	case c.Type.Kind == KindFloat64:
		s.Floats = c.Floats[i:j:j]
	case c.Type.Kind == KindString:
		s.Strs = c.Strs[i:j:j]
	default:
		s.Ints = c.Ints[i:j:j]
	}
	return s
}

// Batch is some events of one source, in columns.
type Batch struct {
	Source  string   // name of the source
	Fields  []Field  // name and type of each column
	Columns []Column // as many as Fields, all Rows long
	Rows    int
}

// NewBatch returns an empty batch for events of s: its columns in the order of the definition.
func NewBatch(s *Source) *Batch {
	b := &Batch{Source: s.Name, Fields: s.Columns, Columns: make([]Column, len(s.Columns))}
	for i, f := range s.Columns {
		b.Columns[i].Type = f.Type
	}
	return b
}

// Column returns the column called name, or nil.
func (b *Batch) Column(name string) *Column {
	for i := range b.Fields {
		if b.Fields[i].Name == name {
			return &b.Columns[i]
		}
	}
	return nil
}

// Append adds a row whose values are in the order of the columns and of their types or NULL.
func (b *Batch) Append(row []Value) {
	for i := range b.Columns {
		b.Columns[i].Append(row[i])
	}
	b.Rows++
}

// AppendBatch adds all rows of o, which must have the same fields in the same order.
func (b *Batch) AppendBatch(o *Batch) {
	for i := range b.Columns {
		b.Columns[i].appendColumn(&o.Columns[i])
	}
	b.Rows += o.Rows
}

func (c *Column) appendColumn(o *Column) {
	if c.Nulls != nil || o.Nulls != nil {
		if c.Nulls == nil {
			c.Nulls = make([]bool, c.Len())
		}
		if o.Nulls == nil {
			c.Nulls = append(c.Nulls, make([]bool, o.Len())...)
		} else {
			c.Nulls = append(c.Nulls, o.Nulls...)
		}
	}
	c.Ints = append(c.Ints, o.Ints...)
	c.Floats = append(c.Floats, o.Floats...)
	c.Strs = append(c.Strs, o.Strs...)
	c.Lists = append(c.Lists, o.Lists...)
}

// Slice returns rows i to j (exclusive) as a batch that shares memory with b.
func (b *Batch) Slice(i, j int) *Batch {
	s := &Batch{Source: b.Source, Fields: b.Fields, Columns: make([]Column, len(b.Columns)), Rows: j - i}
	for k := range b.Columns {
		s.Columns[k] = b.Columns[k].Slice(i, j)
	}
	return s
}

// Row returns row i, a new slice in the order of the columns.
func (b *Batch) Row(i int) []Value {
	row := make([]Value, len(b.Columns))
	for k := range b.Columns {
		row[k] = b.Columns[k].Value(i)
	}
	return row
}
