package expr

import (
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// instants are functions of timestamps, all in UTC.
func instants() []function {
	part := func(name, sql string, f func(time.Time) int) function {
		return function{
			name: name, args: 1, takes: "timestamp", check: all(feature.Int64, feature.Timestamp),
			eval: same(func(a, _ feature.Value) feature.Value { return feature.Int64Value(int64(f(a.Time().Std()))) }),
			sql: func(_ *renderer, args []string, _ []feature.Type) string {
				return "toInt64(" + sql + "(" + args[0] + "))"
			},
		}
	}
	return []function{
		part("year", "toYear", time.Time.Year),
		part("month", "toMonth", func(t time.Time) int { return int(t.Month()) }),
		part("day", "toDayOfMonth", time.Time.Day),
		part("hour", "toHour", time.Time.Hour),
		part("minute", "toMinute", time.Time.Minute),
		part("second", "toSecond", time.Time.Second),
		// Monday is 1, Sunday 7 (ISO 8601).
		part("dayOfWeek", "toDayOfWeek", func(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }),
	}
}

// subtraction is of numbers, or of two timestamps: how many microseconds lie between them.
func subtraction() function {
	f := numeric("-", "-", func(a, b int64) int64 { return a - b }, func(a, b float64) float64 { return a - b })
	check, eval, sql := f.check, f.eval, f.sql
	f.takes = "int64, float64 or two timestamps"
	f.check = func(t []feature.Type) (feature.Type, bool) {
		if t[0] == feature.Timestamp && t[1] == feature.Timestamp {
			return feature.Int64, true
		}
		return check(t)
	}
	f.eval = func(types []feature.Type) func(a, b feature.Value) feature.Value {
		if types[0] == feature.Timestamp {
			return func(a, b feature.Value) feature.Value { return feature.Int64Value(int64(a.Time().Sub(b.Time()))) }
		}
		return eval(types)
	}
	f.sql = func(r *renderer, args []string, types []feature.Type) string {
		if types[0] == feature.Timestamp {
			return "(toUnixTimestamp64Micro(" + args[0] + ") - toUnixTimestamp64Micro(" + args[1] + "))"
		}
		return sql(r, args, types)
	}
	return f
}
