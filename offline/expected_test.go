package offline_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/offline"
)

// expectedFile returns a file with feature values that others computed, or with what they are of. Such files are not ours
// to publish, so a plain clone lacks them; LOCKSTEP_EXPECTED names their folder and says that they must be there.
func expectedFile(t *testing.T, path ...string) string {
	t.Helper()
	dir, demanded := os.LookupEnv("LOCKSTEP_EXPECTED")
	if !demanded {
		t.Skipf("the expected values are not part of the repository: set LOCKSTEP_EXPECTED to the folder that holds %s", filepath.Join(path...))
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(append([]string{dir}, path...)...)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("LOCKSTEP_EXPECTED is set, but: %v", err)
	}
	return file
}

// openFilled opens a store with one source, whose events an INSERT brings, all of one sequence.
func openFilled(t testing.TB, src *feature.Source, insert string) (*offline.Store, driver.Conn) {
	t.Helper()
	engine := chtest.Engine(t)
	database := chtest.Database(t, engine)
	s, err := offline.Open(t.Context(), offline.Config{Dial: engine.DialContext, Database: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	conn := chtest.Open(t, engine, database)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ensure(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{insert, "INSERT INTO watermarks (log, seq) VALUES ('log', 1)"} {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return s, conn
}

var cards = &feature.Source{Name: "cards", EventTime: "at", MaxFuture: feature.Hour, Columns: []feature.Field{
	{Name: "tx_id", Type: feature.Int64},
	{Name: "at", Type: feature.Timestamp},
	{Name: "customer_id", Type: feature.Int64},
	{Name: "terminal_id", Type: feature.Int64},
	{Name: "amount", Type: feature.Float64},
	{Name: "fraud", Type: feature.Int64},
}}

// days are the widths of the card features' windows.
var days = []feature.Span{1, 7, 30}

// cardView has counts and averages of a column.
func cardView(name, key, column string, delay feature.Span) *feature.View {
	v := &feature.View{
		Name: name, Version: 1, Entity: feature.Entity{Name: key, Key: []feature.Field{{Name: key, Type: feature.Int64}}}, Keys: []string{key},
		Source: cards.Name, Delay: delay,
	}
	for _, d := range days {
		v.Features = append(v.Features,
			feature.Feature{Name: fmt.Sprintf("count_%dd", d), Type: feature.Int64, Window: &feature.Window{Operator: "count", Input: "*", Width: d * feature.Day}},
			feature.Feature{Name: fmt.Sprintf("avg_%dd", d), Type: feature.Float64, Window: &feature.Window{Operator: "avg", Input: column, Width: d * feature.Day}})
	}
	return v
}

// serviceOf is a plan of all features of the views, each under its own keys unless keys says otherwise.
func serviceOf(t testing.TB, src *feature.Source, keys map[string][]string, views ...*feature.View) *feature.Plan {
	t.Helper()
	service := &feature.Service{Name: "model", Version: 1}
	c := &feature.Catalog{Sources: []*feature.Source{src}, Views: views, Services: []*feature.Service{service}}
	for _, v := range views {
		c.Entities = append(c.Entities, &v.Entity)
		it := feature.Item{View: v, Role: v.Name, Keys: keys[v.Name]}
		for _, k := range v.Entity.Key {
			if keys[v.Name] == nil {
				it.Keys = append(it.Keys, k.Name)
			}
		}
		for f := range v.Features {
			it.Features = append(it.Features, f)
		}
		service.Items = append(service.Items, it)
	}
	return newPlan(t, c, service.Name)
}

// TestCardTransactions makes the twelve features that the authors of the card transactions computed, for the rows that they
// published. They counted rows up to the current one, so that two of one customer in one second may differ; nothing else may.
func TestCardTransactions(t *testing.T) {
	t.Parallel()
	expected := expectedFile(t, "fdh", "fdh_features_expected_q.parquet")
	s, conn := openFilled(t, cards, fmt.Sprintf(`INSERT INTO events_cards (tx_id, _us_at, customer_id, terminal_id, amount, fraud, _us__available_at, _seq, _idx, _gen)
		SELECT tx_id, toUnixTimestamp64Micro(assumeNotNull(tx_datetime)) AS us, customer_id, terminal_id, tx_amount, tx_fraud, us, 1, tx_id, 0 FROM file('%s', Parquet)`,
		expectedFile(t, "fdh", "fdh_transactions.parquet")))
	if err := conn.Exec(t.Context(), fmt.Sprintf(`CREATE TABLE wanted ENGINE = MergeTree ORDER BY tx_id AS
		SELECT *, at AS ts, ties > 1 AS tied FROM (SELECT assumeNotNull(tx_id) AS tx_id, * EXCEPT tx_id FROM file('%s', Parquet)) AS e
		INNER JOIN (SELECT tx_id, at, customer_id, terminal_id, count() OVER (PARTITION BY customer_id, at) AS ties FROM events_cards) AS c ON e.tx_id = c.tx_id`, expected)); err != nil {
		t.Fatal(err)
	}
	plan := serviceOf(t, cards, nil, cardView("customer", "customer_id", "amount", 0), cardView("terminal", "terminal_id", "fraud", 7*feature.Day))
	columns := "ts, customer_id, terminal_id, tied"
	var names []string
	for _, what := range []string{"customer_id_nb_tx", "customer_id_avg_amount", "terminal_id_nb_tx", "terminal_id_risk"} {
		for _, d := range days {
			names = append(names, fmt.Sprintf("%s_%dday_window", what, d))
			columns += ", " + names[len(names)-1]
		}
	}
	_, got := train(t, s, offline.Training{Plan: plan, SQL: "SELECT " + columns + " FROM wanted ORDER BY tx_id", TimeColumn: "ts"})
	ties, wrong := 0, 0
	for i := range got.Rows {
		differs := [2]bool{}
		for j, name := range names {
			of := j / 6 // the customer's, then the terminal's
			kind := []string{"count", "avg"}[j/3%2]
			want := got.Column(name).Value(i)
			have := got.Column(fmt.Sprintf("%s.%s_%dd", []string{"customer", "terminal"}[of], kind, days[j%3])).Value(i)
			differs[of] = differs[of] || math.Abs(numeric(want)-numeric(have)) > []float64{1e-6, 1e-9}[of]
		}
		switch {
		case differs[0] && !differs[1] && got.Column("tied").Value(i).Int64() == 1:
			ties++
		case differs[0] || differs[1]:
			wrong++
		}
	}
	if got.Rows != 438_539 || wrong > 0 || ties > 10 {
		t.Errorf("%d rows: %d differ, and %d by ties; want 438539, 0 and 10 at the most", got.Rows, wrong, ties)
	}
	t.Logf("%d rows of twelve features: %d differ, and %d because of ties within a second", got.Rows, wrong, ties)
}

// numeric is a number of any type, 0 for NULL, as the published values have it.
func numeric(v feature.Value) float64 {
	if !v.IsNull() && v.Type() == feature.Int64 {
		return float64(v.Int64())
	}
	return v.Float64()
}

var flightEvents = &feature.Source{Name: "flights", EventTime: "known_at", Tiebreak: "flight_id", MaxFuture: feature.Hour, Columns: []feature.Field{
	{Name: "flight_id", Type: feature.Int64},
	{Name: "origin", Type: feature.String},
	{Name: "destination", Type: feature.String},
	{Name: "known_at", Type: feature.Timestamp},
	{Name: "delay", Type: feature.Int64},
}}

// TestFlightWindows makes the features of 20,000 flights that two independent evaluators agree about.
func TestFlightWindows(t *testing.T) {
	t.Parallel()
	flights := os.Getenv("LOCKSTEP_FLIGHTS")
	if flights == "" {
		t.Fatal("LOCKSTEP_FLIGHTS does not name flights-3m.parquet: run make test-go, which fetches it")
	}
	expected := expectedFile(t, "flights", "flights_expected_20k.parquet")
	s, conn := openFilled(t, flightEvents, fmt.Sprintf(`INSERT INTO events_flights (flight_id, origin, destination, _us_known_at, delay, _us__available_at, _seq, _idx, _gen)
		SELECT row_number() OVER (ORDER BY date, origin, destination, distance, delay) AS id, origin, destination,
			greatest(us, us + (30 + intDiv(distance * 60, 460) + delay) * 60000000) AS known, delay, known, 1, id, 0
		FROM (SELECT toUnixTimestamp64Micro(toDateTime64(assumeNotNull(date), 6, 'UTC')) AS us, * FROM file('%s', Parquet))`, flights))
	if err := conn.Exec(t.Context(), fmt.Sprintf("CREATE TABLE wanted ENGINE = MergeTree ORDER BY flight_id AS SELECT assumeNotNull(flight_id) AS flight_id, * EXCEPT flight_id FROM file('%s', Parquet)", expected)); err != nil {
		t.Fatal(err)
	}
	text := func(names ...string) (fields []feature.Field) {
		for _, n := range names {
			fields = append(fields, feature.Field{Name: n, Type: feature.String})
		}
		return fields
	}
	window := func(name, op string, width feature.Span, typ feature.Type) feature.Feature {
		w := &feature.Window{Operator: op, Input: "delay", Width: width}
		if op == "count" {
			w.Input = feature.AnyEvent
		}
		return feature.Feature{Name: name, Window: w, Type: typ}
	}
	airport, route := feature.Entity{Name: "airport", Key: text("airport")}, feature.Entity{Name: "route", Key: text("origin", "destination")}
	late := window("late_24h", "count", feature.Day, feature.Int64)
	late.Window.Where = "delay >= 15"
	plan := serviceOf(t, flightEvents, map[string][]string{"o": {"origin"}, "d": {"destination"}},
		&feature.View{Name: "o", Version: 1, Entity: airport, Keys: []string{"origin"}, Source: "flights", Features: []feature.Feature{
			window("cnt_3h", "count", 3*feature.Hour, feature.Int64), window("avg_3h", "avg", 3*feature.Hour, feature.Float64),
			window("cnt_24h", "count", feature.Day, feature.Int64), window("avg_24h", "avg", feature.Day, feature.Float64),
			window("max_24h", "max", feature.Day, feature.Int64), late,
		}},
		&feature.View{Name: "d", Version: 1, Entity: airport, Keys: []string{"destination"}, Source: "flights", Features: []feature.Feature{
			window("cnt_3h", "count", 3*feature.Hour, feature.Int64), window("avg_3h", "avg", 3*feature.Hour, feature.Float64),
		}},
		&feature.View{Name: "r", Version: 1, Entity: route, Keys: []string{"origin", "destination"}, Source: "flights", Features: []feature.Feature{
			window("cnt_7d", "count", 7*feature.Day, feature.Int64), window("avg_7d", "avg", 7*feature.Day, feature.Float64),
			window("min_7d", "min", 7*feature.Day, feature.Int64), window("last", "last", 7*feature.Day, feature.Int64),
		}})
	_, got := train(t, s, offline.Training{Plan: plan, SQL: "SELECT * FROM wanted ORDER BY flight_id", TimeColumn: "ts"})
	wrong := 0
	for _, name := range plan.Names {
		for i := range got.Rows {
			want, have := got.Column(name[:1]+"_"+name[2:]).Value(i), got.Column(name).Value(i)
			if want.IsNull() != have.IsNull() || math.Abs(numeric(want)-numeric(have)) > 1e-9 {
				wrong++
			}
		}
	}
	if got.Rows != 20_000 || len(plan.Names) != 12 || wrong > 0 {
		t.Errorf("%d rows of %d features: %d cells differ, want 20000, 12 and 0", got.Rows, len(plan.Names), wrong)
	}
}
