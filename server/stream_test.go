package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/server"
)

const trainBody = `{"service":"delay_model","spine":[{"airport":"JFK"}],"format":"csv"}`

func TestTrainingSpines(t *testing.T) {
	p := &parts{}
	s := start(t, p.config())
	part := "--x\r\nContent-Disposition: form-data; name=\"spine\"; filename=\"s.PARQUET\"\r\n\r\nPAR1\r\n--x--\r\n"
	for _, tc := range []struct {
		name         string
		req          request
		spine        server.Spine // without File
		text, format string
	}{
		{"objects", request{path: train, body: `{"service":"delay_model","spine":[{"airport": "JFK", "b":[1, 2]},{"airport":null}]}`}, server.Spine{Format: "jsonl"}, "{\"airport\":\"JFK\",\"b\":[1,2]}\n{\"airport\":null}\n", "parquet"},
		{"table", request{path: train, body: `{"service":"delay_model","spine":{"columns":["airport","n\""],"rows":[["JFK",1],[null,"x"]]},"format":"arrow"}`}, server.Spine{Format: "jsonl"}, "{\"airport\":\"JFK\",\"n\\\"\":1}\n{\"airport\":null,\"n\\\"\":\"x\"}\n", "arrow"},
		{"SQL", request{path: train, body: `{"service":"delay_model","spine_sql":"SELECT 1"}`}, server.Spine{SQL: "SELECT 1"}, "", "parquet"},
		{"all keys now", request{path: train, body: `{"features":["departures.load"],"keys_all":"airport"}`}, server.Spine{KeysAll: "airport", At: at(t, "2001-06-25T12:00:00Z")}, "", "parquet"},
		{"all keys then", request{path: train, body: `{"features":["departures.load"],"keys_all":"airport","at":"2001-01-01"}`}, server.Spine{KeysAll: "airport", At: at(t, "2001-01-01")}, "", "parquet"},
		{"CSV", request{path: train + "?service=delay_model&format=feather", body: "a,b\n", header: media("text/csv; charset=utf-8")}, server.Spine{Format: "csv"}, "a,b\n", "feather"},
		{"named format", request{path: train + "?service=delay_model&spine_format=feather", body: "x", header: media(api.MediaOctets)}, server.Spine{Format: "feather"}, "x", "parquet"},
		{"multipart", request{path: train + "?service=delay_model", body: part, header: media(api.MediaForm + "; boundary=x")}, server.Spine{Format: "parquet"}, "PAR1", "parquet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p.trained, p.spines = nil, nil
			s.want(200, tc.req)
			got := p.trained[0]
			if _, err := os.Stat(got.Spine.File); got.Spine.File != "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the spine's file is left: %v", err)
			}
			got.Spine.File = ""
			if diff := cmp.Diff(tc.spine, got.Spine); diff != "" || p.spines[0] != tc.text || got.Format != tc.format {
				t.Errorf("format %s, text %q, spine (-want +got):\n%s", got.Format, p.spines[0], diff)
			}
		})
	}
	p.trained = nil
	s.want(200, request{path: train + "?features=departures.load,departures.seen&features=seats.price&keys=airport=o=1&time=t&clock=available", body: "x", header: media(api.MediaCSV)})
	got := p.trained[0]
	if want := []string{"departures.load", "departures.seen", "seats.price"}; !cmp.Equal(got.Plan.Names, want) || got.Keys["airport"] != "o=1" || got.Time != "t" || got.Clock != feature.ClockAvailable {
		t.Errorf("the parameters became %+v of %v", got, got.Plan.Names)
	}
}

func TestTrainingHeaders(t *testing.T) {
	p := &parts{}
	s := start(t, p.config())
	_, header, body := s.do(request{path: train, body: `{"service":"delay_model","keys_all":"airport","format":"jsonl"}`})
	want := map[string]string{
		"Content-Type": api.MediaNDJSON, "Content-Length": fmt.Sprint(len(body)), "Content-Disposition": `attachment; filename="training.jsonl"`,
		api.HeaderMeta:   `{"service":"delay_model@3"}`,
		api.HeaderFields: `[{"name":"airport","type":"string"},{"name":"departures.last_delay","type":"int64"}]`,
	}
	for name, value := range want {
		if got := header.Get(name); got != value {
			t.Errorf("header %s = %q, want %q", name, got, value)
		}
	}
}

// fails returns a Write that writes n bytes and then fails with errBroken.
func fails(n int) func(context.Context, *server.Training) (*server.TrainingSet, error) {
	return func(context.Context, *server.Training) (*server.TrainingSet, error) {
		return &server.TrainingSet{Write: func(w io.Writer) error {
			line := strings.Repeat("x", 999) + "\n"
			for written := 0; written < n; written += len(line) {
				if _, err := io.WriteString(w, line); err != nil {
					return err
				}
			}
			return errBroken
		}}, nil
	}
}

// TestTrainingCutOff: an error after the first byte must not look like the end of a file.
func TestTrainingCutOff(t *testing.T) {
	p := &parts{}
	s := start(t, p.config())
	for _, n := range []int{0, 1000, 30_000} {
		p.train = fails(n)
		status, header, body := s.do(request{path: train, body: trainBody})
		if status != 500 || header.Get("Content-Type") != api.MediaJSON || header.Get(api.HeaderMeta) != "" || strings.Contains(body, "secret") {
			t.Errorf("failing after %d bytes: %d %v %s", n, status, header, body)
		}
	}
	for _, n := range []int{33_000, 100_000, 5_000_000} {
		p.train = fails(n)
		status, _, body, err := s.try(request{path: train, body: trainBody})
		if status != 200 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("failing after %d bytes: %d, %d bytes read, error %v; want 200 and %v", n, status, len(body), err, io.ErrUnexpectedEOF)
		}
	}
	if body := s.want(200, request{method: "GET", path: "/metrics"}); !strings.Contains(body, `route="/v1/features/historical",status="cut_off"} 3`) {
		t.Error("the metrics do not count 3 answers that were cut off")
	}
}

func TestTrainingErrorsFirst(t *testing.T) {
	p := &parts{train: func(context.Context, *server.Training) (*server.TrainingSet, error) {
		return nil, feature.Errorf(feature.CodeInvalid, "the spine has no column %q", "airport")
	}}
	s := start(t, p.config())
	if e := errorOf(t, s.want(400, request{path: train, body: trainBody})); e.Message != `the spine has no column "airport"` {
		t.Errorf("answered %v", e)
	}
	cfg := p.config()
	cfg.AllowSQL = false
	s = start(t, cfg)
	e := errorOf(t, s.want(403, request{path: train, body: `{"service":"delay_model","spine_sql":"SELECT 1"}`}))
	if e.Code != api.CodeForbidden {
		t.Errorf("spine_sql: %v", e)
	}
	s.want(403, request{path: "/v1/sql", body: `{"query":"SELECT 1"}`})
}

// TestHTTP10: an old client cannot tell a part from the whole.
func TestHTTP10(t *testing.T) {
	s := start(t, (&parts{}).config())
	conn, err := net.Dial("tcp", s.srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", train, len(trainBody), trainBody)
	b, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(b), " 400 ") || !strings.Contains(string(b), "HTTP/1.1") {
		t.Errorf("answered %q, %v", b, err)
	}
}

type line struct {
	Progress *api.Progress
	Result   map[string]any
	Error    *feature.Error
}

func readLines(t *testing.T, body string) []line {
	t.Helper()
	var out []line
	for text := range strings.Lines(body) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		out = append(out, l)
	}
	return out
}

func TestProgress(t *testing.T) {
	p := &parts{}
	s := start(t, p.config())
	for _, r := range []request{
		{path: imports + "?name=a.csv&replace=true", body: "a\n1\n", header: media(api.MediaOctets)},
		{path: api.PathMaterialize, body: `{"views":["departures@1"]}`},
		{path: api.PathVerify, body: `{"service":"delay_model","at":["2001-06-25T12:00:00Z"],"sample":5}`},
	} {
		p.work = nil
		got := readLines(t, s.want(200, r))
		last := got[len(got)-1]
		if len(got) != 3 || got[0].Progress.Done != 0.5 || got[1].Progress.Done != 1 || last.Result == nil {
			t.Errorf("%s answered %+v", r.path, got)
		}
		p.work = func(context.Context, func(api.Progress)) error { return feature.Errorf(feature.CodeConflict, "busy") }
		if e := errorOf(t, s.want(409, r)); e.Message != "busy" {
			t.Errorf("%s: %v", r.path, e)
		}
		p.work = func(_ context.Context, progress func(api.Progress)) error {
			progress(api.Progress{Stage: "read"})
			return errBroken
		}
		got = readLines(t, s.want(200, r))
		if last := got[len(got)-1]; len(got) != 2 || last.Error == nil || last.Error.Code != feature.CodeInternal || strings.Contains(last.Error.Message, "secret") {
			t.Errorf("%s answered %+v", r.path, got)
		}
	}
	im := p.imports[0]
	if im.Source.Name != "flights" || im.Format != "csv" || im.Name != "a.csv" || !im.Replace || p.spines[0] != "a\n1\n" {
		t.Errorf("the import arrived as %+v with %q", im, p.spines[0])
	}
}

// TestProgressIsLive: a line goes out when it is reported, not with the next one.
func TestProgressIsLive(t *testing.T) {
	seen := make(chan bool)
	p := &parts{work: func(ctx context.Context, progress func(api.Progress)) error {
		progress(api.Progress{Stage: "read", Done: 0.1})
		select {
		case <-seen:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	s := start(t, p.config())
	resp, err := http.Post(s.url+api.PathMaterialize, api.MediaJSON, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	if first, err := r.ReadString('\n'); err != nil || !strings.Contains(first, `"stage":"read"`) {
		t.Fatalf("first line %q, %v", first, err)
	}
	close(seen)
	if rest, err := io.ReadAll(r); err != nil || !strings.Contains(string(rest), `"result"`) {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

// TestClientGone: the work ends when nobody waits for it.
func TestClientGone(t *testing.T) {
	started, ended := make(chan bool), make(chan error, 1)
	p := &parts{work: func(ctx context.Context, progress func(api.Progress)) error {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		progress(api.Progress{Stage: "too late", Done: 1})
		return ctx.Err()
	}}
	s := start(t, p.config())
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-started; cancel() }()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.url+api.PathVerify, strings.NewReader(`{"service":"delay_model"}`))
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the work ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the work goes on without its client")
	}
}

func TestSQL(t *testing.T) {
	p := &parts{}
	s := start(t, p.config())
	for format, want := range map[string]string{
		"":       `{"columns":[{"name":"n","type":"int64"},{"name":"s","type":"string"}],"rows":[[1,"a"],[null,"b\""]]}` + "\n",
		"ndjson": `{"n":1,"s":"a"}` + "\n" + `{"n":null,"s":"b\""}` + "\n",
	} {
		if got := s.want(200, request{path: "/v1/sql", body: `{"query":"SELECT 1","format":"` + format + `"}`}); got != want {
			t.Errorf("format %q = %s, want %s", format, got, want)
		}
	}
	rows := 0
	p.query = func(context.Context, string) (*server.Table, error) {
		b := &feature.Batch{Fields: []feature.Field{{Name: "n", Type: feature.Int64}}, Columns: []feature.Column{{Type: feature.Int64}}}
		for i := range rows {
			b.Append([]feature.Value{feature.Int64Value(int64(i))})
		}
		return &server.Table{Fields: b.Fields, Batches: func(yield func(*feature.Batch, error) bool) {
			if yield(b, nil) {
				yield(nil, errBroken)
			}
		}}, nil
	}
	s.want(500, request{path: "/v1/sql", body: `{"query":"SELECT 1"}`})
	rows = 100_000
	if status, _, _, err := s.try(request{path: "/v1/sql", body: `{"query":"SELECT 1"}`}); status != 200 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a query that broke midway is %d, %v", status, err)
	}
}
