package registry_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/registry"
)

func parse(t *testing.T, yaml string) *registry.Definitions {
	t.Helper()
	defs, err := registry.Parse(map[string][]byte{"a.yaml": []byte(yaml)})
	if err != nil {
		t.Fatal(err)
	}
	return defs
}

func TestResolveFlights(t *testing.T) {
	defs, err := registry.ParseDir("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	cat, err := registry.Resolve(defs)
	if err != nil {
		t.Fatal(err)
	}
	airport := feature.Entity{Name: "airport", Key: []feature.Field{{Name: "airport", Type: feature.String}}}
	want := &feature.View{
		Name: "departures", Version: 1, Entity: airport, Keys: []string{"origin"}, Source: "flights", History: 8 * feature.Day,
		Features: []feature.Feature{
			{Name: "last_delay", Latest: "delay", Type: feature.Int64, TTL: 7*feature.Day - feature.Microsecond, Default: feature.Int64Value(0)},
			{Name: "last_destination", Latest: "destination", Type: feature.String},
		},
	}
	if d := cmp.Diff(want, cat.View("departures", 0)); d != "" {
		t.Errorf("view departures (-want +got):\n%s", d)
	}
	src := cat.Source("flights")
	if got := fmt.Sprint(src.Columns); got != "[{flight_id int64} {origin string} {destination string} {scheduled timestamp} {known_at timestamp} {distance int64} {delay int64}]" {
		t.Errorf("columns of flights = %s, not in the order of the definition", got)
	}
	if src.EventTime != "known_at" || src.Tiebreak != "flight_id" || src.MaxFuture != 2*feature.Hour || src.Version != 1 {
		t.Errorf("source flights = %+v", src)
	}
	for service, want := range map[string]string{
		"delay_model": "departures.last_delay departures.last_destination dest.last_delay dest.last_destination routes.last_delay | airport destination origin",
		"route_model": "routes.distance departures.last_delay routes.last_delay | origin destination airport",
		"all_of_it@1": "clicks.a_int clicks.a_string clicks.a_bool clicks.a_time clicks.an_instant clicks.a_float clicks.a_whole clicks.a_list clicks.times clicks.truths clicks.counts clicks.floats clicks.vector clicks.twice again.a_int again.vector | User device beta since Other",
	} {
		p, err := cat.PlanService(service)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, k := range p.Keys {
			keys = append(keys, k.Name)
		}
		if got := strings.Join(p.Names, " ") + " | " + strings.Join(keys, " "); got != want {
			t.Errorf("PlanService(%s) = %s, want %s", service, got, want)
		}
		for _, it := range p.Items {
			if cat.View(it.View.Name, it.View.Version) != it.View {
				t.Errorf("PlanService(%s): view %s is not the catalog's", service, it.View.Ref())
			}
		}
	}
}

func TestResolveDefaults(t *testing.T) {
	defs, err := registry.ParseDir("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	cat, err := registry.Resolve(defs)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range cat.View("clicks", 0).Features {
		got = append(got, fmt.Sprintf("%s %s %s", f.Name, f.Type, f.Default))
		if !f.Default.IsNull() && f.Default.Type() != (feature.Type{Kind: f.Type.Kind, List: f.Type.List}) {
			t.Errorf("default of %s is %s, want %s", f.Name, f.Default.Type(), f.Type)
		}
	}
	want := []string{
		"a_int int64 5", `a_string string "5"`, "a_bool bool false", "a_time timestamp 2001-06-25T00:00:00Z",
		"an_instant timestamp 2001-06-25T12:00:00.000001Z", "a_float float64 0", "a_whole float64 1000",
		"a_list list<string> []", "times list<timestamp> [2001-06-25T00:00:00Z]", "truths list<bool> [true false]",
		"counts list<int64> [1 2]", "floats list<float64> [1 2.5]", "vector vector<3> [0 0.5 1]", "twice float64 NULL",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
}

// TestNormalForm says that the JSON of definitions is YAML of the same definitions.
func TestNormalForm(t *testing.T) {
	defs, err := registry.ParseDir("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	var docs []string
	add := func(def any) {
		raw, err := json.Marshal(def)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(raw))
	}
	for _, e := range defs.Entities {
		add(e)
	}
	for _, s := range defs.Sources {
		add(s)
	}
	for _, v := range defs.Views {
		add(v)
	}
	for _, s := range defs.Services {
		add(s)
	}
	again := parse(t, strings.Join(docs, "\n---\n"))
	first, _ := json.Marshal(defs)
	second, _ := json.Marshal(again)
	if d := cmp.Diff(string(first), string(second)); d != "" {
		t.Errorf("parsed again from JSON (-first +second):\n%s", d)
	}
}

// TestSameList says that different ways to write a service's list are equal.
func TestSameList(t *testing.T) {
	service := func(features string) string {
		defs, err := registry.Parse(map[string][]byte{"base.yaml": []byte(base), "s.yaml": []byte("kind: service\nname: s\nfeatures: " + features)})
		if err != nil {
			t.Fatalf("%s: %v", features, err)
		}
		raw, err := json.Marshal(defs.Services[0].Features)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for _, same := range [][]string{
		{"[departures]", "[{view: departures}]", "[{view: departures, as: departures, keys: {}}]", "[{view: departures, keys: {airport: airport}}]"},
		{"[departures.last_destination, departures.last_delay]", "[{view: departures, features: [last_destination, last_delay]}]"},
	} {
		for _, other := range same[1:] {
			if a, b := service(same[0]), service(other); a != b {
				t.Errorf("%s is %s, but %s is %s", same[0], a, other, b)
			}
		}
	}
	if a, b := service("[departures]"), service("[departures.last_delay, departures.last_destination]"); a == b {
		t.Errorf("all features and each of them are both %s; a new feature should join only the first", a)
	}
}

func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := registry.ParseDir(dir); feature.CodeOf(err) != feature.CodeNotFound {
		t.Errorf("ParseDir of an empty folder = %v, want %s", err, feature.CodeNotFound)
	}
	if _, err := registry.ParseDir(filepath.Join(dir, "nothing")); feature.CodeOf(err) != feature.CodeNotFound {
		t.Errorf("ParseDir of no folder = %v, want %s", err, feature.CodeNotFound)
	}
	write("b/c/x.yml", "kind: entity\nname: a\nkey: [{name: a, type: x}]\n")
	write("a.yaml", "kind: source\nname: s\n")
	write("lockstep.yaml", "listen: here\n")
	write(".hidden.yaml", "no\n")
	write(".git/x.yaml", "no\n")
	write("notes.txt", "no\n")
	_, err := registry.ParseDir(dir)
	want := fmt.Sprintf(`definitions: 3 errors
  %[1]s/a.yaml:1:1: a source has no columns: expected a map of columns, such as {origin: string, delay: int64}
  %[1]s/a.yaml:1:1: a source has no event_time: expected the name of a timestamp column
  %[1]s/b/c/x.yml:3:23: key[0].type: unknown type "x": expected int64, float64, bool, string, timestamp, list<TYPE> or vector<LENGTH>`, dir)
	if d := cmp.Diff(want, fmt.Sprint(err)); d != "" {
		t.Errorf("ParseDir (-want +got):\n%s", d)
	}
}

// TestResolveWindows: what the features of a view with windows compute (rules W1 to W6).
func TestResolveWindows(t *testing.T) {
	defs, err := registry.ParseDir("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	cat, err := registry.Resolve(defs)
	if err != nil {
		t.Fatal(err)
	}
	v := cat.View("spending", 0)
	for _, want := range []feature.Feature{
		{Name: "last_amount", Latest: "amount", Type: feature.Float64},
		{Name: "payments_1d", Type: feature.Int64, Window: &feature.Window{Operator: "count", Input: "*", Width: feature.Day}},
		{Name: "payments_168h", Type: feature.Int64, Window: &feature.Window{Operator: "count", Input: "*", Width: 7 * feature.Day}},
		{Name: "payments_lifetime", Type: feature.Int64, Window: &feature.Window{Operator: "count", Input: "*"}},
		{Name: "large", Type: feature.Int64, Window: &feature.Window{
			Operator: "count", Input: "amount", Where: "amount >= 100 and not fraud", Reads: []string{"amount", "fraud"}, Width: feature.Day,
		}},
		{Name: "cents", Type: feature.Int64, Default: feature.Int64Value(0), Window: &feature.Window{Operator: "sum", Input: "cents", Width: 30 * feature.Day}},
		{Name: "mean", Type: feature.Float64, Default: feature.Float64Value(0), Window: &feature.Window{Operator: "avg", Input: "amount", Width: feature.Day, Hop: 5 * feature.Minute}},
		{Name: "oldest", Type: feature.ListOf(feature.KindString), Window: &feature.Window{Operator: "first", Input: "tags", Width: feature.Day}},
		{Name: "shops_1h", Type: feature.Int64, Window: &feature.Window{Operator: "count_distinct", Input: "shop", Width: feature.Hour}},
		{Name: "favourites", Type: feature.ListOf(feature.KindString), Window: &feature.Window{Operator: "top_k", Input: "shop", N: 5, Width: 7 * feature.Day}},
		{Name: "about_shops", Type: feature.Int64, Window: &feature.Window{Operator: "approx_count_distinct", Input: "shop", Precision: 12}},
		{Name: "p90", Type: feature.Float64, Window: &feature.Window{Operator: "approx_quantile", Input: "amount", Quantile: 0.9, Precision: 7, Width: feature.Day}},
	} {
		at := v.Feature(want.Name)
		if at < 0 {
			t.Errorf("no feature %s", want.Name)
			continue
		}
		if d := cmp.Diff(want, v.Features[at]); d != "" {
			t.Errorf("feature %s (-want +got):\n%s", want.Name, d)
		}
	}
	if got := fmt.Sprint(v.Columns()); got != "[amount fraud cents shop at tags]" {
		t.Errorf("Columns = %s", got)
	}
	if got := len(v.Inputs()); got != 8 {
		t.Errorf("%d inputs: %+v, want 8", got, v.Inputs())
	}
}
