package expr_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/expr"
)

var seed = flag.Uint64("seed", 3, "of the random expressions and rows")

// columns are what random expressions read.
var columns = []feature.Field{
	{Name: "i", Type: feature.Int64},
	{Name: "j", Type: feature.Int64},
	{Name: "x", Type: feature.Float64},
	{Name: "y", Type: feature.Float64},
	{Name: "b", Type: feature.Bool},
	{Name: "c", Type: feature.Bool},
	{Name: "s", Type: feature.String},
	{Name: "u", Type: feature.String},
	{Name: "t", Type: feature.Timestamp},
	{Name: "v", Type: feature.Timestamp},
}

func typeOf(name string) (feature.Type, bool) {
	if i := feature.FieldIndex(columns, name); i >= 0 {
		return columns[i].Type, true
	}
	return feature.Type{}, false
}

func names() []string {
	var out []string
	for _, c := range columns {
		out = append(out, c.Name)
	}
	return out
}

type draw struct{ *rand.Rand }

func (r draw) one(texts ...string) string { return texts[r.IntN(len(texts))] }

// text draws an expression of a type.
func (r draw) text(t feature.Type, depth int) string {
	var leaves []string
	for _, c := range columns {
		if c.Type == t {
			leaves = append(leaves, c.Name)
		}
	}
	if depth == 0 || r.IntN(6) == 0 {
		switch t {
		case feature.Int64:
			leaves = append(leaves, "0", "1", "-1", "9223372036854775807", "3", "60")
		case feature.Float64:
			leaves = append(leaves, "0.5", "0.0", "1e300", "2.5", "9007199254740993.0", "1e-300")
		case feature.Bool:
			leaves = append(leaves, "true", "false")
		case feature.String:
			leaves = append(leaves, `""`, `"é"`, `"a'b\\{c}?"`, `"AbÀ"`)
		}
		return r.one(leaves...)
	}
	d := depth - 1
	sub := func(t feature.Type) string { return r.text(t, r.IntN(d+1)) }
	number := func() string { return sub([]feature.Type{feature.Int64, feature.Float64}[r.IntN(2)]) }
	kind := func() feature.Type { return columns[r.IntN(len(columns))].Type }
	if r.IntN(5) == 0 {
		switch r.IntN(3) {
		case 0:
			return fmt.Sprintf("(%s ? %s : %s)", sub(feature.Bool), sub(t), sub(t))
		case 1:
			return fmt.Sprintf("(%s ? %s : nil)", sub(feature.Bool), sub(t))
		default:
			return fmt.Sprintf("(%s ?? %s)", sub(t), sub(t))
		}
	}
	switch t {
	case feature.Int64:
		switch r.IntN(9) {
		case 0:
			return fmt.Sprintf("(%s - %s)", sub(feature.Timestamp), sub(feature.Timestamp))
		case 1:
			return fmt.Sprintf("%s(%s)", r.one("year", "month", "day", "hour", "minute", "second", "dayOfWeek"), sub(feature.Timestamp))
		case 2:
			return fmt.Sprintf("len(%s)", sub(feature.String))
		case 3:
			return fmt.Sprintf("toInt64(%s)", sub([]feature.Type{feature.Int64, feature.Float64, feature.Bool}[r.IntN(3)]))
		case 4:
			return fmt.Sprintf("intDiv(%s, %s)", sub(t), sub(t))
		case 5:
			return fmt.Sprintf("%s(%s)", r.one("abs", "-"), sub(t))
		case 6:
			return fmt.Sprintf("%s(%s, %s)", r.one("min", "max"), sub(t), sub(t))
		default:
			return fmt.Sprintf("(%s %s %s)", sub(t), r.one("+", "-", "*", "%"), sub(t))
		}
	case feature.Float64:
		switch r.IntN(5) {
		case 0:
			return fmt.Sprintf("%s(%s)", r.one("sqrt", "floor", "ceil", "round", "toFloat64"), number())
		case 1:
			return fmt.Sprintf("%s(%s)", r.one("abs", "-"), sub(t))
		case 2:
			return fmt.Sprintf("(%s / %s)", number(), number())
		case 3:
			return fmt.Sprintf("%s(%s, %s)", r.one("min", "max"), sub(t), number())
		default:
			return fmt.Sprintf("(%s %s %s)", sub(t), r.one("+", "-", "*"), number())
		}
	case feature.Bool:
		switch r.IntN(7) {
		case 0:
			return fmt.Sprintf("not (%s)", sub(t))
		case 1, 2:
			return fmt.Sprintf("(%s %s %s)", sub(t), r.one("and", "or", "&&", "||"), sub(t))
		case 3:
			return fmt.Sprintf("(%s %s %s)", number(), r.one("==", "!=", "<", "<=", ">", ">="), number())
		case 4:
			same := kind()
			return fmt.Sprintf("(%s %s %s)", sub(same), r.one("==", "!=", "<", "<=", ">", ">="), sub(same))
		case 5:
			return fmt.Sprintf("(%s %s %s)", sub(feature.String), r.one("contains", "startsWith", "endsWith"), sub(feature.String))
		default:
			return r.one(fmt.Sprintf("isNull(%s)", sub(kind())), fmt.Sprintf("isNotNull(%s)", sub(kind())), fmt.Sprintf("(%s in [1, -1, %s])", sub(feature.Int64), sub(feature.Int64)))
		}
	case feature.String:
		switch r.IntN(3) {
		case 0:
			return fmt.Sprintf("%s(%s)", r.one("lower", "upper"), sub(t))
		case 1:
			return fmt.Sprintf("concat(%s, %s)", sub(t), sub(t))
		default:
			return fmt.Sprintf("toString(%s)", sub([]feature.Type{feature.Int64, feature.Bool, feature.String}[r.IntN(3)]))
		}
	default:
		return r.one(leaves...)
	}
}

// value draws a value of a type, extremes and NULL among them.
func (r draw) value(t feature.Type) feature.Value {
	if r.IntN(6) == 0 {
		return feature.Value{}
	}
	switch t {
	case feature.Int64:
		return feature.Int64Value([]int64{0, 1, -1, 2, 7, -7, 1 << 53, 1<<53 + 1, math.MaxInt64, math.MinInt64, math.MinInt64 + 1, r.Int64N(100)}[r.IntN(12)])
	case feature.Float64:
		return feature.Float64Value([]float64{0, 1, -1, 0.5, 1.5, 2.5, -2.5, 1e308, -1e308, 5e-324, 1 << 53, 9.3e18, -9.3e18, 1 << 63, -(1 << 63), 1e16, r.NormFloat64()}[r.IntN(17)])
	case feature.Bool:
		return feature.BoolValue(r.IntN(2) == 0)
	case feature.String:
		return feature.StringValue(r.one("", "a", "A", "é", "ÀÉz", "it's", `b\`, "a?b", "AbÀ", "日本"))
	default:
		return feature.TimestampValue([]feature.Time{0, -1, 1, feature.MinTime, feature.MaxTime, 951_782_400_000_000, -86_400_000_001, feature.Time(r.Int64N(2e15))}[r.IntN(8)])
	}
}

func sqlLiteral(v feature.Value, t feature.Type) string {
	switch {
	case v.IsNull():
		return "NULL"
	case t == feature.Timestamp:
		return fmt.Sprintf("fromUnixTimestamp64Micro(toInt64(%d), 'UTC')", int64(v.Time()))
	case t == feature.String:
		return "unhex('" + fmt.Sprintf("%x", v.Str()) + "')"
	case t == feature.Float64:
		return fmt.Sprintf("reinterpretAsFloat64(toUInt64(%d))", math.Float64bits(v.Float64()))
	case t == feature.Bool:
		return v.Text()
	default:
		return fmt.Sprintf("toInt64('%d')", v.Int64())
	}
}

var stored = map[feature.Type]string{feature.Int64: "Int64", feature.Float64: "Float64", feature.Bool: "Bool", feature.String: "String", feature.Timestamp: "DateTime64(6, 'UTC')"}

// TestClickHouse compares random expressions over random rows, extremes included, computed by Go and by the engine.
func TestClickHouse(t *testing.T) {
	engine := chtest.Engine(t)
	conn := chtest.Open(t, engine, chtest.Database(t, engine))
	r := draw{rand.New(rand.NewPCG(*seed, 4))}
	rows := r.fill(t, conn, 60)
	informative := 0
	const perQuery, queries = 10, 60
	for range queries {
		var list []*expr.Expr
		for len(list) < perQuery {
			text := r.text(columns[r.IntN(len(columns))].Type, 4)
			e, err := expr.Parse(text, typeOf)
			if err != nil {
				t.Fatalf("Parse(%s): %v", text, err)
			}
			list = append(list, e)
		}
		informative += compareQuery(t, conn, list, rows)
	}
	if informative < perQuery*queries*len(rows)/4 {
		t.Errorf("only %d of %d values say something", informative, perQuery*queries*len(rows))
	}
}

func (r draw) fill(t *testing.T, conn driver.Conn, n int) [][]feature.Value {
	t.Helper()
	create := "CREATE TABLE input (rid UInt64"
	for _, c := range columns {
		create += fmt.Sprintf(", %s Nullable(%s)", c.Name, stored[c.Type])
	}
	if err := conn.Exec(t.Context(), create+") ENGINE = Memory"); err != nil {
		t.Fatal(err)
	}
	var rows [][]feature.Value
	var insert []string
	for rid := range n {
		row := make([]feature.Value, len(columns))
		literals := []string{fmt.Sprint(rid)}
		for i, c := range columns {
			row[i] = r.value(c.Type)
			literals = append(literals, sqlLiteral(row[i], c.Type))
		}
		rows = append(rows, row)
		insert = append(insert, "("+strings.Join(literals, ", ")+")")
	}
	if err := conn.Exec(t.Context(), "INSERT INTO input VALUES "+strings.Join(insert, ", ")); err != nil {
		t.Fatal(err)
	}
	return rows
}

// compareQuery returns how many values are not NULL, 0, false or empty.
func compareQuery(t *testing.T, conn driver.Conn, list []*expr.Expr, rows [][]feature.Value) int {
	t.Helper()
	var selected []string
	for i, e := range list {
		sql, err := e.SQL(fmt.Sprintf("_e%d_", i), func(name string) string { return name })
		if err != nil {
			t.Fatalf("SQL(%s): %v", e, err)
		}
		selected = append(selected, "CAST("+fmt.Sprintf(result[e.Type()], sql)+", 'Nullable(String)')")
	}
	query := "SELECT " + strings.Join(selected, ", ") + " FROM input ORDER BY rid"
	found, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatalf("%v: %s", err, strings.Join(selected, "\n\n"))
	}
	defer found.Close()
	var funcs []expr.Func
	got, into := make([]*string, len(list)), make([]any, len(list))
	for i, e := range list {
		funcs = append(funcs, e.Compile(names()))
		into[i] = &got[i]
	}
	informative, at := 0, 0
	for ; found.Next(); at++ {
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i, f := range funcs {
			v := f(rows[at])
			if want := printed(v); want != show(got[i]) {
				t.Fatalf("%s of %v:\nGo         %s\nClickHouse %s\n%s", list[i], rows[at], want, show(got[i]), selected[i])
			}
			if !v.IsNull() && v.Text() != "0" && v.Text() != "false" && v.Text() != "" {
				informative++
			}
		}
	}
	if found.Err() != nil || at != len(rows) {
		t.Fatalf("%d rows, %v: %s", at, found.Err(), query)
	}
	return informative
}

// result makes text of a result without loss.
var result = map[feature.Type]string{
	feature.Int64: "toString(%s)", feature.Float64: "toString(reinterpretAsUInt64(%s))", feature.Bool: "toString(toUInt8(%s))",
	feature.String: "hex(%s)", feature.Timestamp: "toString(toUnixTimestamp64Micro(%s))",
}

func printed(v feature.Value) string {
	switch {
	case v.IsNull():
		return "NULL"
	case v.Type() == feature.Float64:
		return fmt.Sprint(math.Float64bits(v.Float64()))
	case v.Type() == feature.Bool:
		return map[bool]string{true: "1", false: "0"}[v.Bool()]
	case v.Type() == feature.String:
		return fmt.Sprintf("%X", v.Str())
	case v.Type() == feature.Timestamp:
		return fmt.Sprint(int64(v.Time()))
	default:
		return v.Text()
	}
}

func show(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}
