package server_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/server"
)

// audited is a request for every route whose actions are recorded, and what is recorded of it.
func audited() map[string]struct {
	req    request
	target string
	detail string
} {
	return map[string]struct {
		req    request
		target string
		detail string
	}{
		"apply":       {request{path: api.PathRegistryApply, body: `{"files":{"b.yaml":"","a.yaml":"x"},"delete":["view/x"]}`}, "", "a.yaml,b.yaml"},
		"rollback":    {request{path: api.PathRollback, body: `{"service":"delay_model"}`}, "delay_model", ""},
		"import":      {request{path: imports + "?format=csv&name=march.csv&replace=true", body: "x", header: media(api.MediaOctets)}, "flights", "march.csv"},
		"historical":  {request{path: train, body: trainBody}, "delay_model@3", "departures@2"},
		"replay":      {request{path: api.PathReplay, body: `{"source":"flights"}`}, "flights", "false"},
		"erase":       {request{path: api.PathErase, body: `{"keys":{"flight":[7,8],"window":[true,true],"day":["2001-06-25","2001-06-26"]},"entity":"seat"}`}, "seat", "2"},
		"materialize": {request{path: api.PathMaterialize, body: `{"views":["departures","seats"],"full":true}`}, "departures,seats", "true"},
		"sql":         {request{path: api.PathSQL, body: `{"query":"SELECT 1"}`}, "", "SELECT 1"},
	}
}

// TestAudit: every route that changes or takes out something is recorded, before it is done and when it has ended.
func TestAudit(t *testing.T) {
	tr := &trail{}
	cfg := (&parts{}).config()
	cfg.Auditor = tr
	cfg.Tokens = []server.Token{{Name: "ann", SHA256: hash("t"), Scopes: []string{"read", "write", "admin"}}}
	s := start(t, cfg)
	cases := audited()
	for _, r := range api.Routes() {
		tc, listed := cases[r.Name]
		// What an administrator may do, and importing and exporting, is recorded; plan changes nothing, and audit only tells.
		must := r.Scope == api.ScopeAdmin && r.Name != "plan" && r.Name != "audit" || r.Name == "import" || r.Name == "historical"
		if r.Audited != listed || r.Audited != must {
			t.Errorf("%s %s: audited %v, in the table %v, must be %v", r.Method, r.Path, r.Audited, listed, must)
		}
		if !listed {
			continue
		}
		tr.take()
		if tc.req.header == nil {
			tc.req.header = map[string]string{}
		}
		tc.req.header["Authorization"] = "Bearer t"
		s.want(200, tc.req)
		entries := tr.take()
		if len(entries) != 2 {
			t.Errorf("%s: recorded %+v", r.Name, entries)
			continue
		}
		begin, end := entries[0], entries[1]
		details := ""
		for _, v := range begin.Details {
			details += v + ";"
		}
		if begin.Phase != api.AuditBegin || begin.Action != r.Name || begin.Target != tc.target || begin.Who != "ann" || begin.ID == "" ||
			!strings.HasPrefix(begin.Remote, "127.0.0.1:") || begin.Time.IsZero() || !strings.Contains(details, tc.detail) {
			t.Errorf("%s begins with %+v", r.Name, begin)
		}
		want := begin
		want.Phase, want.Details, want.Status = api.AuditEnd, nil, 200
		if diff := cmp.Diff(want, end); diff != "" {
			t.Errorf("%s ends with (-want +got):\n%s", r.Name, diff)
		}
	}
}

// TestAuditOfFailures: what fails, is cut off or is refused is recorded as that; what cannot be recorded is not done.
func TestAuditOfFailures(t *testing.T) {
	tr, p := &trail{}, &parts{}
	cfg := p.config()
	cfg.Auditor = tr
	cfg.Tokens = []server.Token{{Name: "ann", SHA256: hash("t"), Scopes: []string{"read", "admin"}}}
	s := start(t, cfg)
	do := func(r request, token string) (last api.AuditEntry, status int) {
		t.Helper()
		tr.take()
		r.header = map[string]string{"Authorization": "Bearer " + token}
		status, _, _, _ = s.try(r)
		if entries := tr.take(); len(entries) > 0 {
			last = entries[len(entries)-1]
		}
		return last, status
	}
	p.failed = errBroken
	if e, _ := do(request{path: api.PathRegistryApply, body: `{"files":{}}`}, "t"); e.Phase != api.AuditEnd || e.Status != 500 || e.Code != "internal" {
		t.Errorf("a failure: %+v", e)
	}
	p.train = endless(errBroken)
	if e, _ := do(request{path: train, body: trainBody}, "t"); e.Phase != api.AuditEnd || e.Status != 0 || e.Code != "internal" {
		t.Errorf("an answer that was cut off: %+v", e)
	}
	if e, _ := do(request{path: api.PathRegistryApply, body: `{`}, "t"); e.ID != "" {
		t.Errorf("a request that asks for nothing: %+v", e)
	}
	if e, status := do(request{path: events, body: `[{}]`}, "t"); status != 403 || e.Phase != api.AuditRefused || e.Who != "ann" || e.Action != "push" || e.Status != 403 || e.Code != "forbidden" {
		t.Errorf("a token without the scope: %+v", e)
	}
	if e, status := do(request{path: events, body: `[{}]`}, "guess"); status != 401 || e.Phase != api.AuditRefused || e.Who != "" || e.Code != "unauthorized" {
		t.Errorf("an unknown token: %+v", e)
	}
	tr.mu.Lock()
	tr.failed = errors.New("disk full")
	tr.mu.Unlock()
	p.changes = nil
	if _, status := do(request{path: api.PathRegistryApply, body: `{"files":{}}`}, "t"); status != 503 || len(p.changes) != 0 {
		t.Errorf("what cannot be recorded: %d, done %d times", status, len(p.changes))
	}
}

// TestRefusalsAreFew: who is refused cannot fill the disk.
func TestRefusalsAreFew(t *testing.T) {
	tr := &trail{}
	cfg := (&parts{}).config()
	cfg.Auditor = tr
	cfg.Tokens = []server.Token{{SHA256: hash("t"), Scopes: []string{"read"}}}
	begun := cfg.Now()
	var later atomic.Int64
	cfg.Now = func() time.Time { return begun.Add(time.Duration(later.Load())) }
	s := start(t, cfg)
	for range 30 {
		s.want(401, request{method: get, path: "/v1/views"})
	}
	later.Store(int64(time.Second))
	s.want(401, request{method: get, path: "/v1/views"})
	entries := tr.take()
	if n := len(entries); n != 11 || entries[10].Skipped != 20 {
		t.Errorf("%d entries: %+v", n, entries)
	}
}

// endless is a training set that never ends, until its client has taken some of it: then it fails.
func endless(err error) func(context.Context, *server.Training) (*server.TrainingSet, error) {
	return func(context.Context, *server.Training) (*server.TrainingSet, error) {
		return &server.TrainingSet{Write: func(w io.Writer) error {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
			return err
		}}, nil
	}
}
