package offline

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// Batches yields the rows of the training set in spine order (rule S1), each batch with the set's Fields and owned by the
// caller. One query runs for each view and role; their rows are put together here. It can be ranged over once; an error
// ends it.
func (t *TrainingSet) Batches(ctx context.Context) iter.Seq2[*feature.Batch, error] {
	return func(yield func(*feature.Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		z, err := t.open(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		defer z.close()
		for {
			b, err := z.next(t.store.cfg.ChunkRows)
			if err != nil {
				yield(nil, err)
				return
			}
			if b.Rows == 0 || !yield(b, nil) {
				return
			}
		}
	}
}

// zipper reads the spine and what each item says of it side by side.
type zipper struct {
	set   *TrainingSet
	spine *spineStream
	items []*itemReader
	slots []func(to *feature.Column) // write the plan's features of a row
	held  int64                      // of Store.streams
}

func (t *TrainingSet) open(ctx context.Context) (*zipper, error) {
	z := &zipper{set: t, items: make([]*itemReader, len(t.ask.Plan.Items))}
	held := int64(1)
	for i := range z.items {
		var err error
		if z.items[i], err = t.newItemReader(ctx, i); err != nil {
			return nil, err
		}
		held += int64(len(z.items[i].streams))
	}
	for _, slot := range t.ask.Plan.Slots {
		z.slots = append(z.slots, z.items[slot.Item].writer(slot.Feature))
	}
	if most := int64(max(2, t.store.cfg.Connections-4)); held > most {
		return nil, feature.Errorf(feature.CodeTooLarge, "the training set needs %d queries for its views and roles; at most %d fit: raise the connections to ClickHouse", held-1, most-1)
	}
	if err := t.store.streams.Acquire(ctx, held); err != nil {
		return nil, fmt.Errorf("wait for other training sets: %w", err)
	}
	z.held = held
	if err := z.openAll(ctx); err != nil {
		return nil, errors.Join(err, z.close())
	}
	return z, nil
}

// openAll starts one query after the other: each answers when its sweep is done, so that they do not compete for memory.
func (z *zipper) openAll(ctx context.Context) error {
	for _, it := range z.items {
		for _, s := range it.streams {
			if err := s.open(ctx, z.set.store); err != nil {
				return err
			}
		}
	}
	var err error
	z.spine, err = z.set.openSpine(ctx)
	return err
}

func (z *zipper) close() error {
	var errs []error
	for _, it := range z.items {
		for _, s := range it.streams {
			errs = append(errs, s.close())
		}
	}
	if z.spine != nil {
		errs = append(errs, z.spine.rows.Close())
	}
	z.set.store.streams.Release(z.held)
	return errors.Join(errs...)
}

// next returns up to n rows; none at the end.
func (z *zipper) next(n int) (*feature.Batch, error) {
	fields := z.set.Fields
	b := &feature.Batch{Fields: fields, Columns: make([]feature.Column, len(fields))}
	for i, f := range fields {
		b.Columns[i] = newColumnFor(f.Type, n)
	}
	own := len(fields) - len(z.slots)
	for b.Rows < n {
		ok, err := z.spine.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return b, nil
		}
		for i := range own {
			z.spine.cells.appendTo(&b.Columns[i], i)
		}
		for _, it := range z.items {
			if err := it.seek(z.spine); err != nil {
				return nil, err
			}
		}
		for i, write := range z.slots {
			write(&b.Columns[own+i])
		}
		b.Rows++
	}
	return b, nil
}

func newColumnFor(t feature.Type, n int) feature.Column {
	c := feature.Column{Type: t}
	switch {
	case t.List:
		c.Lists = make([][]feature.Value, 0, n)
	case t.Kind == feature.KindFloat64:
		c.Floats = make([]float64, 0, n)
	case t.Kind == feature.KindString:
		c.Strs = make([]string, 0, n)
	default:
		c.Ints = make([]int64, 0, n)
	}
	return c
}

// appendTo adds column i of the row to a column of its type.
func (c *cells) appendTo(to *feature.Column, i int) {
	v := &c.vars[i]
	if to.Nulls != nil || c.isNull(i) || to.Type.List {
		to.Append(c.value(i))
		return
	}
	switch to.Type.Kind {
	case feature.KindFloat64:
		to.Floats = append(to.Floats, v.float)
	case feature.KindString:
		to.Strs = append(to.Strs, v.str)
	default:
		to.Ints = append(to.Ints, v.num)
	}
}

// spineStream reads the staged spine in order.
type spineStream struct {
	rows  driver.Rows
	into  []any
	rid   uint64
	time  int64
	cells *cells
}

func (t *TrainingSet) openSpine(ctx context.Context) (*spineStream, error) {
	columns := make([]valueColumn, len(t.spine.fields))
	types := make([]feature.Type, len(columns))
	for i, f := range t.spine.fields {
		columns[i] = stagedValue(f, i)
		types[i] = f.Type
	}
	sql, err := text("spine_read.sql", struct {
		Table   string
		Flags   []string
		Columns []valueColumn
	}{quote(t.spine.table), flagWords(columns, "toUInt64(1)"), columns})
	if err != nil {
		return nil, err
	}
	s := &spineStream{}
	var into []any
	s.cells, into = newCells(types)
	s.into = append([]any{&s.rid, &s.time}, into...)
	if s.rows, err = t.store.conn.Query(ctx, sql); err != nil {
		return nil, failure("read the spine", err)
	}
	return s, nil
}

// stagedValue is column i of a staged spine as queries return it; instants are microseconds already.
func stagedValue(f feature.Field, i int) valueColumn {
	raw := f
	if raw.Type.Kind == feature.KindTimestamp {
		raw.Type.Kind = feature.KindInt64
	}
	c := newColumn(raw, spineColumn(i), spineHas(i), false)
	c.Field = f
	return c
}

func (s *spineStream) next() (bool, error) {
	if !s.rows.Next() {
		return false, failure("read the spine", s.rows.Err())
	}
	return true, failure("read the spine", s.rows.Scan(s.into...))
}
