package server_test

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/server"
)

// scopes is what each route must demand. It is written by hand, so that a route cannot get another scope, or come
// without a decision, unnoticed.
var scopes = map[string]string{
	"POST /v1/features/explain": "read", "POST /v1/features/online": "read", "POST /v1/features/historical": "read", "POST /v1/verify": "read",
	"GET /v1/entities": "read", "GET /v1/entities/{name}": "read", "GET /v1/sources": "read", "GET /v1/sources/{name}": "read",
	"GET /v1/views": "read", "GET /v1/views/{name}": "read", "GET /v1/services": "read", "GET /v1/services/{name}": "read",
	"GET /v1/services/{name}/versions": "read", "GET /v1/registry": "read", "GET /v1/registry/schema": "read", "GET /v1/status": "read",
	"GET /v1/deadletters": "read", "GET /v1/deadletters/{seq}": "read", "POST /v1/deadletters/replay": "admin", "POST /v1/erase": "admin", "GET /metrics": "read",
	"POST /v1/events/{source}": "write", "POST /v1/import/{source}": "write",
	"POST /v1/registry/plan": "admin", "POST /v1/registry/apply": "admin", "POST /v1/registry/rollback": "admin", "POST /v1/materialize": "admin", "GET /v1/audit": "admin", "POST /v1/sql": "admin",
	"POST /get-online-features": "read", "POST /push": "write", "POST /write-to-online-store": "write",
	"GET /healthz": "", "GET /readyz": "", "GET /openapi.json": "",
}

// TestScopes calls every route of the OpenAPI document with a token of each scope, with none and with a wrong one.
func TestScopes(t *testing.T) {
	cfg := (&parts{}).config()
	cfg.Addr = "0.0.0.0:0"
	all := []string{"read", "write", "admin"}
	for _, scope := range all {
		cfg.Tokens = append(cfg.Tokens, server.Token{Name: scope, SHA256: hash(scope), Scopes: []string{scope}})
	}
	s := start(t, cfg)
	s.url = "http://127.0.0.1:" + port(t, s)
	var doc struct {
		Paths map[string]map[string]struct {
			Scope string `json:"x-lockstep-scope"`
		}
	}
	if err := json.Unmarshal([]byte(s.want(200, request{method: get, path: api.PathOpenAPI})), &doc); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			method = strings.ToUpper(method)
			want, decided := scopes[method+" "+path]
			if !decided || op.Scope != want {
				t.Errorf("%s %s: the document says scope %q, want %q (decided: %v)", method, path, op.Scope, want, decided)
			}
			seen++
			for _, token := range append(all, "", "wrong") {
				r := request{method: method, path: strings.NewReplacer("{name}", "flights", "{source}", "flights").Replace(path), header: map[string]string{}}
				if token != "" {
					r.header["Authorization"] = "Bearer " + token
				}
				status, _, body := s.do(r)
				switch {
				case want == "" || token == want:
					if status == 401 || status == 403 {
						t.Errorf("%s %s with token %q = %d %s", method, path, token, status, body)
					}
				case slices.Contains(all, token) && status != 403, !slices.Contains(all, token) && status != 401:
					t.Errorf("%s %s with token %q = %d %s", method, path, token, status, body)
				}
			}
		}
	}
	if seen != len(scopes) {
		t.Errorf("the document has %d routes, the table %d", seen, len(scopes))
	}
}

func port(t *testing.T, s *site) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestBrowsers: no page of somebody else reaches a server without tokens, also when it has given its own name the
// address of this machine.
func TestBrowsers(t *testing.T) {
	s := start(t, (&parts{}).config())
	cfg := (&parts{}).config()
	cfg.Tokens = []server.Token{{SHA256: hash("t"), Scopes: []string{"read"}}}
	guarded := start(t, cfg)
	p := port(t, s)
	for _, tc := range []struct {
		host, origin, site string
		status             int
	}{
		{"127.0.0.1:" + p, "", "", 200},
		{"localhost:" + p, "", "", 200},
		{"LOCALHOST", "", "", 200},
		{"[::1]:" + p, "", "", 200},
		{"127.9.9.9", "", "", 200},
		{"127.0.0.1:" + p, "http://127.0.0.1:" + p, "same-origin", 200},
		{"127.0.0.1:" + p, "", "none", 200}, // typed into the address bar
		{"evil.example:" + p, "", "", 403},
		{"evil.example:" + p, "http://evil.example:" + p, "same-origin", 403},
		{"localhost.evil.example", "", "", 403},
		{"127.0.0.1.evil.example", "", "", 403},
		{"10.0.0.1:" + p, "", "", 403},
		{"0.0.0.0:" + p, "", "", 403},
		{"127.0.0.1:" + p, "https://evil.example", "", 403},
		{"127.0.0.1:" + p, "https://evil.example", "cross-site", 403},
		{"127.0.0.1:" + p, "", "cross-site", 403},
		{"127.0.0.1:" + p, "null", "", 403},
		{"127.0.0.1:" + p, "http://127.0.0.1:1", "", 403},
	} {
		for _, r := range []request{{method: get, path: "/v1/views"}, {method: get, path: "/metrics"}, {path: online, body: goodOnline}, {method: get, path: "/nothing"}} {
			status := s.browse(r, tc.host, tc.origin, tc.site)
			if want := tc.status; status != want && (want != 200 || r.path != "/nothing") {
				t.Errorf("%s with host %q, origin %q, site %q = %d, want %d", r.path, tc.host, tc.origin, tc.site, status, want)
			}
		}
	}
	// With tokens the name does not matter: a page does not know one.
	if status := guarded.browse(request{method: get, path: "/v1/views", header: map[string]string{"Authorization": "Bearer t"}}, "features.example", "", ""); status != 200 {
		t.Errorf("with a token, under another name = %d", status)
	}
	guarded.want(401, request{method: get, path: "/v1/views"})
}

// browse sends a request as a browser does.
func (s *site) browse(r request, host, origin, from string) int {
	s.t.Helper()
	method := r.method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+r.path, strings.NewReader(r.body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Host = host
	for name, value := range map[string]string{"Origin": origin, "Sec-Fetch-Site": from, "Authorization": r.header["Authorization"]} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
