package oracle

import (
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// newer reports whether a is the newer of two events of src (O1, O2).
func newer(src *feature.Source, a, b *Event) bool {
	if a.EventTime != b.EventTime {
		return a.EventTime > b.EventTime
	}
	if src.Tiebreak != "" {
		if c := order(a.Values[src.Tiebreak], b.Values[src.Tiebreak]); c != 0 {
			return c > 0
		}
	}
	if a.Seq != b.Seq {
		return a.Seq > b.Seq
	}
	if a.Idx != b.Idx {
		return a.Idx > b.Idx
	}
	names := make([]string, 0, len(src.Columns))
	for _, f := range src.Columns {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		if c := order(a.Values[name], b.Values[name]); c != 0 {
			return c > 0
		}
	}
	return false
}

// order returns -1, 0 or 1 as a is before, the same as or after b, which are of one type or NULL (O2): NULL is
// lowest, false before true, strings by their bytes, lists element by element and the shorter first.
func order(a, b feature.Value) int {
	switch {
	case a.IsNull() && b.IsNull():
		return 0
	case a.IsNull():
		return -1
	case b.IsNull():
		return 1
	case a.Type().List:
		return orderLists(a.List(), b.List())
	}
	switch a.Type().Kind {
	case feature.KindFloat64:
		return sign(a.Float64() < b.Float64(), a.Float64() > b.Float64())
	case feature.KindString:
		return sign(a.Str() < b.Str(), a.Str() > b.Str())
	case feature.KindBool:
		return sign(!a.Bool() && b.Bool(), a.Bool() && !b.Bool())
	case feature.KindTimestamp:
		return sign(a.Time() < b.Time(), a.Time() > b.Time())
	default:
		return sign(a.Int64() < b.Int64(), a.Int64() > b.Int64())
	}
}

func orderLists(a, b []feature.Value) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if c := order(a[i], b[i]); c != 0 {
			return c
		}
	}
	return sign(len(a) < len(b), len(a) > len(b))
}

func sign(less, greater bool) int {
	if less {
		return -1
	}
	if greater {
		return 1
	}
	return 0
}
