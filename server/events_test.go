package server_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/server"
)

func rowsOf(p server.Push) []string {
	var out []string
	for _, r := range p.Rows {
		out = append(out, string(r))
	}
	return out
}

func TestPushForms(t *testing.T) {
	p := &parts{}
	s := start(t, p.config())
	ndjson := media(api.MediaNDJSON)
	for _, tc := range []struct {
		name string
		req  request
		rows []string
		want string
	}{
		{"object", request{path: events, body: `{"rows": [{"a": 1}, {"a":[1,{"b":2}]}]}`}, []string{`{"a": 1}`, `{"a":[1,{"b":2}]}`}, `{"accepted":2,"seq":1,"refused":[]}`},
		{"array", request{path: events, body: ` [ {"a":1,"a":2} ] `}, []string{`{"a":1,"a":2}`}, `{"accepted":1,"seq":1,"refused":[]}`},
		{"nothing", request{path: events, body: `[]`}, nil, `{"accepted":0,"seq":0,"refused":[]}`},
		{"lines", request{path: events, body: "{\"a\":1}\n\n {\"a\":2} \r\n{\"a\":3}", header: ndjson}, []string{`{"a":1}`, `{"a":2}`, `{"a":3}`}, `{"accepted":3,"seq":1,"refused":[]}`},
		{"partial", request{path: events + "?partial=true", body: `[{},5,{}]`}, []string{"{}", "5", "{}"}, `{"accepted":2,"seq":1,"refused":[{"row":1,"message":"expected a JSON object"}]}`},
		{"partial lines", request{path: events + "?partial=true", body: "{}\n\n{\n{}\n", header: ndjson}, []string{"{}", "{", "{}"}, `{"accepted":2,"seq":1,"refused":[{"row":1,"message":"expected a JSON object"}]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p.pushes = nil
			if got := s.want(200, tc.req); got != tc.want+"\n" {
				t.Errorf("answered %s, want %s", got, tc.want)
			}
			var rows []string
			if len(p.pushes) > 0 {
				rows = rowsOf(p.pushes[0])
			}
			if diff := cmp.Diff(tc.rows, rows); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPushStream: lines without end are pushed in chunks, in bounded memory, and refused rows keep their place.
func TestPushStream(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	cfg.Limits.BodyBytes = 1000
	s := start(t, cfg)
	var body strings.Builder
	for i := range 10_000 {
		if i == 9000 {
			body.WriteString("oops\n")
			continue
		}
		fmt.Fprintf(&body, "{\"a\":%d}\n", i)
	}
	path := events + "?partial=true"
	got := s.want(200, request{path: path, body: body.String(), header: media(api.MediaNDJSON)})
	if want := `{"accepted":9999,"seq":3,"refused":[{"row":9000,"message":"expected a JSON object"}]}` + "\n"; got != want {
		t.Errorf("answered %s, want %s", got, want)
	}
	if len(p.pushes) != 3 || rowsOf(p.pushes[2])[0] != `{"a":8192}` {
		t.Errorf("%d pushes", len(p.pushes))
	}
	long := "{}\n" + strings.Repeat(" ", 2<<20) + "{}\n"
	e := errorOf(t, s.want(413, request{path: path, body: long, header: media(api.MediaNDJSON)}))
	if want := "line 2 is longer than 1048576 bytes (after 0 rows were accepted)"; e.Message != want {
		t.Errorf("a long line: %v, want %s", e, want)
	}
	p.push = func(context.Context, *server.Push) (*api.PushResponse, error) {
		return nil, feature.Errorf(feature.CodeUnavailable, "the log is full")
	}
	e = errorOf(t, s.want(503, request{path: path, body: "{}", header: media(api.MediaNDJSON)}))
	if want := "the log is full (after 0 rows were accepted)"; e.Message != want {
		t.Errorf("answered %v, want %s", e, want)
	}
}

func TestPushRefused(t *testing.T) {
	p := &parts{}
	row := 1
	p.push = func(context.Context, *server.Push) (*api.PushResponse, error) {
		err := feature.Errorf(feature.CodeInvalid, "1 of 2 rows refused")
		err.Details = []feature.Detail{{Row: &row, Field: "delay", Message: "expected int64"}}
		return nil, fmt.Errorf("push flights: %w", err)
	}
	s := start(t, p.config())
	want := `{"error":{"code":"invalid","message":"1 of 2 rows refused","details":[{"row":1,"field":"delay","message":"expected int64"}]}}` + "\n"
	if got := s.want(400, request{path: events, body: `[{},{}]`}); got != want {
		t.Errorf("answered %s, want %s", got, want)
	}
	if body := s.want(200, request{method: "GET", path: "/metrics"}); !strings.Contains(body, `lockstep_event_rows_total{outcome="refused"} 2`) {
		t.Error("the metrics do not count 2 refused rows")
	}
}

func TestIdempotency(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	now := time.Unix(1e9, 0)
	cfg.Now = func() time.Time { return now }
	s := start(t, cfg)
	push := func(key, body string) request {
		return request{path: events, body: body, header: map[string]string{api.HeaderIdempotencyKey: key}}
	}
	first := s.want(200, push("k", `[{"a":1}]`))
	if again := s.want(200, push("k", `[{"a":1}]`)); again != first || len(p.pushes) != 1 || p.pushes[0].IdempotencyKey != "k" {
		t.Errorf("the repetition answers %s after %s, in %d pushes", again, first, len(p.pushes))
	}
	e := errorOf(t, s.want(409, push("k", `[{"a":2}]`)))
	if want := `the idempotency key "k" was used for other rows`; e.Message != want {
		t.Errorf("answered %v, want %s", e, want)
	}
	s.want(409, request{path: events + "?partial=true", body: `[{"a":1}]`, header: map[string]string{api.HeaderIdempotencyKey: "k"}})
	s.want(200, push("other", `[{"a":1}]`))
	now = now.Add(11 * time.Minute)
	s.want(200, push("k", `[{"a":2}]`))
	if len(p.pushes) != 3 {
		t.Errorf("%d pushes, want 3: a key is forgotten after 10 minutes", len(p.pushes))
	}
	s.want(400, push("failed", `[5]`))
	s.want(200, push("failed", `[{"a":5}]`)) // a failure takes nothing, so its key is free
}

// TestIdempotencyAtOnce: of two equal pushes at the same time one is made; if it fails, the other tries.
func TestIdempotencyAtOnce(t *testing.T) {
	entered, leave := make(chan bool, 9), make(chan error)
	p := &parts{}
	p.push = func(_ context.Context, push *server.Push) (*api.PushResponse, error) {
		entered <- true
		if err := <-leave; err != nil {
			return nil, err
		}
		return &api.PushResponse{Accepted: len(push.Rows), Seq: 5}, nil
	}
	s := start(t, p.config())
	var wg sync.WaitGroup
	statuses := make(chan int, 2)
	for range 2 {
		wg.Go(func() {
			status, _, _, err := s.try(request{path: events, body: `[{}]`, header: map[string]string{api.HeaderIdempotencyKey: "k"}})
			if err != nil {
				t.Error(err)
			}
			statuses <- status
		})
	}
	<-entered
	leave <- feature.Errorf(feature.CodeUnavailable, "not now")
	if got := <-statuses; got != 503 {
		t.Errorf("the first is %d, want 503", got)
	}
	<-entered
	leave <- nil
	if got := <-statuses; got != 200 {
		t.Errorf("the second is %d, want 200", got)
	}
	wg.Wait()
}

// TestIdempotencyOutlivesClient: the push of a client that went away is finished, and its repetition answered.
func TestIdempotencyOutlivesClient(t *testing.T) {
	entered, leave := make(chan bool), make(chan bool)
	p := &parts{}
	p.push = func(ctx context.Context, push *server.Push) (*api.PushResponse, error) {
		close(entered)
		<-leave
		return &api.PushResponse{Accepted: 1, Seq: 5}, ctx.Err()
	}
	s := start(t, p.config())
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.url+events, strings.NewReader(`[{}]`))
	req.Header.Set(api.HeaderIdempotencyKey, "k")
	go func() { <-entered; cancel() }()
	if resp, err := http.DefaultClient.Do(req); err == nil {
		t.Errorf("answered %d", resp.StatusCode)
		resp.Body.Close()
	}
	close(leave)
	got := s.want(200, request{path: events, body: `[{}]`, header: map[string]string{api.HeaderIdempotencyKey: "k"}})
	if want := `{"accepted":1,"seq":5,"refused":[]}` + "\n"; got != want {
		t.Errorf("the repetition is %s, want %s", got, want)
	}
}

// TestBodyBreaksOff: half a body is the client's mistake, and takes nothing.
func TestBodyBreaksOff(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	cfg.Limits.StallTime = 50 * time.Millisecond
	s := start(t, cfg)
	body, feed := io.Pipe()
	go func() { _, _ = io.WriteString(feed, `[{"a":1},`) }()
	resp, err := http.Post(s.url+events, api.MediaJSON, body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if e := errorOf(t, string(text)); resp.StatusCode != http.StatusBadRequest || e.Message != "the body stopped arriving for 50ms" || len(p.pushes) > 0 {
		t.Errorf("answered %d %v after %d pushes", resp.StatusCode, e, len(p.pushes))
	}
	feed.Close()
}
