package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

func keys() map[string]any {
	return map[string]any{"airport": []string{"JFK", "LAX"}, "gate": []int{1, 2}}
}

func TestOnlineEvents(t *testing.T) {
	b := &backend{}
	c := open(t, b, sdk.Config{})
	type event struct {
		Gate int `json:"gate"`
	}
	req := sdk.OnlineRequest{Service: "delay_model", Entities: keys(), Events: map[string]any{"flights": []event{{3}, {4}}}}
	if _, err := c.Online(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if got := b.lookup.EventsOf("flights"); got == nil || got.Rows != 2 || got.Columns[0].Ints[1] != 4 {
		t.Errorf("the events arrived as %+v, want two", got)
	}
	one := sdk.OnlineRequest{Service: req.Service, Entities: map[string]any{"airport": []string{"JFK"}, "gate": []int{1}}, Events: req.Events}
	x, err := c.Explain(t.Context(), one)
	if err != nil || x.Seq != 5 || len(x.Features) != 1 || x.Features[0].Events[0].Value.Int64() != 3 {
		t.Errorf("an explanation: %+v, %v", x, err)
	}
	req.Events["flights"] = []any{event{3}, map[string]any{"door": 4}}
	_, err = c.Online(t.Context(), req)
	if e, ok := errors.AsType[*feature.Error](err); !ok || e.Code != feature.CodeInvalid || len(e.Details) != 1 || *e.Details[0].Row != 1 || e.Details[0].Field != "events.flights.gate" {
		t.Errorf("a bad event: %v, want its row and column", err)
	}
	req.Events["flights"] = 5
	if _, err := c.Online(t.Context(), req); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("events that are none: %v", err)
	}
}

func TestOnline(t *testing.T) {
	b := &backend{}
	c := open(t, b, sdk.Config{})
	at := time.Date(2001, 6, 25, 12, 0, 0, 1000, time.FixedZone("", 3600))
	got, err := c.Online(t.Context(), sdk.OnlineRequest{Service: "delay_model", Entities: keys(), At: at})
	if err != nil {
		t.Fatal(err)
	}
	if want := feature.Time(at.UnixMicro()); b.lookup.At != want {
		t.Errorf("read at %s, want %s", b.lookup.At, want)
	}
	if want := (api.OnlineMeta{Service: "delay_model@3", Views: []string{"departures@1"}, Path: feature.PathOnline, Seq: 5, LagMS: 1000, Stale: []string{}}); !cmp.Equal(got.Meta, want) {
		t.Errorf("meta %+v, want %+v", got.Meta, want)
	}
	jfk, lax := got.Vectors[0], got.Vectors[1]
	for i, want := range row() {
		name := got.Names[i]
		cell, ok := jfk.Cell(name)
		if !ok || !cell.Value.Equal(want) || !jfk.Value(name).Equal(want) || cell.Status != feature.Present || cell.EventTime != seen+feature.Time(i) {
			t.Errorf("%s = %+v, want %v", name, cell, want)
		}
		if cell := lax.Cells()[i]; cell.Status != feature.Missing || !cell.Value.IsNull() || cell.HasTime {
			t.Errorf("%s of an unknown key = %+v", name, cell)
		}
	}
	delay, _ := jfk.Int64("departures.delay")
	load, _ := jfk.Float64("departures.load")
	late, _ := jfk.Bool("departures.late")
	note, _ := jfk.Str("departures.note")
	when, _ := jfk.Time("departures.seen")
	gate, _ := lax.Keys.Int64("gate")
	if delay != 9007199254740993 || load != 12 || !late || note != "2001-06-25" || !when.Equal(seen.Std()) || gate != 2 {
		t.Errorf("got %d %v %t %q %s, gate %d", delay, load, late, note, when, gate)
	}
	if _, ok := lax.Int64("departures.delay"); ok {
		t.Error("a missing int64 is one")
	}
	if _, ok := jfk.Cell("x"); ok {
		t.Error("there is a feature x")
	}
	empty, err := c.Online(t.Context(), sdk.OnlineRequest{Features: []string{"departures.load"}, Entities: map[string]any{"airport": []string{}, "gate": []int{}}, Path: feature.PathOffline})
	if err != nil || len(empty.Vectors) != 0 || empty.Meta.Path != feature.PathOffline {
		t.Errorf("no keys: %+v, %v", empty, err)
	}
}

// TestErrors: the server's error is the client's.
func TestErrors(t *testing.T) {
	c := open(t, &backend{}, sdk.Config{})
	_, err := c.Online(t.Context(), sdk.OnlineRequest{Service: "nope", Entities: keys()})
	if want := `unknown service "nope": expected one of delay_model`; !errors.Is(err, feature.ErrNotFound) || err.Error() != want {
		t.Errorf("an unknown service is %v, want %s", err, want)
	}
	_, err = c.Online(t.Context(), sdk.OnlineRequest{Service: "delay_model", Entities: map[string]any{"airport": []string{"JFK"}, "gate": []string{"B"}}})
	e, ok := errors.AsType[*feature.Error](err)
	if !ok || e.Code != feature.CodeInvalid || len(e.Details) != 1 || *e.Details[0].Row != 0 || e.Details[0].Field != "gate" {
		t.Errorf("a bad key is %v", err)
	}
	for _, url := range []string{"", "127.0.0.1:7600", "ftp://x", "http://", "http://x?y", "http://x#y", "%"} {
		if _, err := sdk.Open(url, sdk.Config{}); !errors.Is(err, feature.ErrInvalid) {
			t.Errorf("Open(%q) = %v", url, err)
		}
	}
	if err := c.Push(t.Context(), "flights", 5); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("pushing 5 = %v", err)
	}
	if _, err := c.Import(t.Context(), sdk.ImportRequest{Source: "flights"}, nil); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("importing nothing = %v", err)
	}
}

// TestRefusedUploads: a server that refuses a large body does not read it, and the client sees why all the same.
func TestRefusedUploads(t *testing.T) {
	c := open(t, &backend{}, sdk.Config{})
	big := strings.Repeat("x", 40<<20)
	for range 3 {
		_, err := c.Import(t.Context(), sdk.ImportRequest{Source: "trains", File: strings.NewReader(big), Format: "csv"}, nil)
		if !errors.Is(err, feature.ErrNotFound) {
			t.Errorf("an import into nothing = %v", err)
		}
		if err := c.Push(t.Context(), "flights", []string{big}); !errors.Is(err, feature.ErrTooLarge) {
			t.Errorf("a push of 40 MiB = %v", err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close()
	c, err := sdk.Open(web.URL, sdk.Config{Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(t.Context()); !errors.Is(err, feature.ErrUnavailable) || !strings.Contains(err.Error(), web.URL) {
		t.Errorf("Ready of a dead server = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ready(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Ready with a context that ended = %v", err)
	}
}

// TestForeignAnswers: a proxy's answers are errors with the code that fits.
func TestForeignAnswers(t *testing.T) {
	for status, want := range map[int]feature.Code{
		400: feature.CodeInvalid, 401: api.CodeUnauthorized, 403: api.CodeForbidden, 404: feature.CodeNotFound, 409: feature.CodeConflict,
		413: feature.CodeTooLarge, 418: feature.CodeInvalid, 429: feature.CodeOverloaded, 500: feature.CodeInternal, 502: feature.CodeUnavailable,
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", status) }))
		c, err := sdk.Open(web.URL, sdk.Config{Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(t.Context()); feature.CodeOf(err) != want {
			t.Errorf("status %d is %v, want code %s", status, err, want)
		}
		c.Close()
		web.Close()
	}
}

func TestRetries(t *testing.T) {
	busy := feature.Errorf(feature.CodeUnavailable, "not now")
	bad := feature.Errorf(feature.CodeInvalid, "never")
	push := func(c *sdk.Client) error { return c.Push(t.Context(), "flights", []any{map[string]any{"a": 1}}) }
	read := func(c *sdk.Client) error {
		_, err := c.Online(t.Context(), sdk.OnlineRequest{Service: "delay_model", Entities: keys()})
		return err
	}
	apply := func(c *sdk.Client) error {
		_, err := c.Apply(t.Context(), api.RegistryRequest{Files: map[string]string{}})
		return err
	}
	for _, tc := range []struct {
		name     string
		failures []error
		do       func(*sdk.Client) error
		calls    int
		want     error
	}{
		{"a read recovers", []error{busy}, read, 2, nil},
		{"a push recovers", []error{busy}, push, 2, nil},
		{"a read gives up", []error{busy, busy, busy, busy}, read, 2, feature.ErrUnavailable},
		{"a mistake is not repeated", []error{bad}, read, 1, feature.ErrInvalid},
		{"apply is not repeated", []error{busy}, apply, 1, feature.ErrUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // the server asks for a pause of a second
			b := &backend{failures: tc.failures}
			err := tc.do(open(t, b, sdk.Config{Retries: 1}))
			if b.calls != tc.calls || !errors.Is(err, tc.want) {
				t.Errorf("%d calls, error %v; want %d, %v", b.calls, err, tc.calls, tc.want)
			}
		})
	}
}

func TestPush(t *testing.T) {
	type flight struct {
		Origin string    `json:"origin"`
		At     time.Time `json:"at"`
	}
	b := &backend{}
	c := open(t, b, sdk.Config{})
	at := time.Unix(993_470_280, 0).UTC()
	for _, rows := range []any{
		[]flight{{"JFK", at}}, []map[string]any{{"origin": "JFK", "at": at}}, [1]*flight{{"JFK", at}}, slices.Values([]flight{{"JFK", at}}),
	} {
		b.pushed = nil
		if err := c.Push(t.Context(), "flights", rows); err != nil {
			t.Fatal(err)
		}
		got, want := string(b.pushed[0][0]), `"2001-06-25T11:58:00Z"`
		if !strings.Contains(got, want) || !strings.Contains(got, `"origin":"JFK"`) {
			t.Errorf("%T arrived as %s", rows, got)
		}
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(b.keys))); len(distinct) != 4 || distinct[0] == "" {
		t.Errorf("idempotency keys %q", b.keys)
	}
	err := c.Push(t.Context(), "flights", []map[string]any{{"a": 1}, {"bad": 1}})
	if e, ok := errors.AsType[*feature.Error](err); !ok || e.Code != feature.CodeInvalid || *e.Details[0].Row != 1 {
		t.Errorf("a refused row is %v", err)
	}
	got, err := c.PushRows(t.Context(), sdk.PushRequest{Source: "flights", Rows: []map[string]any{{"a": 1}, {"bad": 1}}, Partial: true, IdempotencyKey: "k"})
	if err != nil || got.Accepted != 1 || len(got.Refused) != 1 || b.keys[len(b.keys)-1] != "k" {
		t.Errorf("a partial push is %+v, %v", got, err)
	}
}

func TestPushLines(t *testing.T) {
	text := "{\"a\":0}\n\n {\"a\":1}\n{\"a\":2}\n{\"bad\":1}\n{\"a\":4}"
	b := &backend{}
	c := open(t, b, sdk.Config{})
	var sums []int
	progress := func(p api.PushResponse) { sums = append(sums, p.Accepted) }
	got, err := c.PushLines(t.Context(), sdk.LinesRequest{Source: "flights", Lines: strings.NewReader(text), Batch: 2, Partial: true, Progress: progress})
	if err != nil || got.Accepted != 4 || got.Seq != 3 || len(got.Refused) != 1 || *got.Refused[0].Row != 3 || got.Refused[0].Line != 5 || !cmp.Equal(sums, []int{2, 3, 4}) {
		t.Errorf("PushLines = %+v, %v with progress %v", got, err, sums)
	}
	got, err = c.PushLines(t.Context(), sdk.LinesRequest{Source: "flights", Lines: strings.NewReader(text), Batch: 2})
	e, ok := errors.AsType[*feature.Error](err)
	if !ok || got.Accepted != 2 || *e.Details[0].Row != 3 || e.Details[0].Line != 5 {
		t.Errorf("PushLines all or none = %+v, %v", got, err)
	}
}

func TestTraining(t *testing.T) {
	b := &backend{}
	c := open(t, b, sdk.Config{})
	req := sdk.TrainingRequest{
		Service: "delay_model", Rows: []map[string]any{{"airport": "JFK", "ts": time.Unix(0, 0).UTC()}}, Time: "ts", Keys: map[string]string{"gate": "g"}, Clock: feature.ClockAvailable,
	}
	n := 0
	for row, err := range c.Training(t.Context(), req) {
		if err != nil {
			t.Fatal(err)
		}
		load, ok := row.Float64("departures.load")
		at, isTime := row.Time("at")
		if !ok || load != float64(n) || !isTime || at.Year() != 2001 || row.Fields()[0].Name != "airport" {
			t.Fatalf("row %d = %v", n, row.Values())
		}
		n++
	}
	got := b.trained[0]
	if n != 3000 || b.spine != `{"airport":"JFK","ts":"1970-01-01T00:00:00Z"}`+"\n" || got.Time != "ts" || got.Keys["gate"] != "g" || got.Clock != feature.ClockAvailable {
		t.Errorf("%d rows of %+v with spine %s", n, got, b.spine)
	}
	for range c.Training(t.Context(), req) {
		break // leaves nothing behind
	}
	var file strings.Builder
	upload := sdk.TrainingRequest{Features: []string{"departures.load", "departures.seen"}, File: strings.NewReader("airport,ts\n"), FileFormat: "csv", Keys: map[string]string{"gate": "g"}, Format: "jsonl"}
	meta, err := c.TrainingFile(t.Context(), upload, &file)
	if err != nil || meta["seq"] != "5" || strings.Count(file.String(), "\n") != 3000 || b.spine != "airport,ts\n" {
		t.Errorf("TrainingFile: meta %v, %d bytes, spine %q, %v", meta, file.Len(), b.spine, err)
	}
	if _, err := c.TrainingFile(t.Context(), req, broken{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("TrainingFile into a full disk = %v", err)
	}
	req.KeysAll = "airport"
	for _, err := range c.Training(t.Context(), req) {
		if !errors.Is(err, feature.ErrInvalid) {
			t.Errorf("two spines = %v", err)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestTrainingCutOff: a client never takes a part for the whole.
func TestTrainingCutOff(t *testing.T) {
	c := open(t, &backend{broken: true}, sdk.Config{})
	req := sdk.TrainingRequest{Service: "delay_model", KeysAll: "airport"}
	var last error
	n := 0
	for _, err := range c.Training(t.Context(), req) {
		last = err
		n++
	}
	if !errors.Is(last, feature.ErrUnavailable) || n < 2 {
		t.Errorf("after %d rows: %v", n, last)
	}
	if _, err := c.TrainingFile(t.Context(), req, io.Discard); !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("TrainingFile = %v", err)
	}
}

func TestLongOperations(t *testing.T) {
	b := &backend{}
	c := open(t, b, sdk.Config{})
	var seen []api.Progress
	progress := func(p api.Progress) { seen = append(seen, p) }
	im, err := c.Import(t.Context(), sdk.ImportRequest{Source: "flights", File: strings.NewReader("a\n"), Name: "x.csv", Replace: true}, progress)
	if want := (api.ImportResult{Rows: 2, Generation: 9, Seq: 4}); err != nil || !reflect.DeepEqual(*im, want) || b.imported != "flights x.csv csv true a\n" {
		t.Errorf("Import = %+v, %v of %q", im, err, b.imported)
	}
	if m, err := c.Materialize(t.Context(), api.MaterializeRequest{Views: []string{"departures@1"}}, progress); err != nil || m.Seq != 4 || m.Views[0].View != "departures@1" {
		t.Errorf("Materialize = %+v, %v", m, err)
	}
	v, err := c.Verify(t.Context(), api.VerifyRequest{Service: "delay_model", At: []string{"2001-06-25"}}, progress)
	if err != nil || v.Different != 1 || v.Differences[0].Keys["airport"].Str() != "JFK" || v.Differences[0].Online.Value.Int64() != 1 || v.Differences[0].Offline.EventTime != nil {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	if want := (api.Progress{Stage: "load", Done: 1, Rows: 2}); len(seen) != 3 || seen[0] != want {
		t.Errorf("progress %+v", seen)
	}
	b.broken = true
	if _, err := c.Import(t.Context(), sdk.ImportRequest{Source: "flights", File: strings.NewReader("a\n"), Format: "csv"}, nil); !errors.Is(err, feature.ErrConflict) {
		t.Errorf("a failed import = %v", err)
	}
}

// TestCutOffLines: an answer without its last line is no success.
func TestCutOffLines(t *testing.T) {
	for _, text := range []string{"", "{\"progress\":{\"stage\":\"x\",\"done\":0}}\n", "{\"progress\":", "<html>"} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }))
		c, err := sdk.Open(web.URL, sdk.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Materialize(t.Context(), api.MaterializeRequest{}, nil); !errors.Is(err, feature.ErrUnavailable) {
			t.Errorf("after %q: %v", text, err)
		}
		c.Close()
		web.Close()
	}
}

func TestDescriptions(t *testing.T) {
	c := open(t, &backend{}, sdk.Config{})
	ctx := t.Context()
	checks := map[string]func() (string, error){
		"departures 1 float64": func() (string, error) {
			v, err := c.View(ctx, "departures@1")
			if err != nil {
				return "", err
			}
			return fmt.Sprint(v.Name, " ", v.Version, " ", v.Features[1].Type), nil
		},
		"1 views":    func() (string, error) { l, err := c.Views(ctx); return fmt.Sprint(len(l), " views"), err },
		"1 services": func() (string, error) { l, err := c.Services(ctx); return fmt.Sprint(len(l), " services"), err },
		"1 versions": func() (string, error) {
			l, err := c.ServiceVersions(ctx, "delay_model")
			return fmt.Sprint(len(l), " versions"), err
		},
		"1 entities": func() (string, error) { l, err := c.Entities(ctx); return fmt.Sprint(len(l), " entities"), err },
		"1 sources":  func() (string, error) { l, err := c.Sources(ctx); return fmt.Sprint(len(l), " sources"), err },
		"view departures": func() (string, error) {
			l, err := c.Definitions(ctx, "departures")
			return l[0].Kind + " " + l[0].Name, err
		},
		`{"files":1}`: func() (string, error) {
			r, err := c.Plan(ctx, api.RegistryRequest{Files: map[string]string{"a": ""}})
			return string(r), err
		},
		`{"service":"delay_model@2"}`: func() (string, error) {
			r, err := c.Rollback(ctx, "delay_model@2")
			return string(r), err
		},
		`{"files":0}`: func() (string, error) {
			r, err := c.Apply(ctx, api.RegistryRequest{Files: map[string]string{}})
			return string(r), err
		},
		`{"type":"object"}`: func() (string, error) { r, err := c.Schema(ctx); return string(r), err },
		"delay_model [departures@1] 6 2": func() (string, error) {
			s, err := c.Service(ctx, "delay_model")
			if err != nil {
				return "", err
			}
			return fmt.Sprint(s.Name, " ", s.Views, " ", len(s.Features), " ", len(s.Keys)), nil
		},
		"airport 2": func() (string, error) {
			e, err := c.Entity(ctx, "airport")
			if err != nil {
				return "", err
			}
			return fmt.Sprint(e.Name, " ", len(e.Key)), nil
		},
		"flights at": func() (string, error) {
			s, err := c.Source(ctx, "flights")
			if err != nil {
				return "", err
			}
			return s.Name + " " + s.EventTime, nil
		},
		"revision 7, lag 2": func() (string, error) {
			s, err := c.Status(ctx)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("revision %d, lag %d", s.Revision, s.Replica.LagMS), nil
		},
		"letter 4 of flights, next 4": func() (string, error) {
			l, err := c.DeadLetters(ctx, api.DeadLetterQuery{Source: "flights", After: 3, Limit: 1})
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("letter %d of %s, next %d", l.Letters[0].Seq, l.Letters[0].Source, l.Next), nil
		},
		"letter 7 of flights": func() (string, error) {
			l, err := c.DeadLetter(ctx, 7)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("letter %d of %s", l.Seq, l.Source), nil
		},
		"2 rows of airport erased at 5": func() (string, error) {
			r, err := c.Erase(ctx, api.EraseRequest{Entity: "airport", Keys: map[string]any{"airport": []string{"JFK", "LAX"}, "gate": []int{1, 2}}}, nil)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%d rows of %s erased at %d", r.Sources[0].Rows, r.Sources[0].Source, r.Seq), nil
		},
		"58 taken, 4 refused, progress 2": func() (string, error) {
			var rows int64
			r, err := c.ReplayDeadLetters(ctx, api.ReplayRequest{Reason: "four", Since: "2001-06-25T11:58:00Z"}, func(p api.Progress) { rows = p.Rows })
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%d taken, %d refused, progress %d", r.Taken, r.Refused, rows), nil
		},
		"[5 2001-06-25T11:58:00.123456Z] [NULL NULL]": func() (string, error) {
			table, err := c.SQL(ctx, "SELECT 1")
			if err != nil {
				return "", err
			}
			return fmt.Sprint(table.Rows[0].Values(), " ", table.Rows[1].Values()), nil
		},
	}
	for _, want := range slices.Sorted(maps.Keys(checks)) {
		if got, err := checks[want](); err != nil || got != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
	if err := c.Ready(ctx); err != nil {
		t.Errorf("Ready = %v", err)
	}
	if _, err := c.View(ctx, "a/b"); !errors.Is(err, feature.ErrNotFound) {
		t.Errorf("a view with a slash = %v", err)
	}
}

func TestToken(t *testing.T) {
	var got string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		fmt.Fprint(w, "{}")
	}))
	defer web.Close()
	c, err := sdk.Open(web.URL, sdk.Config{Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ready(t.Context()); err != nil || got != "Bearer secret" {
		t.Errorf("sent %q, %v", got, err)
	}
}
