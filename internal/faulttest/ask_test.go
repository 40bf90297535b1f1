package faulttest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// request is what a user sends; without a body it is a GET.
type request struct{ path, body string }

// Requests and what they need.
var (
	pushRows      = request{"/v1/events/clicks", `[{"number": -1, "user": "nobody", "at": "2026-01-01T00:00:00Z"}]`}
	pushIDs       = request{"/v1/events/orders", `[{"number": -1, "user": "nobody", "at": "2026-01-01T00:00:00Z"}]`}
	apply         = request{"/v1/registry/apply", `{"files": {"more.yaml": "kind: source\nname: visits\ncolumns: {number: int64, user: string, at: timestamp}\nevent_time: at"}}`}
	listLetters   = request{"/v1/deadletters", ""}
	readNow       = request{"/v1/features/online", `{"service": "users", "entities": {"user": ["a"]}}`}
	readHistory   = request{"/v1/features/online", `{"service": "users", "entities": {"user": ["a"]}, "path": "offline"}`}
	readLongAgo   = request{"/v1/features/online", `{"service": "users", "entities": {"user": ["a"]}, "at": "2020-01-01T00:00:00Z"}`}
	train         = request{"/v1/features/historical", `{"service": "users", "spine": [{"user": "a", "time": "2026-01-01T00:00:00Z"}], "format": "jsonl"}`}
	query         = request{"/v1/sql", `{"query": "SELECT 1"}`}
	importFile    = request{"/v1/import/clicks?format=jsonl&name=one", `{"number": -2, "user": "nobody", "at": "2026-01-01T00:00:00Z"}`}
	verifyService = request{"/v1/verify", `{"service": "users"}`}
	eraseKey      = request{"/v1/erase", `{"entity": "user", "keys": {"user": ["nobody"]}}`}
)

// answer is what a user sees.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

// ask sends a request as any client would, once.
func (s *stack) ask(r request) answer {
	s.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if r.body != "" {
		method, body = http.MethodPost, strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(s.within(), method, s.url+r.path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", api.MediaJSON)
	if r == importFile {
		req.Header.Set("Content-Type", api.MediaNDJSON)
	}
	begun := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("%s: %v", r.path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s: %v", r.path, err)
	}
	if found := internals.Find(b); found != nil {
		s.t.Errorf("%s: the answer has %q in it: %s", r.path, found, b)
	}
	return answer{resp.StatusCode, resp.Header, string(b), time.Since(begun)}
}

// internals are what no answer names: addresses, URLs, folders.
var internals = regexp.MustCompile(`127\.0\.0\.1|localhost|://|\bdial\b|tcp|/tmp/|goroutine`)

// longest is how long an answer that something is away may take: some tries within the patience of the node.
const longest = 20 * time.Second

// wantAway makes sure that requests are refused for now, soon, and say why and when to come again. A long operation may
// have begun to answer: then its last line says so.
func (s *stack) wantAway(requests ...request) {
	s.t.Helper()
	for _, r := range requests {
		a := s.ask(r)
		var last struct{ Error *feature.Error }
		lines := bytes.Split(bytes.TrimSpace([]byte(a.body)), []byte("\n"))
		err := json.Unmarshal(lines[len(lines)-1], &last)
		switch {
		case err != nil || last.Error == nil || last.Error.Code != feature.CodeUnavailable || last.Error.Message == "":
			s.t.Errorf("%s %s: %d %s, want an error %s", r.path, r.body, a.status, a.body, feature.CodeUnavailable)
		case a.status == http.StatusOK && strings.HasPrefix(a.header.Get("Content-Type"), api.MediaNDJSON):
		case a.status != http.StatusServiceUnavailable:
			s.t.Errorf("%s: status %d, want 503", r.path, a.status)
		default:
			if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 {
				s.t.Errorf("%s: Retry-After %q, want seconds", r.path, a.header.Get("Retry-After"))
			}
		}
		if a.took > longest {
			s.t.Errorf("%s: it took %s to say that something is away", r.path, a.took)
		}
	}
}

// wantAnswer makes sure that requests are answered. What needs ClickHouse may take it too long at times, on a busy machine.
func (s *stack) wantAnswer(requests ...request) {
	s.t.Helper()
	for _, r := range requests {
		a := s.ask(r)
		for try := 1; try < 5 && strings.Contains(a.body, "did not answer in time"); try++ {
			a = s.ask(r)
		}
		if a.status != http.StatusOK {
			s.t.Errorf("%s %s: %d %s after %s, want 200", r.path, r.body, a.status, a.body, a.took)
		}
	}
}

// wantDegraded waits until readyz says that the node is ready and degraded, and status that something is stale, both with a
// text.
func (s *stack) wantDegraded(text string) {
	s.t.Helper()
	s.eventually("readyz and status say "+text, func() bool {
		ready := s.ask(request{path: api.PathReady})
		var h api.Health
		if ready.status != http.StatusOK || json.Unmarshal([]byte(ready.body), &h) != nil || h.Status != "degraded" || !mentions(h.Degraded, text) {
			return false
		}
		return mentions(s.status().Stale, text)
	})
}

// wantWell waits until readyz says that nothing is degraded.
func (s *stack) wantWell() {
	s.t.Helper()
	s.eventually("readyz is ok", func() bool {
		a := s.ask(request{path: api.PathReady})
		var h api.Health
		return a.status == http.StatusOK && json.Unmarshal([]byte(a.body), &h) == nil && h.Status == "ok"
	})
}

func mentions(texts []string, text string) bool {
	return strings.Contains(strings.Join(texts, "\n"), text)
}

// wantStale waits until a read by a path is answered and says that it is stale, with a text.
func (s *stack) wantStale(path feature.Path, text string) {
	s.t.Helper()
	s.eventually("answers say that they are stale: "+text, func() bool {
		_, _, meta, err := s.read("a", path)
		return err == nil && mentions(meta.Stale, text)
	})
}

// outage is how long things are away: some seconds, or LOCKSTEP_OUTAGE, such as 1m.
func (s *stack) outage() time.Duration {
	text := os.Getenv("LOCKSTEP_OUTAGE")
	if text == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatalf("LOCKSTEP_OUTAGE: %v", err)
	}
	return d
}

// during calls f again and again for as long as an outage takes.
func (s *stack) during(f func()) {
	s.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(s.outage()); time.Now().Before(end); <-tick.C {
		f()
	}
}
