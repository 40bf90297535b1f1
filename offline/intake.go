package offline

import (
	"fmt"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// intake is how a column of a ClickHouse table that others keep becomes a column of a source, by the rules of the gate.
type intake struct {
	field feature.Field
	typ   string // in ClickHouse
	value string // the value as staged: instants in microseconds; never throws, is NULL or empty where it is wrong
	wrong []fault
	json  string // the value as the gate would read it in a JSON row
}

// fault is a condition under which the gate would refuse a row.
type fault struct{ when, reason string }

// newIntake returns how column name of ClickHouse type typ becomes f, or an error that says what was expected and how to
// mend it. in is the SQL of the column.
func newIntake(f feature.Field, typ, in string) (intake, error) {
	t := intake{field: f, typ: typ, json: "toJSONString(" + in + ")"}
	inner := plainType(typ)
	element, isList := argument(inner, "Array")
	switch {
	case isList != f.Type.List:
		return t, misfit(f, typ, "")
	case isList:
		return t, t.list(element, in)
	}
	value, wrong, ok := scalarIntake(f.Type.Kind, inner, in)
	if !ok {
		return t, misfit(f, typ, advice(f.Type.Kind, inner, f.Name))
	}
	t.value = value
	for _, w := range wrong {
		t.wrong = append(t.wrong, fault{"ifNull(" + w.when + ", false)", w.reason})
	}
	switch f.Type.Kind {
	case feature.KindString:
		t.json = "toJSONString(" + value + ")"
	case feature.KindTimestamp:
		t.json = fmt.Sprintf("if(ifNull(%[1]s, %[2]d) BETWEEN %[3]d AND %[4]d, concat('\"', formatDateTime(fromUnixTimestamp64Micro(assumeNotNull(%[1]s), 'UTC'), '%%Y-%%m-%%dT%%H:%%i:%%S.%%fZ'), '\"'), %[5]s)",
			value, int64(feature.MinTime)-1, int64(feature.MinTime), int64(feature.MaxTime), t.json)
	default: // as ClickHouse writes it
	}
	return t, nil
}

// plainType is a type without what does not change its values' meaning.
func plainType(typ string) string {
	return unwrap(typ, "LowCardinality", "Nullable", "LowCardinality", "SimpleAggregateFunction")
}

// scalarIntake returns the value of in as a value of kind k, and when it is wrong; ok is false where the type does not fit.
func scalarIntake(k feature.Kind, typ, in string) (value string, wrong []fault, ok bool) {
	c, err := convertScalar(typ, in)
	if err != nil {
		return "", nil, false
	}
	switch from := c.typ.Kind; {
	case from == feature.KindInt64 && k == feature.KindInt64:
		value = "accurateCastOrNull(" + in + ", 'Int64')"
		return value, []fault{{"isNotNull(" + in + ") AND isNull(" + value + ")", "the number does not fit an int64"}}, true
	case from == feature.KindInt64 && k == feature.KindFloat64:
		value = "accurateCastOrNull(" + in + ", 'Float64')"
		return value, []fault{{"isNotNull(" + in + ") AND isNull(" + value + ")", "no float64 is exactly this number"}}, true
	case from == feature.KindInt64 && k == feature.KindString:
		return "toString(" + in + ")", nil, true
	case from != k:
		return "", nil, false
	case k == feature.KindString:
		return c.expr, []fault{{"NOT isValidUTF8(" + c.expr + ")", "the text is not valid UTF-8"}}, true
	case k == feature.KindTimestamp:
		outside := fmt.Sprintf("(%s) NOT BETWEEN %d AND %d", c.expr, int64(feature.MinTime), int64(feature.MaxTime))
		return c.expr, []fault{{outside, "the instant lies outside the years 1900 to 2299"}}, true
	}
	return c.expr, nil, true
}

// list fills t for a list column, whose elements must all be there and right.
func (t *intake) list(element, in string) error {
	if element != plainType(element) && strings.Contains(element, "Nullable") {
		return misfit(t.field, t.typ, fmt.Sprintf("arrayMap(e -> assumeNotNull(e), arrayFilter(e -> isNotNull(e), %s))", t.field.Name))
	}
	kind := t.field.Type.Kind
	value, wrong, ok := scalarIntake(kind, plainType(element), "_e")
	if !ok {
		return misfit(t.field, t.typ, "")
	}
	whole := feature.ListOf(kind)
	t.value = fmt.Sprintf("CAST(arrayMap(_e -> ifNull(%s, %s), %s), '%s')", value, rawZero(kind), in, columnTypeText(whole))
	if kind == feature.KindFloat64 && len(wrong) == 0 {
		wrong = append(wrong, fault{"isNull(" + value + ")", "a list has no NULL inside, which NaN and infinities would be"})
	}
	for _, w := range wrong {
		t.wrong = append(t.wrong, fault{fmt.Sprintf("arrayExists(_e -> ifNull(%s, false), %s)", w.when, in), "an element of the list: " + w.reason})
	}
	if kind == feature.KindTimestamp {
		t.json = fmt.Sprintf("toJSONString(arrayMap(_e -> formatDateTime(fromUnixTimestamp64Micro(ifNull(%s, 0), 'UTC'), '%%Y-%%m-%%dT%%H:%%i:%%S.%%fZ'), %s))", value, in)
	}
	if n := t.field.Type.Len; n > 0 {
		t.wrong = append(t.wrong, fault{fmt.Sprintf("length(%s) != %d", in, n), fmt.Sprintf("expected %d elements", n)})
	}
	return nil
}

// rawZero is a value of kind k with instants in microseconds.
func rawZero(k feature.Kind) string {
	if k == feature.KindTimestamp {
		k = feature.KindInt64
	}
	return scalarZero(k)
}

func misfit(f feature.Field, typ, cast string) error {
	detail := fmt.Errorf("it is %s, expected what becomes %s", typ, f.Type)
	if cast != "" {
		detail = fmt.Errorf("%w: use from.sql with %s AS %s", detail, cast, f.Name)
	}
	return detail
}

// advice is an expression that makes kind k of a column that does not fit, or "".
func advice(k feature.Kind, typ, name string) string {
	c, err := convertScalar(typ, name)
	if err != nil {
		if k == feature.KindString {
			return "toJSONString(" + name + ")"
		}
		return ""
	}
	from := c.typ.Kind
	switch {
	case k == feature.KindInt64 && from == feature.KindString:
		return "toInt64OrNull(" + name + ")"
	case k == feature.KindInt64:
		return "toInt64(" + name + ")"
	case k == feature.KindFloat64 && from == feature.KindString:
		return "toFloat64OrNull(" + name + ")"
	case k == feature.KindBool && from == feature.KindInt64:
		return "toBool(" + name + ")"
	case k == feature.KindTimestamp && from == feature.KindString:
		return "parseDateTime64BestEffortOrNull(" + name + ", 6, 'UTC')"
	case k == feature.KindTimestamp && from == feature.KindInt64 && strings.HasSuffix(typ, "Int32"):
		return "toDateTime(" + name + ", 'UTC')"
	case k == feature.KindTimestamp && from == feature.KindInt64: // what it counts is a guess, which the reader can tell
		return "fromUnixTimestamp64Micro(toInt64(" + name + "), 'UTC')"
	case k == feature.KindString:
		return "toString(" + name + ")"
	}
	return ""
}
