package offline

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// rowSum is an expression that rows with equal columns share and others, as good as certainly, do not. It is that of
// docs/format/identity.md, which the gate computes too.
func rowSum(columns []valueColumn) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		text := sumText(c.Field.Type.Kind, c.Expr)
		if c.Field.Type.List {
			element := sumText(c.Field.Type.Kind, "_e")
			text = fmt.Sprintf("arrayStringConcat(arrayMap(_e -> concat(toString(length(%s)), ':', %s), %s))", element, element, c.Expr)
		}
		parts[i] = fmt.Sprintf("if(%s, toUInt64(0), xxHash64(concat('%s=', %s)))", c.Null, c.Field.Name, text) // names are of letters, digits and _
	}
	return strings.Join(parts, " + ")
}

// sumText is a scalar as text.
func sumText(k feature.Kind, expr string) string {
	switch k {
	case feature.KindString:
		return expr
	case feature.KindFloat64:
		return "toString(reinterpretAsInt64(" + expr + "))"
	default:
		return "toString(toInt64(" + expr + "))"
	}
}

// arrivalRows is how many rows Arrivals yields together.
const arrivalRows = 8192

// Arrivals returns the events of src that are visible at cut, or those of one generation of them when it is not 0, as rule
// E1 sees them. It can be ranged over once.
func (s *Store) Arrivals(ctx context.Context, src *feature.Source, cut feature.Cut, generation uint64) iter.Seq2[*feature.Arrivals, error] {
	return func(yield func(*feature.Arrivals, error) bool) {
		if err := s.streamArrivals(ctx, src, readOf{edition: allEditions, cut: cut, generation: generation}, yield); err != nil {
			yield(nil, err)
		}
	}
}

func (s *Store) streamArrivals(ctx context.Context, src *feature.Source, of readOf, yield func(*feature.Arrivals, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.Ensure(ctx, src); err != nil {
		return err
	}
	a, err := s.arrived(ctx, src, of)
	if err != nil {
		return err
	}
	return s.streamArrived(ctx, src, a, a.params(), yield)
}

func (s *Store) streamArrived(ctx context.Context, src *feature.Source, a *arrived, args []any, yield func(*feature.Arrivals, error) bool) error {
	sql, err := text("arrivals.sql", a)
	if err != nil {
		return err
	}
	fields, err := idFields(src)
	if err != nil {
		return err
	}
	id, into := newKey(fields)
	var t int64
	var sum uint64
	var place feature.Place
	into = append(into, &t, &sum, &place.Seq, &place.Row)
	batch := newArrivals(fields)
	stopped := false
	err = s.each(ctx, query{"read the events of " + src.Name, sql, args}, func(rows driver.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i := range id {
			batch.IDs[i].Append(id[i].value())
		}
		batch.Times, batch.Sums, batch.Places = append(batch.Times, feature.Time(t)), append(batch.Sums, sum), append(batch.Places, place)
		if len(batch.Times) < arrivalRows {
			return nil
		}
		stopped = !yield(batch, nil)
		batch = newArrivals(fields)
		if stopped {
			return context.Canceled
		}
		return nil
	})
	if err != nil && !stopped {
		return err
	}
	if !stopped && len(batch.Times) > 0 {
		yield(batch, nil)
	}
	return nil
}

func newArrivals(id []feature.Field) *feature.Arrivals {
	a := &feature.Arrivals{
		Times: make([]feature.Time, 0, arrivalRows), Sums: make([]uint64, 0, arrivalRows), Places: make([]feature.Place, 0, arrivalRows),
	}
	for _, f := range id {
		a.IDs = append(a.IDs, feature.Column{Type: f.Type})
	}
	return a
}

// idFields are the columns of the id of src.
func idFields(src *feature.Source) ([]feature.Field, error) {
	fields := make([]feature.Field, len(src.ID))
	for i, id := range src.ID {
		var err error
		if fields[i], err = field(src, id); err != nil {
			return nil, err
		}
	}
	return fields, nil
}
