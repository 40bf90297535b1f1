package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

func at(t *testing.T, s string) feature.Time {
	t.Helper()
	x, err := feature.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func airports(t *testing.T) map[string][]feature.Cell {
	seen := at(t, "2001-06-25T11:58:00Z")
	return map[string][]feature.Cell{
		`("JFK")`: {
			{Value: feature.Int64Value(12), Status: feature.Present, EventTime: seen, HasTime: true},
			{Value: feature.TimestampValue(seen), Status: feature.Present, EventTime: seen, HasTime: true},
			{Value: feature.Float64Value(0.5), Status: feature.Present, EventTime: seen, HasTime: true},
		},
		`("SFO")`: {
			{Value: feature.Int64Value(0), Status: feature.Expired, EventTime: at(t, "1969-12-31T23:59:59.99999Z"), HasTime: true},
			{Status: feature.Null, EventTime: seen, HasTime: true},
			{Status: feature.Null, EventTime: seen, HasTime: true},
		},
	}
}

// TestOnlineGolden is the answer of the contract, byte by byte.
func TestOnlineGolden(t *testing.T) {
	p := &parts{cells: airports(t)}
	s := start(t, p.config())
	status, header, body := s.do(request{path: api.PathOnline, body: `{"service": "delay_model", "entities": {"airport": ["JFK", "LAX"], "destination": ["SFO", null]},
		"request": {}, "at": "2001-06-25T12:00:00Z", "path": "auto", "events": {}}`})
	want := `{"keys":{"airport":["JFK","LAX"],"destination":["SFO",null]},` +
		`"names":["departures.last_delay","departures.seen","dest.last_delay"],` +
		`"values":[[12,"2001-06-25T11:58:00Z",0],[0,null,0]],` +
		`"statuses":[["present","present","expired"],["missing","missing","missing"]],` +
		`"event_times":[["2001-06-25T11:58:00Z","2001-06-25T11:58:00Z","1969-12-31T23:59:59.99999Z"],[null,null,null]],` +
		`"meta":{"service":"delay_model@3","views":["departures@2"],"path":"online","seq":81234,"lag_ms":2,"stale":[]}}` + "\n"
	if status != 200 || body != want {
		t.Fatalf("status %d, answer differs (-want +got):\n%s", status, cmp.Diff(want, body))
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", api.HeaderTypes: "int64,timestamp,int64", api.HeaderKeyTypes: "airport=string&destination=string",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("header %s = %q, want %q", name, got, want)
		}
	}
	if got := p.lookups[0].At; got != at(t, "2001-06-25T12:00:00Z") {
		t.Errorf("read at %s", got)
	}
}

func TestOnlineForms(t *testing.T) {
	p := &parts{cells: airports(t)}
	s := start(t, p.config())
	for _, tc := range []struct{ name, body, values, meta string }{
		{"a version", `{"service":"delay_model@2","entities":{"airport":["JFK"],"destination":["JFK"]}}`, `[[12,"2001-06-25T11:58:00Z",12]]`, `"delay_model@2"`},
		{"features", `{"features":["departures.load"],"entities":{"airport":["JFK"]}}`, `[[0.5]]`, `""`},
		{"a version of a view", `{"features":["departures@1.load","departures@1.load"],"entities":{"airport":["JFK"]}}`, `[[0.5,0.5]]`, `""`},
		{"no keys", `{"features":["departures.load"],"entities":{"airport":[]}}`, `[]`, `""`},
		{"converted keys", `{"features":["seats.price"],"entities":{"flight":["9007199254740993",7.0,null],"window":["true",false,null],"day":["2001-06-25","2001-06-25 12:00:00.1234567",null]}}`, `[[null],[null],[null]]`, `""`},
		{"nulls are left out", `{"service":null,"features":["departures.load"],"entities":{"airport":["JFK"]},"at":null,"path":null,"request":null,"events":null}`, `[[0.5]]`, `""`},
		{"escapes", `{"\u0066eatures":["departures.\u006coad"],"entities":{"airport":["J\u0046K","\ud83d\ude00\n"]}}`, `[[0.5],[null]]`, `""`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got struct {
				Values json.RawMessage
				Meta   struct{ Service json.RawMessage }
			}
			if err := json.Unmarshal([]byte(s.want(200, request{path: api.PathOnline, body: tc.body})), &got); err != nil {
				t.Fatal(err)
			}
			if string(got.Values) != tc.values || string(got.Meta.Service) != tc.meta {
				t.Errorf("values %s, service %s; want %s, %s", got.Values, got.Meta.Service, tc.values, tc.meta)
			}
		})
	}
	seat := p.lookups[4].Keys
	day := at(t, "2001-06-25T12:00:00.123456Z")
	if seat[0][0].Int64() != 9007199254740993 || seat[0][1].Int64() != 7 || !seat[1][0].Bool() || seat[2][1].Time() != day || !seat[2][2].IsNull() {
		t.Errorf("keys arrived as %v", seat)
	}
	if p.lookups[0].At != at(t, "2001-06-25T12:00:00Z") {
		t.Errorf("a read without a time is at %s, want now", p.lookups[0].At)
	}
}

func TestOnlinePathsAndStale(t *testing.T) {
	p := &parts{}
	p.lookup = func(_ context.Context, l *feature.Lookup) (*feature.Answer, error) {
		return &feature.Answer{Cells: make([]feature.Cell, l.Rows()), Path: feature.PathOffline, Stale: []string{`behind "the" log`, "späť"}}, nil
	}
	s := start(t, p.config())
	for _, path := range []feature.Path{feature.PathAuto, feature.PathOnline, feature.PathOffline} {
		body := s.want(200, request{path: api.PathOnline, body: fmt.Sprintf(`{"features":["departures.load"],"entities":{"airport":["JFK"]},"path":"%s"}`, path)})
		if want := `"meta":{"service":"","views":["departures@2"],"path":"offline","seq":0,"lag_ms":2,"stale":["behind \"the\" log","späť"]}}`; !strings.Contains(body, want) {
			t.Errorf("answer %s lacks %s", body, want)
		}
	}
	if want := []feature.Path{"auto", "online", "offline"}; !cmp.Equal(p.paths, want) {
		t.Errorf("paths %v, want %v", p.paths, want)
	}
}

// TestOnlineTimes: the hand-written time must be the one that package feature writes.
func TestOnlineTimes(t *testing.T) {
	instants := []feature.Time{feature.MinTime, feature.MaxTime, 0, -1, 1, 999_999, -1_000_000, 951_782_399_999_999, 951_782_400_000_000, 951_868_800_000_000 - 1, 4_107_542_400_000_000}
	for day := feature.MinTime; day <= feature.MaxTime; day += feature.Time(13*feature.Day + 7*feature.Hour + 61_234_560) {
		instants = append(instants, day)
	}
	p := &parts{}
	p.lookup = func(_ context.Context, l *feature.Lookup) (*feature.Answer, error) {
		a := &feature.Answer{Path: feature.PathOnline}
		for _, x := range instants {
			a.Cells = append(a.Cells, feature.Cell{Value: feature.TimestampValue(x), EventTime: x, HasTime: true, Status: feature.Present})
		}
		return a, nil
	}
	cfg := p.config()
	cfg.Limits.Keys = len(instants)
	s := start(t, cfg)
	keys, _ := json.Marshal(make([]*string, len(instants)))
	var got struct {
		Values     json.RawMessage `json:"values"`
		EventTimes json.RawMessage `json:"event_times"`
	}
	body := s.want(200, request{path: api.PathOnline, body: `{"features":["departures.seen"],"entities":{"airport":` + string(keys) + `}}`})
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := []byte("[")
	for i, x := range instants {
		if i > 0 {
			want = append(want, ',')
		}
		want = append(feature.TimestampValue(x).AppendJSON(append(want, '[')), ']')
	}
	want = append(want, ']')
	if !bytes.Equal(got.EventTimes, want) || !bytes.Equal(got.Values, want) {
		t.Errorf("event times (-want +got):\n%s", cmp.Diff(string(want), string(got.EventTimes)))
	}
}

// TestOnlineFloats: the short way to write a float must be the one that package feature has.
func TestOnlineFloats(t *testing.T) {
	values := []float64{0, 1, -1, 0.5, -0.5, 0.1, -0.0001, 0.0001, 0.00001, 1e-7, 12.34, -12.3456, 12.34567, 1e15, 1e15 - 1, 99999999999.9999, 1e20, 1e21, 1e22, 123456789012345678, math.MaxFloat64, math.SmallestNonzeroFloat64, 1.0 / 3, 100, 1200.05, 0.30000000000000004}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		values = append(values, float64(random.IntN(2e9)-1e9)/math.Pow10(random.IntN(8)), math.Float64frombits(random.Uint64()))
	}
	p := &parts{}
	want := []byte("[")
	a := &feature.Answer{Path: feature.PathOnline}
	for _, f := range values {
		v := feature.Float64Value(f)
		a.Cells = append(a.Cells, feature.Cell{Value: v})
		want = append(v.AppendJSON(append(want, '[')), ']', ',')
	}
	want[len(want)-1] = ']'
	p.lookup = func(context.Context, *feature.Lookup) (*feature.Answer, error) { return a, nil }
	cfg := p.config()
	cfg.Limits.Keys = len(values)
	s := start(t, cfg)
	keys, _ := json.Marshal(make([]*string, len(values)))
	var got struct {
		Values json.RawMessage `json:"values"`
	}
	if err := json.Unmarshal([]byte(s.want(200, request{path: api.PathOnline, body: `{"features":["departures.load"],"entities":{"airport":` + string(keys) + `}}`})), &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Values, want) {
		t.Errorf("values (-want +got):\n%s", cmp.Diff(strings.Split(string(want), ","), strings.Split(string(got.Values), ",")))
	}
}
