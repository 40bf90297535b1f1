package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/server"
)

// TestClasses: a class that is full refuses at once, the others go on.
func TestClasses(t *testing.T) {
	p := &parts{}
	entered, leave := make(chan bool), make(chan bool)
	p.work = func(context.Context, func(api.Progress)) error { entered <- true; <-leave; return nil }
	cfg := p.config()
	cfg.Limits.Import.Concurrency = 1
	s := start(t, cfg)
	csv := request{path: imports + "?format=csv", body: "a", header: media(api.MediaOctets)}
	done := make(chan int)
	go func() { status, _, _, _ := s.try(csv); done <- status }()
	<-entered
	status, header, body := s.do(csv)
	if e := errorOf(t, body); status != 429 || header.Get("Retry-After") != "5" || e.Code != feature.CodeOverloaded {
		t.Errorf("a second import = %d %s, Retry-After %q", status, body, header.Get("Retry-After"))
	}
	s.want(200, request{path: online, body: goodOnline})
	if text := s.want(200, request{method: get, path: "/metrics"}); !strings.Contains(text, `lockstep_http_requests_shed_total{limit="import"} 1`) {
		t.Error("the refusal is not counted")
	}
	close(leave)
	if got := <-done; got != 200 {
		t.Errorf("the first import = %d", got)
	}
	go func() { <-entered }()
	s.want(200, csv)
}

// TestExplainLimits: explanations have a class of their own, and take memory by their features.
func TestExplainLimits(t *testing.T) {
	p := &parts{}
	entered, leave := make(chan bool), make(chan bool)
	p.work = func(ctx context.Context, _ func(api.Progress)) error {
		entered <- true
		select {
		case <-leave:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	cfg := p.config()
	cfg.Limits.Explain.Concurrency, cfg.Limits.MemoryBytes = 1, 300_000
	s := start(t, cfg)
	one := request{path: api.PathExplain, body: `{"features":["departures.load"],"entities":{"airport":["JFK"]}}`}
	done := make(chan int)
	go func() { status, _, _, _ := s.try(one); done <- status }()
	<-entered
	if status, header, body := s.do(one); status != 429 || header.Get("Retry-After") == "" || !strings.Contains(body, "the class explain") {
		t.Errorf("a second explanation = %d %s", status, body)
	}
	s.want(200, request{path: online, body: goodOnline})
	leave <- true
	if got := <-done; got != 200 {
		t.Errorf("the first explanation = %d", got)
	}
	two := request{path: api.PathExplain, body: `{"features":["departures.load","departures.load"],"entities":{"airport":["JFK"]}}`}
	if status, _, body := s.do(two); status != 413 {
		t.Errorf("an explanation of more features than fit = %d %s", status, body)
	}
	cfg.Limits.Explain.Time = 20 * time.Millisecond
	s = start(t, cfg)
	go func() { <-entered }()
	if status, _, body := s.do(one); status != 503 || errorOf(t, body).Message != "the request took too long" {
		t.Errorf("a slow explanation = %d %s", status, body)
	}
}

func TestRequestTime(t *testing.T) {
	p := &parts{}
	entered, _ := slow(p)
	cfg := p.config()
	cfg.Limits.Read.Time = 20 * time.Millisecond
	s := start(t, cfg)
	go func() { <-entered }()
	status, header, body := s.do(request{path: online, body: goodOnline})
	if status != 503 || header.Get("Retry-After") == "" || errorOf(t, body).Message != "the request took too long" {
		t.Errorf("a slow read = %d %s", status, body)
	}
}

func TestRowLimits(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	cfg.Limits.Rows = 2
	s := start(t, cfg)
	for _, tc := range []struct {
		req    request
		status int
	}{
		{request{path: events, body: `[{},{}]`}, 200},
		{request{path: events, body: `[{},{},{}]`}, 413},
		{request{path: events, body: `{"rows":[{},{},{}]}`}, 413},
		{request{path: events, body: "{}\n{}\n\n", header: media(api.MediaNDJSON)}, 200},
		{request{path: events, body: "{}\n{}\n{}", header: media(api.MediaNDJSON)}, 413},
		{request{path: events + "?partial=true", body: "{}\n{}\n{}", header: media(api.MediaNDJSON)}, 200}, // a stream, in chunks
		{request{path: train, body: `{"service":"delay_model","spine":[{},{},{}]}`}, 413},
		{request{path: train, body: `{"service":"delay_model","spine":{"columns":["a"],"rows":[[1],[2],[3]]}}`}, 413},
	} {
		if status, _, body := s.do(tc.req); status != tc.status {
			t.Errorf("%s %s = %d %s, want %d", tc.req.path, tc.req.body, status, body, tc.status)
		}
	}
}

// TestManyFeatures: a list of features is as long as it likes only up to a point.
func TestManyFeatures(t *testing.T) {
	s := start(t, (&parts{}).config())
	read := func(n int) request {
		return request{path: online, body: `{"features":[` + strings.Repeat(`"departures.load",`, n-1) + `"departures.load"],"entities":{"airport":["JFK"]}}`}
	}
	s.want(200, read(10_000))
	if status, _, body := s.do(read(10_001)); status != 413 {
		t.Errorf("10,001 features = %d %s", status, body)
	}
}

// TestMemoryBudget: what cannot fit is refused for good, what does not fit now for now; everything is given back.
func TestMemoryBudget(t *testing.T) {
	p := &parts{}
	entered, leave := slow(p)
	cfg := p.config()
	cfg.Limits.MemoryBytes = 100_000
	s := start(t, cfg)
	pad := func(n int) string { return `{"request":null,` + ok + `}` + strings.Repeat(" ", n) }
	if status, header, body := s.do(request{path: online, body: pad(30_000)}); status != 413 || header.Get("Retry-After") != "" {
		t.Errorf("a body that never fits = %d %s", status, body)
	}
	inputs := `{"request":{"x":[[` + strings.Repeat("1,", 1000) + `1]]},` + ok + `}` // lists take much more than their text
	if status, _, body := s.do(request{path: online, body: inputs}); status != 413 {
		t.Errorf("inputs that never fit = %d %s", status, body)
	}
	done := make(chan int)
	go func() { status, _, _, _ := s.try(request{path: online, body: pad(15_000)}); done <- status }()
	<-entered
	for _, r := range []request{{path: online, body: pad(15_000)}, {path: events, body: "[" + strings.Repeat("{},", 300) + "{}]"}} {
		if status, header, body := s.do(r); status != 503 || header.Get("Retry-After") == "" {
			t.Errorf("%s = %d %.200s", r.path, status, body)
		}
	}
	s.want(200, request{method: get, path: "/v1/views"})
	close(leave)
	if got := <-done; got != 200 {
		t.Errorf("the admitted read = %d", got)
	}
	go func() {
		for range entered {
		}
	}()
	defer close(entered)
	for range 20 { // nothing is kept
		s.want(200, request{path: online, body: pad(15_000)})
	}
}

// TestSlowClients: who sends nothing, or takes nothing, is cut off, and a refused body is not waited for.
func TestSlowClients(t *testing.T) {
	cfg := (&parts{}).config()
	cfg.Limits.StallTime = 50 * time.Millisecond
	cfg.Limits.Read.Time = time.Second
	p := &parts{train: func(context.Context, *server.Training) (*server.TrainingSet, error) {
		return &server.TrainingSet{Write: func(w io.Writer) error {
			for { // for ever, unless the client is cut off
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		}}, nil
	}}
	cfg.Trainer = p
	s := start(t, cfg)
	for name, text := range map[string]string{
		"half a body":           "POST /v1/features/online HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
		"an unwanted body":      "POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
		"an idle connection":    "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"an answer not taken":   "POST /v1/features/historical HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(trainBody)) + "\r\n\r\n" + trainBody,
		"a body byte by byte":   "POST /v1/events/flights HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n",
		"a stream that stalls":  "POST /v1/events/flights?partial=true HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n",
		"a file that stalls":    "POST /v1/import/flights?format=csv HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
		"a wrong token and all": "GET /v1/views HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.srv.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, text)
			if strings.Contains(text, "historical") {
				eventually(t, "the handler has given up", func() bool {
					return strings.Contains(s.want(200, request{method: get, path: "/metrics"}), `route="/v1/features/historical",status="cut_off"`)
				})
				return
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is still open")
			}
		})
	}
}

const childVar = "LOCKSTEP_TEST_MEMORY_CHILD"

// TestMemoryStaysBounded sends many large bodies at once to a server in a process of its own with a small memory
// limit: some are refused, none of the refusals is an error of the server, and the process stays small.
func TestMemoryStaysBounded(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestMemoryChild$")
	cmd.Env = append(os.Environ(), childVar+"=1", "GOMEMLIMIT=800MiB")
	stop, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the child says nothing")
	}
	url := lines.Text()
	const size, clients = 24 << 20, 24 // 576 MiB of bodies, which would be more than twice that in memory
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{}}
	for range clients {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+events, io.MultiReader(strings.NewReader(`["`), io.LimitReader(letters{}, size), strings.NewReader(`"]`)))
			if err != nil {
				t.Error(err)
				return
			}
			req.ContentLength = size + 4
			resp, err := client.Do(req)
			if err != nil { // refused while sending: the server does not read what it does not take
				mu.Lock()
				statuses[0]++
				mu.Unlock()
				return
			}
			resp.Body.Close()
			mu.Lock()
			statuses[resp.StatusCode]++
			mu.Unlock()
		})
	}
	wg.Wait()
	client.CloseIdleConnections()
	stop.Close()
	peak := 0
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "peak %d", &peak); err == nil {
			break
		}
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
	t.Logf("answers by status (0: cut off while sending): %v; peak %d MiB", statuses, peak>>10)
	if statuses[200] == 0 || statuses[503]+statuses[0] == 0 || statuses[200]+statuses[503]+statuses[0] != clients {
		t.Errorf("answers by status: %v, want some 200, some 503 and no others", statuses)
	}
	if limit := 512 << 10; peak == 0 || peak > limit {
		t.Errorf("the process had %d KiB at its peak, want at most %d", peak, limit)
	}
}

// letters is an endless text.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestMemoryChild is the server of TestMemoryStaysBounded; by itself it does nothing.
func TestMemoryChild(t *testing.T) {
	if os.Getenv(childVar) == "" {
		return
	}
	p := &parts{push: func(context.Context, *server.Push) (*api.PushResponse, error) {
		return &api.PushResponse{Accepted: 1}, nil
	}}
	cfg := p.config()
	s := start(t, cfg)
	fmt.Println(s.url)
	_, _ = io.Copy(io.Discard, os.Stdin)
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if value, ok := strings.CutPrefix(string(line), "VmHWM:"); ok {
			fmt.Println("\npeak", strings.Fields(value)[0])
		}
	}
}
