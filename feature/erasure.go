package feature

// Erasure names the events of a source that are taken out of existence (rule E3): those whose columns hold one of
// the keys.
type Erasure struct {
	Source  string
	Columns []string
	Keys    []Key // each has a value for every column, none of them NULL
}

// Holds reports whether row i of b, which is rows of the source, is one of the events.
func (e *Erasure) Holds(b *Batch, i int) bool {
	key := make(Key, len(e.Columns))
	for part, name := range e.Columns {
		if c := b.Column(name); c != nil {
			key[part] = c.Value(i)
		}
	}
	for _, k := range e.Keys {
		if !key.HasNull() && k.Equal(key) {
			return true
		}
	}
	return false
}
