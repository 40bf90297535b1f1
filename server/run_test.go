package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/server"
)

var get = http.MethodGet

const goodOnline = `{` + ok + `}`

// slow makes reads wait: each sends on entered and goes on when leave is closed.
func slow(p *parts) (entered chan bool, leave chan bool) {
	entered, leave = make(chan bool), make(chan bool)
	p.lookup = func(ctx context.Context, l *feature.Lookup) (*feature.Answer, error) {
		entered <- true
		select {
		case <-leave:
			return &feature.Answer{Path: feature.PathOnline, Cells: make([]feature.Cell, l.Rows()*len(l.Plan.Slots))}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return entered, leave
}

// TestDrain: a request under way when the server is told to stop is answered; new connections are not taken.
func TestDrain(t *testing.T) {
	p := &parts{}
	entered, leave := slow(p)
	s := start(t, p.config())
	answered := make(chan int, 1)
	go func() {
		status, _, _, _ := s.try(request{path: online, body: goodOnline})
		answered <- status
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		conn, err := net.Dial("tcp", s.srv.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server still takes connections")
		}
	}
	close(leave)
	if got := <-answered; got != 200 {
		t.Errorf("the request under way is %d, want 200", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestDrainDelay: while load balancers turn away, readyz says 503 and reads are answered.
func TestDrainDelay(t *testing.T) {
	cfg := (&parts{}).config()
	cfg.Limits.DrainDelay = 300 * time.Millisecond
	s := start(t, cfg)
	s.want(200, request{method: get, path: "/readyz"})
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	eventually(t, "readyz says 503", func() bool {
		status, header, body := s.do(request{method: get, path: "/readyz"})
		return status == 503 && header.Get("Retry-After") != "" && errorOf(t, body).Message == "the server is stopping"
	})
	s.want(200, request{path: online, body: goodOnline})
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestDrainStreams: a training set under way at the stop ends well when it ends in time, and is cut off, so that no
// client takes it for whole, when it does not.
func TestDrainStreams(t *testing.T) {
	for name, endsInTime := range map[string]bool{"in time": true, "too late": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun, finish := make(chan bool), make(chan bool)
			p := &parts{train: func(ctx context.Context, _ *server.Training) (*server.TrainingSet, error) {
				return &server.TrainingSet{Write: func(w io.Writer) error {
					if _, err := w.Write(make([]byte, 1<<20)); err != nil {
						return err
					}
					close(begun)
					select {
					case <-finish:
					case <-ctx.Done():
						return ctx.Err()
					}
					_, err := w.Write([]byte("end"))
					return err
				}}, nil
			}}
			cfg := p.config()
			cfg.Limits.DrainTime = time.Second
			s := start(t, cfg)
			type answer struct {
				body string
				err  error
			}
			answered := make(chan answer, 1)
			go func() {
				_, _, body, err := s.try(request{path: train, body: trainBody})
				answered <- answer{body, err}
			}()
			<-begun
			stopped := make(chan error, 1)
			go func() { stopped <- s.stop() }()
			if endsInTime {
				close(finish)
			}
			got := <-answered
			if whole := got.err == nil && strings.HasSuffix(got.body, "end"); whole != endsInTime {
				t.Errorf("%d bytes, %v; want a whole answer: %v", len(got.body), got.err, endsInTime)
			}
			if err := <-stopped; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFailuresTellNoAddresses: what is not reachable is said, where it is is not.
func TestFailuresTellNoAddresses(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 3), Port: 8123}, Err: errors.New("refused")}
	failed := feature.Errorf(feature.CodeUnavailable, "read the history: %w", feature.Hide(dial, "ClickHouse cannot be reached"))
	p := &parts{
		lookup: func(context.Context, *feature.Lookup) (*feature.Answer, error) { return nil, failed },
		work:   func(context.Context, func(api.Progress)) error { return failed },
	}
	cfg := p.config()
	cfg.Ready = func(context.Context) error { return failed }
	s := start(t, cfg)
	for _, r := range []request{{path: online, body: goodOnline}, {path: api.PathMaterialize, body: `{}`}, {method: get, path: "/readyz"}} {
		if e := errorOf(t, s.want(503, r)); strings.Contains(e.Message, "10.0.0.3") || !strings.HasSuffix(e.Message, "ClickHouse cannot be reached") {
			t.Errorf("%s: %v", r.path, e)
		}
	}
}

// TestDrainDeadline: what does not end in time is cancelled, and its handler has returned when Run returns.
func TestDrainDeadline(t *testing.T) {
	p := &parts{}
	entered, _ := slow(p)
	cfg := p.config()
	cfg.Limits.DrainTime = 20 * time.Millisecond
	s := start(t, cfg)
	answered := make(chan error, 1)
	go func() {
		_, _, _, err := s.try(request{path: online, body: goodOnline})
		answered <- err
	}()
	<-entered
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	<-answered // an error or a 503: both say that there was no answer
}

func TestRunErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := (&parts{}).config()
	cfg.Addr = l.Addr().String()
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if srv.Addr() != nil {
		t.Errorf("Addr = %v before Listen", srv.Addr())
	}
	if err := srv.Run(t.Context()); !errors.Is(err, feature.ErrUnavailable) {
		t.Errorf("Run on a taken port = %v", err)
	}
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func TestOpenAddressNeedsTokens(t *testing.T) {
	good := server.Token{SHA256: hash("a"), Scopes: []string{"read"}}
	for _, tc := range []struct {
		addr   string
		tokens []server.Token
		want   string
	}{
		{"127.0.0.1:0", nil, ""},
		{"[::1]:7600", nil, ""},
		{"localhost:7600", nil, ""},
		{"0.0.0.0:7600", nil, "refusing to listen on 0.0.0.0:7600 without tokens: listen on 127.0.0.1 or configure tokens"},
		{":7600", nil, "refusing to listen on :7600 without tokens: listen on 127.0.0.1 or configure tokens"},
		{"10.0.0.1:7600", nil, "refusing to listen on 10.0.0.1:7600 without tokens: listen on 127.0.0.1 or configure tokens"},
		{":7600", []server.Token{good}, ""},
		{":7600", []server.Token{good, {SHA256: "abc"}}, "token 2: expected a SHA-256 in 64 hexadecimal digits"},
		{":7600", []server.Token{{SHA256: hash("a"), Scopes: []string{"root"}}}, `token 1: unknown scope "root": expected read, write or admin`},
	} {
		cfg := (&parts{}).config()
		cfg.Addr, cfg.Tokens = tc.addr, tc.tokens
		got := ""
		if _, err := server.New(cfg); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("New on %s = %q, want %q", tc.addr, got, tc.want)
		}
	}
}

func TestTokens(t *testing.T) {
	p := &parts{}
	cfg := p.config()
	cfg.Addr = "0.0.0.0:0"
	cfg.Tokens = []server.Token{
		{SHA256: hash("reader"), Scopes: []string{"read"}},
		{SHA256: strings.ToUpper(hash("all")), Scopes: []string{"read", "write", "admin"}},
	}
	s := start(t, cfg)
	_, port, _ := net.SplitHostPort(s.srv.Addr().String())
	s.url = "http://127.0.0.1:" + port
	read := request{path: online, body: goodOnline}
	write := request{path: events, body: `[{}]`}
	admin := request{path: api.PathRegistryApply, body: `{"files":{}}`}
	for _, tc := range []struct {
		auth   string
		req    request
		status int
	}{
		{"", read, 401},
		{"Bearer ", read, 401},
		{"Bearer wrong", read, 401},
		{"Basic reader", read, 401},
		{"reader", read, 401},
		{"Bearer reader", read, 200},
		{"bearer reader", read, 200},
		{"Bearer reader", write, 403},
		{"Bearer reader", admin, 403},
		{"Bearer all", read, 200},
		{"Bearer all", write, 200},
		{"Bearer all", admin, 200},
		{"", request{method: get, path: "/healthz"}, 200},
		{"", request{method: get, path: "/readyz"}, 200},
		{"", request{method: get, path: "/openapi.json"}, 200},
		{"", request{method: get, path: "/metrics"}, 401},
		{"", request{method: get, path: "/nothing"}, 404},
	} {
		tc.req.header = map[string]string{}
		if tc.auth != "" {
			tc.req.header["Authorization"] = tc.auth
		}
		status, header, body := s.do(tc.req)
		if status != tc.status || (status == 401) != (header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s with %q = %d %s, want %d", tc.req.path, tc.auth, status, body, tc.status)
		}
	}
}

func TestUnixSocketNeedsNoToken(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := (&parts{}).config()
	cfg.Listener = l
	start(t, cfg)
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /v1/views HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if b, _ := io.ReadAll(conn); !strings.HasPrefix(string(b), "HTTP/1.1 200") {
		t.Errorf("answered %q", b)
	}
}

func TestForeignPage(t *testing.T) {
	s := start(t, (&parts{}).config())
	s.want(403, request{path: events, body: `[{}]`, header: map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}})
	s.want(403, request{path: events, body: `[{}]`, header: map[string]string{"Origin": "https://evil.example"}})
	s.want(200, request{path: events, body: `[{}]`, header: map[string]string{"Origin": s.url}})
}

func TestOverload(t *testing.T) {
	p := &parts{}
	entered, leave := slow(p)
	cfg := p.config()
	cfg.Limits.Read.Concurrency = 2
	s := start(t, cfg)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if status, _, _, err := s.try(request{path: online, body: goodOnline}); status != 200 {
				t.Errorf("an admitted request is %d, %v", status, err)
			}
		})
	}
	<-entered
	<-entered
	status, header, _ := s.do(request{method: get, path: api.PathViews})
	if status != 429 || header.Get("Retry-After") == "" {
		t.Errorf("a third request is %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	s.want(200, request{method: get, path: "/healthz"})
	close(leave)
	wg.Wait()
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	p := &parts{lookup: func(context.Context, *feature.Lookup) (*feature.Answer, error) { panic("secret") }}
	cfg := p.config()
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := start(t, cfg)
	if e := errorOf(t, s.want(500, request{path: online, body: goodOnline})); strings.Contains(e.Message, "secret") {
		t.Errorf("answered %v", e)
	}
	p.lookup = func(context.Context, *feature.Lookup) (*feature.Answer, error) { return &feature.Answer{}, nil }
	s.want(500, request{path: online, body: goodOnline}) // too few cells
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "cause=secret") || !strings.Contains(text, "run_test.go") || !strings.Contains(text, "answered 0 cells for 1") {
		t.Errorf("logged %s", text)
	}
}

func TestAbsentParts(t *testing.T) {
	full := (&parts{}).config()
	s := start(t, server.Config{Addr: full.Addr, Catalog: full.Catalog, AllowSQL: true})
	for _, r := range []request{
		{path: online, body: goodOnline},
		{path: train, body: trainBody},
		{path: events, body: `[]`},
		{path: imports, body: `x`},
		{path: api.PathRegistryPlan, body: `{"files":{}}`},
		{method: get, path: api.PathRegistrySchema},
		{method: get, path: api.PathStatus},
		{method: get, path: api.PathDeadLetters},
		{method: get, path: "/v1/deadletters/1"},
		{path: api.PathReplay, body: `{}`},
		{path: api.PathErase, body: `{}`},
		{path: api.PathMaterialize, body: `{}`},
		{path: api.PathVerify, body: `{}`},
		{path: api.PathSQL, body: `{}`},
	} {
		if e := errorOf(t, s.want(404, r)); !strings.HasPrefix(e.Message, "this process does not ") {
			t.Errorf("%s: %v", r.path, e)
		}
	}
}

func TestReadyAndMetrics(t *testing.T) {
	p := &parts{cells: airports(t)}
	cfg := p.config()
	ready := errors.New("departures@2 is joining")
	cfg.Ready = func(context.Context) error { return ready }
	var degraded []string
	cfg.Degraded = func() []string { return degraded }
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "lockstep_replica_lag_seconds"})
	gauge.Set(3)
	cfg.Collectors = []prometheus.Collector{gauge}
	s := start(t, cfg)
	if e := errorOf(t, s.want(503, request{method: get, path: "/readyz"})); e.Message != "not ready: departures@2 is joining" {
		t.Errorf("not ready: %v", e)
	}
	ready = nil
	if got := s.want(200, request{method: get, path: "/readyz"}); got != `{"status":"ok"}`+"\n" {
		t.Errorf("ready: %s", got)
	}
	degraded = []string{"ClickHouse does not follow the log"}
	if got := s.want(200, request{method: get, path: "/readyz"}); got != `{"status":"degraded","degraded":["ClickHouse does not follow the log"]}`+"\n" {
		t.Errorf("degraded: %s", got)
	}
	s.want(200, request{path: online, body: `{"service":"delay_model","entities":{"airport":["JFK","LAX"],"destination":["SFO","SFO"]}}`})
	s.want(200, request{path: events + "?partial=true", body: `[{},5]`})
	s.do(request{method: "BREW", path: "/x"})
	text := s.want(200, request{method: get, path: "/metrics"})
	for _, want := range []string{
		`lockstep_replica_lag_seconds 3`,
		`lockstep_online_rows_total{path="online"} 2`,
		`lockstep_online_values_total{status="expired"} 2`, `lockstep_online_values_total{status="missing"} 2`, `lockstep_online_values_total{status="present"} 2`,
		`lockstep_event_rows_total{outcome="accepted"} 1`, `lockstep_event_rows_total{outcome="refused"} 1`,
		`lockstep_http_request_duration_seconds_bucket{method="POST",route="/v1/features/online",status="200",le="5e-05"}`,
		`lockstep_http_request_duration_seconds_count{method="POST",route="/v1/events/:source",status="200"} 1`,
		`lockstep_http_request_duration_seconds_count{method="other",route="unmatched",status="404"} 1`,
		`lockstep_http_requests_in_flight 1`, `go_goroutines`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	cfg.Collectors = append(cfg.Collectors, gauge)
	if _, err := server.New(cfg); err == nil {
		t.Error("New takes a collector twice")
	}
}
