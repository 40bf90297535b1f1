package sdk

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Row is values with names and types. Rows of one answer share their names.
type Row struct {
	columns *columns
	values  []feature.Value
}

type columns struct {
	fields []feature.Field
	index  map[string]int
}

func newColumns(fields []feature.Field) *columns {
	c := &columns{fields: fields, index: make(map[string]int, len(fields))}
	for i, f := range fields {
		c.index[f.Name] = i
	}
	return c
}

// Fields returns the names and types in order. The caller must not change them.
func (r Row) Fields() []feature.Field {
	if r.columns == nil {
		return nil
	}
	return r.columns.fields
}

// Values returns the values in order. The caller must not change them.
func (r Row) Values() []feature.Value { return r.values }

// Lookup returns the value called name, and whether there is one of that name. It may be NULL.
func (r Row) Lookup(name string) (feature.Value, bool) {
	if r.columns == nil {
		return feature.Value{}, false
	}
	i, ok := r.columns.index[name]
	if !ok {
		return feature.Value{}, false
	}
	return r.values[i], true
}

// Value returns the value called name, NULL when there is none of that name.
func (r Row) Value(name string) feature.Value {
	v, _ := r.Lookup(name)
	return v
}

// Int64 returns the int64 called name; ok is false when it is NULL, of another type or not there.
func (r Row) Int64(name string) (n int64, ok bool) {
	v := r.Value(name)
	return v.Int64(), v.Type() == feature.Int64
}

// Float64 returns the number called name, an int64 as the nearest float64; ok is as for Int64.
func (r Row) Float64(name string) (f float64, ok bool) {
	switch v := r.Value(name); v.Type() {
	case feature.Float64:
		return v.Float64(), true
	case feature.Int64:
		return float64(v.Int64()), true
	default:
		return 0, false
	}
}

// Bool returns the bool called name; ok is as for Int64.
func (r Row) Bool(name string) (b, ok bool) {
	v := r.Value(name)
	return v.Bool(), v.Type() == feature.Bool
}

// Str returns the string called name; ok is as for Int64.
func (r Row) Str(name string) (s string, ok bool) {
	v := r.Value(name)
	return v.Str(), v.Type() == feature.String
}

// Time returns the timestamp called name, in UTC; ok is as for Int64.
func (r Row) Time(name string) (t time.Time, ok bool) {
	v := r.Value(name)
	if v.Type() != feature.Timestamp {
		return time.Time{}, false
	}
	return v.Time().Std(), true
}

// parseTypes reads types separated by commas; nil when there are none to read, as behind a proxy that drops
// headers.
func parseTypes(s string, n int) ([]feature.Type, error) {
	if s == "" {
		return make([]feature.Type, n), nil
	}
	parts := strings.Split(s, ",")
	if len(parts) != n {
		return nil, fmt.Errorf("the server named %d types for %d columns", len(parts), n)
	}
	types := make([]feature.Type, n)
	for i, p := range parts {
		var err error
		if types[i], err = feature.ParseType(p); err != nil {
			return nil, err
		}
	}
	return types, nil
}

// parseValue reads a JSON value of a type; the zero Type takes what the text suggests.
func parseValue(raw json.RawMessage, t feature.Type) (feature.Value, error) {
	switch text := string(raw); {
	case text == "null" || text == "":
		return feature.Value{}, nil
	case t == feature.Int64:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return feature.Int64Value(n), nil
		}
	case t == feature.Float64:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return feature.Float64Value(f), nil
		}
	case t == feature.String:
		var s string
		err := json.Unmarshal(raw, &s)
		return feature.StringValue(s), err
	}
	v, err := feature.ParseJSON(raw)
	if err != nil || t == (feature.Type{}) {
		return v, err
	}
	return feature.Convert(v, t)
}
