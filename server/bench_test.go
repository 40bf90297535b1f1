package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/server"
)

// wide returns a catalog with a service of n features of mixed types in two views, and a fixed answer for rows
// keys of it.
func wide(n, rows int) (*feature.Catalog, *feature.Answer) {
	airport := feature.Entity{Name: "airport", Key: []feature.Field{{Name: "airport", Type: feature.String}}}
	types := []feature.Type{feature.Int64, feature.Float64, feature.String, feature.Timestamp}
	service := &feature.Service{Name: "wide", Version: 1}
	for v := range 2 {
		view := &feature.View{Name: fmt.Sprintf("view%d", v), Version: 1, Entity: airport, Keys: []string{"k"}, Source: "s"}
		item := feature.Item{View: view, Role: view.Name, Keys: []string{"airport"}}
		for f := range n / 2 {
			view.Features = append(view.Features, feature.Feature{Name: fmt.Sprintf("feature%d", f), Type: types[f%len(types)]})
			item.Features = append(item.Features, f)
		}
		service.Items = append(service.Items, item)
	}
	values := []feature.Value{feature.Int64Value(123456), feature.Float64Value(0.8379412), feature.StringValue("business"), feature.TimestampValue(993_470_280_123_000)}
	a := &feature.Answer{Path: feature.PathOnline, Cut: feature.Cut{Seq: 81234}}
	for row := range rows {
		for f := range n {
			seen := feature.Time(993_470_280_000_000 + int64(row)*1_234_567 + int64(f/(n/2)))
			a.Cells = append(a.Cells, feature.Cell{Value: values[f%(n/2)%len(values)], Status: feature.Present, EventTime: seen, HasTime: true})
		}
	}
	return &feature.Catalog{Services: []*feature.Service{service}}, a
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkOnline is everything the server does for an online read except the socket and the store: route,
// decode, plan, encode.
func BenchmarkOnline(b *testing.B) {
	for _, size := range []struct{ keys, features int }{{1, 20}, {100, 20}, {1, 250}} {
		b.Run(fmt.Sprintf("keys=%d/features=%d", size.keys, size.features), func(b *testing.B) {
			c, a := wide(size.features, size.keys)
			p := &parts{}
			cfg := p.config()
			cfg.Catalog = func() *feature.Catalog { return c }
			cfg.Reader = fixed{a}
			srv, err := server.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			keys := make([]string, size.keys)
			for i := range keys {
				keys[i] = fmt.Sprintf("%q", fmt.Sprintf("K%04d", i))
			}
			body := `{"service":"wide","entities":{"airport":[` + strings.Join(keys, ",") + `]}}`
			h, reader := srv.Handler(), strings.NewReader(body)
			req := httptest.NewRequest(http.MethodPost, api.PathOnline, reader)
			req.Header.Set("Content-Type", api.MediaJSON)
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				h.ServeHTTP(discard{http.Header{}}, req)
			}
		})
	}
}

type fixed struct{ a *feature.Answer }

func (f fixed) Asked(string, []json.RawMessage) (*feature.Batch, error) { return nil, nil }

func (f fixed) Lookup(context.Context, *feature.Lookup, feature.Path) (*feature.Answer, error) {
	return f.a, nil
}

// TestOnlineAllocations: what a read allocates does not grow with the number of values.
func TestOnlineAllocations(t *testing.T) {
	c, a := wide(20, 100)
	p := &parts{}
	cfg := p.config()
	cfg.Catalog = func() *feature.Catalog { return c }
	cfg.Reader = fixed{a}
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"service":"wide","entities":{"airport":[` + strings.TrimSuffix(strings.Repeat(`"JFK",`, 100), ",") + `]}}`
	h, reader := srv.Handler(), strings.NewReader(body)
	req := httptest.NewRequest(http.MethodPost, api.PathOnline, reader)
	got := testing.AllocsPerRun(100, func() {
		reader.Reset(body)
		h.ServeHTTP(discard{http.Header{}}, req)
	})
	if got > 180 { // 100 of them are the keys' strings
		t.Errorf("a read of 100 keys and 20 features allocates %v times, want at most 180", got)
	}
}

// FuzzOnline: whatever a body holds, it is answered or refused, never a failure of ours.
func FuzzOnline(f *testing.F) {
	for _, tc := range badOnline() {
		f.Add([]byte(tc.req.body))
	}
	f.Add([]byte(`{"features":["seats.price"],"entities":{"flight":["9007199254740993",7.0,null],"window":["true",false,null],"day":["2001-06-25","2001-06-25 12:00:00.1234567",null]}}`))
	f.Add([]byte(`{"feature_service":"delay_model","entities":{"airport":["JFK"],"destination":[null],"flight":[1]},"full_feature_names":true}`))
	f.Add([]byte(`{"push_source_name":"flights","df":{"origin":["JFK",null],"delay":[1,2.5]},"to":"online_and_offline"}`))
	f.Add([]byte(`{"feature_view_name":"departures@v2","df":{"airport":["JFK"],"last_delay":[5],"load":[5],"seen":[0],"event_timestamp":["1970-01-01"],"created":[null]}}`))
	f.Add([]byte(`{"entity":"airport","keys":{"airport":["JFK"]},"dry_run":true}`))
	f.Add([]byte(`{"letters":[0,null],"since":"2001-06-25"}`))
	p := &parts{}
	srv, err := server.New(p.config())
	if err != nil {
		f.Fatal(err)
	}
	h := srv.Handler()
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{online, train, events, api.PathRegistryPlan, api.PathVerify, api.PathErase, api.PathReplay, api.PathRollback, api.PathSQL, api.PathFeastOnline, api.PathFeastPush, api.PathFeastWrite} {
			req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(string(body)))
			req.Header.Set("Content-Type", api.MediaJSON)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if w.Code >= 500 {
				t.Fatalf("%s with %q = %d %s", path, body, w.Code, w.Body)
			}
		}
		p.lookups, p.paths, p.pushes, p.trained, p.spines, p.changes = nil, nil, nil, nil, nil, nil
	})
}
