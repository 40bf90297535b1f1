package offline

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// conversion says how a column of any ClickHouse type becomes one of ours (rule V1).
type conversion struct {
	typ  feature.Type
	expr string // with the representation of staged tables: instants in microseconds; may be NULL
}

// convert returns the conversion of the column called name, already quoted, from a ClickHouse type: integers become int64,
// floats and decimals float64, dates and times timestamps (floored, rule T1), everything with one text form a string. A
// type without a counterpart is an error that names it.
func convert(typ, name string) (conversion, error) {
	inner := unwrap(typ, "LowCardinality", "Nullable", "LowCardinality", "SimpleAggregateFunction")
	if element, ok := argument(inner, "Array"); ok {
		c, err := convertScalar(element, "_e")
		if err != nil || strings.HasPrefix(element, "Nullable") || strings.HasPrefix(element, "LowCardinality(Nullable") {
			return conversion{}, fmt.Errorf("no type of ours holds %s", typ)
		}
		cast := fmt.Sprintf("CAST(arrayMap(_e -> %s, %s), '%s')", c.expr, name, columnTypeText(feature.ListOf(c.typ.Kind)))
		return conversion{feature.ListOf(c.typ.Kind), cast}, nil
	}
	c, err := convertScalar(inner, name)
	if err != nil {
		return conversion{}, fmt.Errorf("no type of ours holds %s", typ)
	}
	return c, nil
}

func unwrap(typ string, wrappers ...string) string {
	for _, w := range wrappers {
		if inner, ok := argument(typ, w); ok {
			typ = inner
			if _, rest, found := strings.Cut(inner, ", "); found && w == "SimpleAggregateFunction" {
				typ = rest
			}
		}
	}
	return typ
}

// argument returns what stands in the parentheses of a type called name.
func argument(typ, name string) (string, bool) {
	rest, ok := strings.CutPrefix(typ, name+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ")")
}

const microsPerDay = 86_400_000_000

func convertScalar(typ, name string) (conversion, error) {
	base, _, _ := strings.Cut(typ, "(")
	switch base {
	case "Int64":
		return conversion{feature.Int64, name}, nil
	case "Int8", "Int16", "Int32", "UInt8", "UInt16", "UInt32":
		return conversion{feature.Int64, "toInt64(" + name + ")"}, nil
	case "UInt64", "Int128", "UInt128", "Int256", "UInt256":
		return conversion{feature.Int64, "accurateCast(" + name + ", 'Int64')"}, nil
	case "Float64", "Float32", "BFloat16", "Decimal":
		return conversion{feature.Float64, finite("toFloat64(" + name + ")")}, nil
	case "Bool":
		return conversion{feature.Bool, name}, nil
	case "String", "FixedString", "Enum8", "Enum16", "UUID", "IPv4", "IPv6":
		return conversion{feature.String, "toString(" + name + ")"}, nil
	case "Date":
		return conversion{feature.Timestamp, fmt.Sprintf("toInt64(toUInt16(%s)) * %d", name, microsPerDay)}, nil
	case "Date32":
		return conversion{feature.Timestamp, fmt.Sprintf("toInt64(toInt32(%s)) * %d", name, microsPerDay)}, nil
	case "DateTime":
		return conversion{feature.Timestamp, "toInt64(toUnixTimestamp(" + name + ")) * 1000000"}, nil
	case "DateTime64":
		return convertTime(typ, name)
	}
	return conversion{}, fmt.Errorf("no type of ours holds %s", typ)
}

// finite is rule V2 in SQL: NaN and infinities become NULL, −0 becomes 0.
func finite(x string) string { return "if(isFinite(" + x + "), " + x + " + 0., NULL)" }

// convertTime floors finer digits than microseconds toward the past, also before 1970.
func convertTime(typ, name string) (conversion, error) {
	args, _ := argument(typ, "DateTime64")
	digits, _, _ := strings.Cut(args, ",")
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil {
		return conversion{}, fmt.Errorf("no type of ours holds %s", typ)
	}
	if n <= 6 {
		return conversion{feature.Timestamp, "toUnixTimestamp64Micro(" + name + ")"}, nil
	}
	step := "1000"[:n-5]
	ticks := "reinterpretAsInt64(" + name + ")"
	return conversion{feature.Timestamp, fmt.Sprintf("intDiv(%s - positiveModulo(%s, %s), %s)", ticks, ticks, step, step)}, nil
}
