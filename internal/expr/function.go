package expr

import (
	"maps"
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// function is an operator or a function: what it takes, and its two texts, Go and SQL.
type function struct {
	name     string
	args     int
	operator bool   // written between or before its arguments, or not at all by its name
	mixed    bool   // where one argument is float64, int64 arguments become float64 first
	lists    bool   // takes lists
	takes    string // in words, for errors
	check    func(types []feature.Type) (feature.Type, bool)

	// eval computes from values that are not NULL; the second is NULL for one argument.
	eval func(types []feature.Type) func(a, b feature.Value) feature.Value
	// lazy replaces eval where NULL does not simply go through.
	lazy func(args []Func) Func
	// sql is nil where engines differ in the last bit.
	sql func(r *renderer, args []string, types []feature.Type) string
}

// functions are all of the language. It never changes.
var functions = func() map[string]*function {
	all := map[string]*function{}
	for _, group := range [][]function{arithmetic(), comparisons(), logic(), texts(), instants(), transcendental()} {
		for _, f := range group {
			all[f.name] = &f
		}
	}
	return all
}()

// functionNames are those that are called by name, in order.
func functionNames() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		if !functions[name].operator {
			names = append(names, name)
		}
	}
	return names
}

// all accepts arguments of these types, all alike, with the given result; the zero result is that of the arguments.
func all(result feature.Type, types ...feature.Type) func([]feature.Type) (feature.Type, bool) {
	return func(args []feature.Type) (feature.Type, bool) {
		for _, a := range args {
			if a != args[0] || !slices.Contains(types, a) {
				return feature.Type{}, false
			}
		}
		if result == (feature.Type{}) {
			return args[0], true
		}
		return result, true
	}
}

// same is an eval that does not depend on types.
func same(f func(a, b feature.Value) feature.Value) func([]feature.Type) func(a, b feature.Value) feature.Value {
	return func([]feature.Type) func(a, b feature.Value) feature.Value { return f }
}

// finite makes a float64 result as rule V2 wants it: NULL unless finite, and no −0.
func finite(r *renderer, sql string) string {
	first, again := r.twice(sql)
	return "if(isFinite(" + first + "), " + again + " + toFloat64(0), " + null(feature.Float64) + ")"
}

// null is NULL of a type.
func null(t feature.Type) string {
	switch t.Kind {
	case feature.KindFloat64:
		return "CAST(NULL, 'Nullable(Float64)')"
	case feature.KindBool:
		return "CAST(NULL, 'Nullable(Bool)')"
	case feature.KindString:
		return "CAST(NULL, 'Nullable(String)')"
	case feature.KindTimestamp:
		return `CAST(NULL, 'Nullable(DateTime64(6, \'UTC\'))')`
	default:
		return "CAST(NULL, 'Nullable(Int64)')"
	}
}
