package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/server"
)

// TestFeastGolden is an answer to Feast's client, byte by byte.
func TestFeastGolden(t *testing.T) {
	p := &parts{cells: airports(t)}
	s := start(t, p.config())
	body := s.want(200, request{path: api.PathFeastOnline, body: `{"feature_service":"delay_model","entities":{"airport":["JFK","LAX"],"destination":["SFO",null]},
		"full_feature_names":true,"include_feature_view_version_metadata":true}`})
	want := `{"results":[` +
		`{"values":["JFK","LAX"],"statuses":["PRESENT","PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},` +
		`{"values":["SFO",null],"statuses":["PRESENT","PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},` +
		`{"values":[12,0],"statuses":["PRESENT","NOT_FOUND"],"event_timestamps":["2001-06-25T11:58:00Z","1970-01-01T00:00:00Z"]},` +
		`{"values":[993470280,null],"statuses":["PRESENT","NOT_FOUND"],"event_timestamps":["2001-06-25T11:58:00Z","1970-01-01T00:00:00Z"]},` +
		`{"values":[0,0],"statuses":["OUTSIDE_MAX_AGE","NOT_FOUND"],"event_timestamps":["1969-12-31T23:59:59.99999Z","1970-01-01T00:00:00Z"]}],` +
		`"metadata":{"feature_names":["airport","destination","departures__last_delay","departures__seen","dest__last_delay"]}}` + "\n"
	if body != want {
		t.Fatalf("answer differs (-want +got):\n%s", cmp.Diff(want, body))
	}
	if p.paths[0] != feature.PathAuto || p.lookups[0].At != at(t, "2001-06-25T12:00:00Z") {
		t.Errorf("read on path %s at %s, want auto, now", p.paths[0], p.lookups[0].At)
	}
}

func TestFeastForms(t *testing.T) {
	p := &parts{cells: airports(t)}
	s := start(t, p.config())
	for _, tc := range []struct{ name, body, want string }{
		{"bare names", `{"features":["departures:load"],"entities":{"airport":["JFK"]}}`, `"feature_names":["airport","load"]`},
		{"full names", `{"features":["departures:load"],"entities":{"airport":["JFK"]},"full_feature_names":true}`, `"feature_names":["airport","departures__load"]`},
		{"a version", `{"features":["departures@v1:load"],"entities":{"airport":["JFK"]}}`, `{"values":[0.5],"statuses":["PRESENT"]`},
		{"a version of a service", `{"feature_service":"delay_model@2","entities":{"airport":["JFK"],"destination":["x"]},"full_feature_names":true}`, `"dest__last_delay"`},
		{"nulls are left out", `{"feature_service":null,"features":["departures:load"],"entities":{"airport":["JFK"]},"full_feature_names":null}`, `[0.5]`},
		{"no rows", `{"features":["departures:load"],"entities":{"airport":[]}}`, `{"results":[{"values":[],"statuses":[],"event_timestamps":[]},{"values":[],"statuses":[],"event_timestamps":[]}],`},
		{"a null", `{"features":["departures:load"],"entities":{"airport":["SFO"]}}`, `{"values":[null],"statuses":["NULL_VALUE"],"event_timestamps":["2001-06-25T11:58:00Z"]}`},
		{"a key that is not needed", `{"features":["departures:load"],"entities":{"flight":["7"],"airport":["JFK"]}}`, `{"results":[{"values":["JFK"],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},{"values":[7],`},
		{"keys of every type", `{"features":["seats:price"],"entities":{"flight":[9007199254740993],"window":[true],"day":["1969-12-31T23:59:59.5Z"]}}`, `{"values":[9007199254740993],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},{"values":[true],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z"]},{"values":[-1],`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := s.want(200, request{path: api.PathFeastOnline, body: tc.body}); !strings.Contains(got, tc.want) {
				t.Errorf("answer %s lacks %s", got, tc.want)
			}
		})
	}
}

// TestFeastFloats: Feast's clients find the type of a value by its JSON.
func TestFeastFloats(t *testing.T) {
	p := &parts{}
	for value, want := range map[float64]string{5: "5.0", -3: "-3.0", 0: "0.0", 0.25: "0.25", 1e300: "1e+300", 1e-9: "1e-09", 1 << 60: "1.152921504606847e+18"} {
		p.cells = map[string][]feature.Cell{`("JFK")`: {{}, {}, {Status: feature.Present, Value: feature.ListValue(feature.KindFloat64, []feature.Value{feature.Float64Value(value), feature.Float64Value(1.5)})}}}
		s := start(t, p.config())
		body := s.want(200, request{path: api.PathFeastOnline, body: `{"features":["departures:load"],"entities":{"airport":["JFK"]}}`})
		if want = `{"values":[[` + want + `,1.5]],`; !strings.Contains(body, want) {
			t.Errorf("answer %s lacks %s", body, want)
		}
	}
}

func TestFeastOnlineErrors(t *testing.T) {
	s := start(t, (&parts{}).config())
	for _, tc := range []struct {
		name, body, want string
		status           int
	}{
		{"nothing asked for", `{"entities":{}}`, "name a service, or features", 400},
		{"both", `{"feature_service":"delay_model","features":["departures:load"],"entities":{}}`, "not both", 400},
		{"our way to write a name", `{"features":["departures.load"],"entities":{"airport":["x"]}}`, `"departures.load": expected VIEW:FEATURE`, 400},
		{"no feature", `{"features":["departures:"],"entities":{"airport":["x"]}}`, "expected VIEW:FEATURE", 400},
		{"no such version", `{"features":["departures@v9:load"],"entities":{"airport":["x"]}}`, "departures@9", 404},
		{"a version that is none", `{"features":["departures@vv:load"],"entities":{"airport":["x"]}}`, "whole number", 400},
		{"an unknown view", `{"features":["x:load"],"entities":{"airport":["x"]}}`, `unknown view "x": expected one of departures`, 404},
		{"an unknown feature", `{"features":["departures:x"],"entities":{"airport":["x"]}}`, "departures.load", 404},
		{"an unknown service", `{"feature_service":"x","entities":{"airport":["x"]}}`, "delay_model", 404},
		{"names that collide", `{"feature_service":"delay_model","entities":{"airport":["x"],"destination":["y"]}}`, `called "last_delay": ask with full_feature_names`, 400},
		{"a feature twice", `{"features":["departures:load","departures:load"],"entities":{"airport":["x"]},"full_feature_names":true}`, `"departures__load" is asked for twice`, 400},
		{"a missing key", `{"features":["departures:load"],"entities":{}}`, "airport: missing", 400},
		{"an unknown key", `{"features":["departures:load"],"entities":{"airport":["x"],"port":["y"]}}`, "port: unknown key", 400},
		{"keys of different length", `{"features":["departures:load"],"entities":{"airport":["x"],"flight":[1,2]}}`, "flight: has 2 values, airport has 1", 400},
		{"a key of another type", `{"features":["seats:price"],"entities":{"flight":["x"],"window":[1],"day":["d"]}}`, `row 0: flight: cannot take string "x"`, 400},
		{"a key that is no array", `{"features":["departures:load"],"entities":{"airport":"JFK"}}`, "expected an array", 400},
		{"an unknown field", `{"feature":[]}`, `unknown field "feature": expected one of feature_service`, 400},
		{"no boolean", `{"full_feature_names":1}`, "field full_feature_names: expected true or false, got a number", 400},
		{"no JSON", `{"features":`, "not JSON", 400},
		{"something behind", `{"features":["departures:load"],"entities":{"airport":["x"]}} x`, "expected nothing after", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := errorOf(t, s.want(tc.status, request{path: api.PathFeastOnline, body: tc.body}))
			if got := flat(e); !strings.Contains(got, tc.want) {
				t.Errorf("error %q lacks %q", got, tc.want)
			}
		})
	}
}

// tripCatalog has a source that two views read, a tiebreak for "created", and a column under two names.
func tripCatalog() *feature.Catalog {
	zone := feature.Entity{Name: "zone", Key: []feature.Field{{Name: "zone", Type: feature.String}}}
	driver := feature.Entity{Name: "driver", Key: []feature.Field{{Name: "driver", Type: feature.Int64}}}
	trips := &feature.Source{Name: "trips", Version: 1, EventTime: "happened", Tiebreak: "written", Columns: []feature.Field{
		{Name: "area", Type: feature.String},
		{Name: "driver", Type: feature.Int64},
		{Name: "happened", Type: feature.Timestamp},
		{Name: "written", Type: feature.Timestamp},
		{Name: "fare", Type: feature.Float64},
		{Name: "stops", Type: feature.Type{Kind: feature.KindTimestamp, List: true}},
		{Name: "rating", Type: feature.Int64},
	}}
	plain := &feature.Source{Name: "plain", Version: 1, EventTime: "at", Columns: []feature.Field{{Name: "zone", Type: feature.String}, {Name: "at", Type: feature.Timestamp}}}
	return &feature.Catalog{
		Entities: []*feature.Entity{&zone, &driver}, Sources: []*feature.Source{trips, plain},
		Views: []*feature.View{
			{Name: "zones", Version: 1, Entity: zone, Keys: []string{"area"}, Source: "trips", Features: []feature.Feature{
				{Name: "fare", Latest: "fare", Type: feature.Float64},
				{Name: "price", Latest: "fare", Type: feature.Float64},
				{Name: "stops", Latest: "stops", Type: trips.Columns[5].Type},
				{Name: "last", Latest: "happened", Type: feature.Timestamp},
			}},
			{Name: "drivers", Version: 3, Entity: driver, Keys: []string{"driver"}, Source: "trips", Features: []feature.Feature{{Name: "rating", Latest: "rating", Type: feature.Int64}}},
			{Name: "plain", Version: 1, Entity: zone, Keys: []string{"zone"}, Source: "plain", Features: []feature.Feature{{Name: "seen", Latest: "at", Type: feature.Timestamp}}},
		},
	}
}

func TestFeastWrites(t *testing.T) {
	for _, tc := range []struct{ name, path, body, source, rows string }{
		{"push", api.PathFeastPush, `{"push_source_name":"trips","df":{"area":["a","b"],"fare":[1.50,null]},"to":"online_and_offline","allow_registry_cache":true,"transform_on_write":false}`, "trips", `[{"area":"a","fare":1.50} {"area":"b","fare":null}]`},
		{"push without to", api.PathFeastPush, `{"push_source_name":"trips","df":{"area":["a"]},"to":null}`, "trips", `[{"area":"a"}]`},
		{
			"write", api.PathFeastWrite, `{"feature_view_name":"zones","df":{"zone":["a"],"fare":[5],"price":[5.0],"stops":[[0,"1970-01-01T00:00:01.5Z",-1]],"last":[993470280],"event_timestamp":["2001-06-25T11:58:00"],"created":["2001-06-25T12:00:00.5"]},"allow_registry_cache":false}`, "trips",
			`[{"area":"a","fare":5,"stops":["1970-01-01T00:00:00Z","1970-01-01T00:00:01.5Z","1969-12-31T23:59:59Z"],"happened":"2001-06-25T11:58:00Z","written":"2001-06-25T12:00:00.5Z"}]`,
		},
		{
			"write to a version, not created", api.PathFeastWrite, `{"feature_view_name":"plain@v1","df":{"zone":["a",null],"seen":[0,1],"event_timestamp":["1970-01-01","1970-01-01T00:00:01+00:00"],"created":[null,null]}}`, "plain",
			`[{"zone":"a","at":"1970-01-01T00:00:00Z"} {"zone":null,"at":"1970-01-01T00:00:01Z"}]`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &parts{}
			cfg := p.config()
			cfg.Catalog = tripCatalog
			s := start(t, cfg)
			s.want(200, request{path: tc.path, body: tc.body})
			if len(p.pushes) != 1 || p.pushes[0].Partial {
				t.Fatalf("%d pushes, want one of all rows or none", len(p.pushes))
			}
			if got := fmt.Sprintf("%s", p.pushes[0].Rows); p.pushes[0].Source != tc.source || got != tc.rows {
				t.Errorf("source %s, rows %s\nwant %s, %s", p.pushes[0].Source, got, tc.source, tc.rows)
			}
		})
	}
}

func TestFeastWritesNothing(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	cfg.Catalog = tripCatalog
	s := start(t, cfg)
	for path, body := range map[string]string{
		api.PathFeastPush:  `{"push_source_name":"trips","df":{}}`,
		api.PathFeastWrite: `{"feature_view_name":"plain","df":{"zone":[],"seen":[],"event_timestamp":[]}}`,
	} {
		if got, want := s.want(200, request{path: path, body: body}), `{"accepted":0,"seq":0,"refused":[]}`+"\n"; got != want {
			t.Errorf("%s = %s, want %s", path, got, want)
		}
	}
	if len(p.pushes) > 0 {
		t.Errorf("%d pushes, want none", len(p.pushes))
	}
}

func TestFeastWriteErrors(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	cfg.Catalog = tripCatalog
	s := start(t, cfg)
	const whole = `"zone":["a"],"fare":[5],"price":[5],"stops":[[]],"last":[0],"event_timestamp":["1970-01-01"]`
	for _, tc := range []struct {
		name, path, body, want string
		status                 int
	}{
		{"to online", api.PathFeastPush, `{"push_source_name":"trips","df":{"area":["a"]},"to":"online"}`, `"online" cannot be kept: an event is in the log`, 400},
		{"to offline", api.PathFeastPush, `{"push_source_name":"trips","df":{"area":["a"]},"to":"offline"}`, `"offline" cannot be kept`, 400},
		{"to elsewhere", api.PathFeastPush, `{"push_source_name":"trips","df":{"area":["a"]},"to":"x"}`, "expected online_and_offline", 400},
		{"an unknown source", api.PathFeastPush, `{"push_source_name":"x","df":{}}`, `unknown source "x": expected one of plain, trips`, 404},
		{"no source", api.PathFeastPush, `{"df":{}}`, "field push_source_name: missing", 400},
		{"no frame", api.PathFeastPush, `{"push_source_name":"trips","df":null}`, "field df: missing", 400},
		{"rows, not columns", api.PathFeastPush, `{"push_source_name":"trips","df":[{"area":"a"}]}`, "expected an object with an array for each column", 400},
		{"columns by index", api.PathFeastPush, `{"push_source_name":"trips","df":{"area":{"0":"a"}}}`, `expected an array for column "area", got an object: to_dict(orient="list")`, 400},
		{"columns of different length", api.PathFeastPush, `{"push_source_name":"trips","df":{"area":["a"],"fare":[]}}`, `column "fare" has 0 values, "area" has 1`, 400},
		{"a column twice", api.PathFeastPush, `{"push_source_name":"trips","df":{"area":["a"],"area":["b"]}}`, "comes twice", 400},
		{"a field of the other route", api.PathFeastWrite, `{"feature_view_name":"zones","df":{},"to":"online"}`, `unknown field "to"`, 400},
		{"an unknown view", api.PathFeastWrite, `{"feature_view_name":"x","df":{}}`, `unknown view "x": expected one of drivers, plain, zones`, 404},
		{"an unknown column", api.PathFeastWrite, `{"feature_view_name":"plain","df":{"zone":["a"],"at":[0]}}`, "at: view plain has no such key or feature: expected one of event_timestamp, created, zone, seen", 400},
		{"missing columns", api.PathFeastWrite, `{"feature_view_name":"plain","df":{}}`, "event_timestamp: missing: expected an array of timestamp | zone: missing: expected an array of string", 400},
		{"a place for created", api.PathFeastWrite, `{"feature_view_name":"plain","df":{"zone":["a"],"seen":[0],"event_timestamp":["1970-01-01"],"created":["1970-01-01"]}}`, "created: source plain has no place for it: give it a timestamp column as its tiebreak", 400},
		{"a feature of another view", api.PathFeastWrite, `{"feature_view_name":"drivers","df":{"driver":[1],"event_timestamp":["1970-01-01"],"rating":[1],"fare":[1]}}`, "fare: view drivers has no such key or feature", 400},
		{"a value of another type", api.PathFeastWrite, `{"feature_view_name":"zones","df":{` + strings.Replace(whole, "[5]", `["x"]`, 1) + `}}`, `row 0: fare: cannot take string "x"`, 400},
		{"seconds out of range", api.PathFeastWrite, `{"feature_view_name":"zones","df":{` + strings.Replace(whole, "[[]]", `[[99999999999999999]]`, 1) + `}}`, "row 0: stops: 99999999999999999 seconds since 1970 are outside", 400},
		{"parts of seconds", api.PathFeastWrite, `{"feature_view_name":"zones","df":{` + strings.Replace(whole, "[[]]", `[[1.5]]`, 1) + `}}`, "row 0: stops: expected int64, got the number 1.5", 400},
		{"one column with two values", api.PathFeastWrite, `{"feature_view_name":"zones","df":{` + strings.Replace(whole, `"price":[5]`, `"price":[6]`, 1) + `}}`, "price: row 0: it is 6, but fare, which is the same column of source trips, is 5", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := errorOf(t, s.want(tc.status, request{path: tc.path, body: tc.body}))
			if got := flat(e); !strings.Contains(got, tc.want) {
				t.Errorf("error %q lacks %q", got, tc.want)
			}
		})
	}
	if len(p.pushes) > 0 {
		t.Errorf("%d pushes, want none", len(p.pushes))
	}
}

// TestFeastWriteSharedSource: a row of one view is an event that every view with the same key sees. It must not
// take away what they know.
func TestFeastWriteSharedSource(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	c := tripCatalog()
	other := *c.View("drivers", 0)
	other.Name, other.Version, other.Features = "fares", 1, []feature.Feature{{Name: "fare", Latest: "fare", Type: feature.Float64}}
	c.Views = append(c.Views, &other)
	cfg.Catalog = func() *feature.Catalog { return c }
	s := start(t, cfg)
	e := errorOf(t, s.want(400, request{path: api.PathFeastWrite, body: `{"feature_view_name":"drivers","df":{"driver":[1],"rating":[5],"event_timestamp":["1970-01-01"]}}`}))
	if got, want := flat(e), "fare: missing: view fares@1 reads this column of source trips and would find NULL. Push whole rows of the source to /push"; !strings.Contains(got, want) {
		t.Errorf("error %q lacks %q", got, want)
	}
}

// TestFeastWriteWindows: window features come from events and cannot be written.
func TestFeastWriteWindows(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	c := tripCatalog()
	windowed := *c.View("drivers", 0)
	windowed.Name, windowed.Features = "busy", []feature.Feature{{Name: "trips", Type: feature.Int64, Window: &feature.Window{Operator: "count", Input: "*"}}}
	c.Views = append(c.Views, &windowed)
	cfg.Catalog = func() *feature.Catalog { return c }
	s := start(t, cfg)
	e := errorOf(t, s.want(400, request{path: api.PathFeastWrite, body: `{"feature_view_name":"busy","df":{"driver":[1],"trips":[5],"event_timestamp":["1970-01-01"]}}`}))
	if got, want := flat(e), "trips: it is computed from the events of source trips and cannot be written"; !strings.Contains(got, want) {
		t.Errorf("error %q lacks %q", got, want)
	}
}

// TestFeastRefusedRows: what the gate says of a column is said of what the client calls it.
func TestFeastRefusedRows(t *testing.T) {
	row := 0
	p := &parts{}
	p.push = func(context.Context, *server.Push) (*api.PushResponse, error) {
		return &api.PushResponse{Refused: []feature.Detail{{Row: &row, Field: "at", Message: "too late"}}}, nil
	}
	cfg := p.config()
	cfg.Catalog = tripCatalog
	s := start(t, cfg)
	e := errorOf(t, s.want(400, request{path: api.PathFeastWrite, body: `{"feature_view_name":"plain","df":{"zone":["a"],"event_timestamp":["1970-01-01"],"seen":[0]}}`}))
	if got, want := flat(e), "row 0: event_timestamp: too late"; !strings.Contains(got, want) {
		t.Errorf("error %q lacks %q", got, want)
	}
}
