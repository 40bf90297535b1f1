package offline

import "github.com/lockstepfs/lockstep/feature"

// windowRow is the columns of one row.
type windowRow struct{ ranged, lived []variable }

// finisher makes the value of a window feature from a row of columns and adds it to a column of the feature's type. It
// reports whether there is one: for NULL it adds nothing. Numbers do not become a Value on their way, which takes longer
// than making them.
type finisher func(r *windowRow, to *feature.Column) bool

// finishInt is for int64, which are never NULL.
func finishInt(of func(r *windowRow) int64) finisher {
	return func(r *windowRow, to *feature.Column) bool {
		if to.Nulls != nil {
			to.Append(feature.Int64Value(of(r)))
		} else {
			to.Ints = append(to.Ints, of(r))
		}
		return true
	}
}

// finishFloat is for float64; what is not finite is NULL (rule V2).
func finishFloat(of func(r *windowRow) float64) finisher {
	return func(r *windowRow, to *feature.Column) bool {
		v := feature.Float64Value(of(r))
		switch {
		case v.IsNull():
			return false
		case to.Nulls != nil:
			to.Append(v)
		default:
			to.Floats = append(to.Floats, v.Float64())
		}
		return true
	}
}

// finishValue is for all types.
func finishValue(of func(r *windowRow) feature.Value) finisher {
	return func(r *windowRow, to *feature.Column) bool {
		v := of(r)
		if v.IsNull() {
			return false
		}
		to.Append(v)
		return true
	}
}
