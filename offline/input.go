package offline

import (
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/expr"
)

// newInputColumn is what features read of an event (rule W2): the value of a column, or for "*" the event itself, NULL
// where the condition is not true. index tells the conditions of one query apart.
func newInputColumn(src *feature.Source, in feature.Input, index int) (valueColumn, error) {
	c := valueColumn{Field: feature.Field{Name: in.Column, Type: feature.Bool}, Expr: "toInt64(1)", Null: "0", Zero: zero(feature.Bool)}
	switch {
	case in.Computed != nil:
		sql, err := eventSQL(src, in.Computed.Expr, fmt.Sprintf("_ex%d_", index))
		if err != nil {
			return c, fmt.Errorf("column %s: %w", in.Column, err)
		}
		c = newColumn(feature.Field{Name: in.Column, Type: in.Computed.Type}, sql, "", false)
	case in.Column != feature.AnyEvent:
		f, err := field(src, in.Column)
		if err != nil {
			return c, err
		}
		c = newValueColumn(f, f.Name == src.EventTime)
	}
	if in.Where == "" {
		return c, nil
	}
	sql, err := eventSQL(src, in.Where, fmt.Sprintf("_in%d_", index))
	if err != nil {
		return c, fmt.Errorf("where of %s: %w", in.Column, err)
	}
	c.Null = fmt.Sprintf("NOT ifNull(%s, false) OR (%s)", sql, c.Null)
	return c, nil
}

// eventSQL renders an expression over the columns of an event table. prefix begins the names that it gives.
func eventSQL(src *feature.Source, text, prefix string) (string, error) {
	e, err := expr.Parse(text, feature.TypeIn(src.Columns))
	if err != nil {
		return "", err
	}
	return e.SQL(prefix, func(name string) string {
		if name == src.EventTime {
			return "toNullable(" + quote(name) + ")"
		}
		return quote(name)
	})
}
