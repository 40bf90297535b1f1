package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// catalog has an airport view that the service uses in two roles, and a view with a composite key of all
// key types.
func catalog() *feature.Catalog {
	airport := &feature.Entity{Name: "airport", Key: []feature.Field{{Name: "airport", Type: feature.String}}}
	seat := &feature.Entity{Name: "seat", Key: []feature.Field{
		{Name: "flight", Type: feature.Int64}, {Name: "window", Type: feature.Bool}, {Name: "day", Type: feature.Timestamp},
	}}
	flights := &feature.Source{
		Name: "flights", Version: 1, EventTime: "known_at", MaxFuture: feature.Hour,
		Columns: []feature.Field{{Name: "origin", Type: feature.String}, {Name: "known_at", Type: feature.Timestamp}, {Name: "delay", Type: feature.Int64}},
	}
	departures := &feature.View{
		Name: "departures", Version: 2, Entity: *airport, Keys: []string{"origin"}, Source: "flights", History: 8 * feature.Day,
		Features: []feature.Feature{
			{Name: "last_delay", Latest: "delay", Type: feature.Int64, TTL: 7 * feature.Day, Default: feature.Int64Value(0)},
			{Name: "seen", Latest: "known_at", Type: feature.Timestamp},
			{Name: "load", Latest: "delay", Type: feature.Float64},
		},
	}
	seats := &feature.View{
		Name: "seats", Version: 1, Entity: *seat, Keys: []string{"f", "w", "d"}, Source: "flights", History: feature.Minute,
		Features: []feature.Feature{{Name: "price", Latest: "delay", Type: feature.Float64}},
	}
	old := *departures
	old.Version = 1
	items := func(v *feature.View) []feature.Item {
		return []feature.Item{
			{View: v, Role: "departures", Keys: []string{"airport"}, Features: []int{0, 1}},
			{View: v, Role: "dest", Keys: []string{"destination"}, Features: []int{0}},
		}
	}
	return &feature.Catalog{
		Revision: 7, Entities: []*feature.Entity{airport, seat}, Sources: []*feature.Source{flights}, Views: []*feature.View{&old, departures, seats},
		Services: []*feature.Service{
			{Name: "delay_model", Version: 2, Items: items(&old)},
			{Name: "delay_model", Version: 3, Items: items(departures)},
		},
	}
}

// parts is everything a server needs, in memory. The functions that are nil do what is plain.
type parts struct {
	mu      sync.Mutex
	cells   map[string][]feature.Cell // by the text of the key of an item
	lookups []*feature.Lookup
	paths   []feature.Path
	pushes  []server.Push
	spines  []string // the text of the spines of training sets and files of imports
	trained []server.Training
	imports []server.Import
	changes []api.RegistryRequest
	erased  []*server.Erasure

	lookup func(ctx context.Context, l *feature.Lookup) (*feature.Answer, error)
	train  func(ctx context.Context, t *server.Training) (*server.TrainingSet, error)
	push   func(ctx context.Context, p *server.Push) (*api.PushResponse, error)
	work   func(ctx context.Context, progress func(api.Progress)) error // of imports, materializations, verifications and explanations
	query  func(ctx context.Context, query string) (*server.Table, error)
	failed error // of registry and status
}

func (p *parts) Lookup(ctx context.Context, l *feature.Lookup, path feature.Path) (*feature.Answer, error) {
	p.mu.Lock()
	p.lookups, p.paths = append(p.lookups, l), append(p.paths, path)
	p.mu.Unlock()
	if p.lookup != nil {
		return p.lookup(ctx, l)
	}
	a := &feature.Answer{Path: feature.PathOnline, Cut: feature.Cut{Log: "l", Seq: 81234}}
	for row := range l.Rows() {
		for _, s := range l.Plan.Slots {
			item := l.Plan.Items[s.Item]
			var key feature.Key
			for _, name := range item.Keys {
				key = append(key, l.Keys[feature.FieldIndex(l.Plan.Keys, name)][row])
			}
			cell := feature.Cell{Value: item.View.Features[s.Feature].Default}
			if known := p.cells[key.String()]; known != nil {
				cell = known[s.Feature]
			}
			a.Cells = append(a.Cells, cell)
		}
	}
	return a, nil
}

// Asked takes rows of numbers of one column alone, n.
func (p *parts) Asked(source string, rows []json.RawMessage) (*feature.Batch, error) {
	b := &feature.Batch{Source: source, Fields: []feature.Field{{Name: "n", Type: feature.Int64}}, Columns: []feature.Column{{Type: feature.Int64}}}
	bad := feature.Errorf(feature.CodeInvalid, "the events cannot be taken")
	for i, raw := range rows {
		var row struct{ N *int64 }
		if err := json.Unmarshal(raw, &row); err != nil || row.N == nil {
			bad.Details = append(bad.Details, feature.Detail{Row: &i, Field: "n", Message: "expected a number"})
			continue
		}
		b.Append([]feature.Value{feature.Int64Value(*row.N)})
	}
	if len(bad.Details) > 0 {
		return nil, bad
	}
	return b, nil
}

func (p *parts) Train(ctx context.Context, t *server.Training) (*server.TrainingSet, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	spine, err := os.ReadFile(t.Spine.File)
	if t.Spine.File != "" && err != nil {
		return nil, err
	}
	p.trained, p.spines = append(p.trained, *t), append(p.spines, string(spine))
	if p.train != nil {
		return p.train(ctx, t)
	}
	fields := []feature.Field{{Name: "airport", Type: feature.String}, {Name: "departures.last_delay", Type: feature.Int64}}
	return &server.TrainingSet{Fields: fields, Meta: map[string]string{"service": t.Plan.Service.String()}, Write: func(w io.Writer) error {
		_, err := io.WriteString(w, `{"airport":"JFK","departures.last_delay":12}`+"\n")
		return err
	}}, nil
}

func (p *parts) Push(ctx context.Context, push *server.Push) (*api.PushResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := *push
	kept.Rows = nil
	for _, r := range push.Rows {
		kept.Rows = append(kept.Rows, bytes.Clone(r))
	}
	p.pushes = append(p.pushes, kept)
	if p.push != nil {
		return p.push(ctx, push)
	}
	out := &api.PushResponse{Seq: uint64(len(p.pushes))}
	for i, r := range push.Rows {
		if json.Valid(r) && r[0] == '{' {
			out.Accepted++
		} else {
			out.Refused = append(out.Refused, feature.Detail{Row: &i, Message: "expected a JSON object"})
		}
	}
	return out, nil
}

func (p *parts) worked(ctx context.Context, progress func(api.Progress)) error {
	if p.work != nil {
		return p.work(ctx, progress)
	}
	progress(api.Progress{Stage: "load", Done: 0.5, Rows: 1})
	progress(api.Progress{Stage: "load", Done: 1, Rows: 2})
	return nil
}

func (p *parts) Import(ctx context.Context, im *server.Import, progress func(api.Progress)) (*api.ImportResult, error) {
	text, err := os.ReadFile(im.File)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.imports, p.spines = append(p.imports, *im), append(p.spines, string(text))
	p.mu.Unlock()
	return &api.ImportResult{Rows: 2, Generation: 9, Seq: 4}, p.worked(ctx, progress)
}

func (p *parts) Plan(_ context.Context, r *api.RegistryRequest) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes = append(p.changes, *r)
	return map[string]any{"changes": len(r.Files)}, p.failed
}

func (p *parts) Apply(ctx context.Context, r *api.RegistryRequest) (any, error) {
	return p.Plan(ctx, r)
}

func (p *parts) Rollback(_ context.Context, service string) (any, error) {
	return map[string]any{"service": service}, p.failed
}

func (p *parts) Status(context.Context) (*api.Status, error) {
	return &api.Status{Version: "v1", Started: time.Unix(1e9, 0).UTC(), Roles: []string{"serve"}, Revision: 7, Log: &api.LogStatus{ID: "l", Last: 5}}, p.failed
}

func (p *parts) DeadLetters(_ context.Context, q api.DeadLetterQuery) ([]api.DeadLetter, error) {
	var out []api.DeadLetter
	for seq := q.After + 1; seq <= 5 && len(out) < q.Limit; seq++ {
		out = append(out, api.DeadLetter{Seq: seq, Source: "flights", Reason: "bad", Raw: "{"})
	}
	return out, nil
}

func (p *parts) DeadLetter(_ context.Context, seq uint64) (*api.DeadLetter, error) {
	if seq > 5 {
		return nil, feature.Errorf(feature.CodeNotFound, "there is no dead letter %d", seq)
	}
	return &api.DeadLetter{Seq: seq, Source: "flights", Reason: "bad", Raw: "{"}, p.failed
}

func (p *parts) ReplayLetters(ctx context.Context, r *server.Replay, progress func(api.Progress)) (*api.ReplayResult, error) {
	return &api.ReplayResult{Taken: len(r.Letters), Seq: 9}, p.worked(ctx, progress)
}

func (p *parts) Erase(ctx context.Context, e *server.Erasure, progress func(api.Progress)) (*api.EraseResult, error) {
	p.mu.Lock()
	p.erased = append(p.erased, e)
	p.mu.Unlock()
	return &api.EraseResult{Seq: 5, Sources: []api.ErasedSource{{Source: "flights", Columns: []string{"origin"}, Rows: 2}}, Rebuilt: []string{}, Left: []string{"backups"}}, p.worked(ctx, progress)
}

func (p *parts) Materialize(ctx context.Context, _ *api.MaterializeRequest, progress func(api.Progress)) (*api.MaterializeResult, error) {
	return &api.MaterializeResult{Seq: 3, Views: []api.MaterializedView{{View: "departures@2", Keys: 2}}}, p.worked(ctx, progress)
}

func (p *parts) Explain(ctx context.Context, l *feature.Lookup) (*api.Explanation, error) {
	value := feature.Int64Value(1)
	return &api.Explanation{At: l.At.Std(), Keys: map[string]feature.Value{}, Features: []api.Explained{{
		Feature: l.Plan.Names[0], Online: &api.Cell{}, Sums: []api.ExplainedSum{{Online: value, Offline: &value}}, Events: []api.ExplainedEvent{{Notes: []string{"late"}}},
	}}}, p.worked(ctx, func(api.Progress) {})
}

func (p *parts) Verify(ctx context.Context, v *server.Verification, progress func(api.Progress)) (*api.VerifyResult, error) {
	return &api.VerifyResult{Compared: int64(len(v.At)), Informative: 1}, p.worked(ctx, progress)
}

func (p *parts) Query(ctx context.Context, query string) (*server.Table, error) {
	if p.query != nil {
		return p.query(ctx, query)
	}
	b := &feature.Batch{Fields: []feature.Field{{Name: "n", Type: feature.Int64}, {Name: "s", Type: feature.String}}, Columns: []feature.Column{{Type: feature.Int64}, {Type: feature.String}}}
	b.Append([]feature.Value{feature.Int64Value(1), feature.StringValue("a")})
	b.Append([]feature.Value{{}, feature.StringValue("b\"")})
	return &server.Table{Fields: b.Fields, Batches: func(yield func(*feature.Batch, error) bool) { yield(b, nil) }}, nil
}

func (p *parts) config() server.Config {
	now := time.Date(2001, 6, 25, 12, 0, 0, 0, time.UTC)
	c := catalog()
	return server.Config{
		Addr: "127.0.0.1:0", Catalog: func() *feature.Catalog { return c }, Reader: p, Trainer: p, Pusher: p, Importer: p, Registry: p, Operator: p, Letters: p, Eraser: p,
		Materializer: p, Verifier: p, Querier: p, AllowSQL: true, Schema: []byte(`{"type":"object"}`), Version: "v1",
		Lag: func() time.Duration { return 2 * time.Millisecond }, Now: func() time.Time { return now },
	}
}

// trail is an audit trail in memory.
type trail struct {
	mu      sync.Mutex
	entries []api.AuditEntry
	failed  error
}

func (tr *trail) Record(e api.AuditEntry) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.failed == nil {
		tr.entries = append(tr.entries, e)
	}
	return tr.failed
}

// take returns what was recorded and forgets it.
func (tr *trail) take() []api.AuditEntry {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	out := tr.entries
	tr.entries = nil
	return out
}

func (tr *trail) Entries(q api.AuditQuery) ([]api.AuditEntry, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.entries[max(0, len(tr.entries)-q.Limit):], nil
}

// site is a running server.
type site struct {
	t    *testing.T
	url  string
	stop func() error // ends the server and returns what Run returned
	srv  *server.Server
}

func start(t *testing.T, cfg server.Config) *site {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	cfg.TempDir = t.TempDir()
	srv, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := srv.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections() // one that was never used would hold the server up for 5 s
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if left, _ := os.ReadDir(cfg.TempDir); len(left) > 0 {
			t.Errorf("%d temporary files are left", len(left))
		}
	})
	return &site{t, "http://" + srv.Addr().String(), stop, srv}
}

// request is one HTTP request of a test.
type request struct {
	method, path, body string
	header             map[string]string
}

// do returns the status, the header and the body.
func (s *site) do(r request) (int, http.Header, string) {
	s.t.Helper()
	status, header, body, err := s.try(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return status, header, body
}

func (s *site) try(r request) (int, http.Header, string, error) {
	if r.method == "" {
		r.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(context.Background(), r.method, s.url+r.path, strings.NewReader(r.body))
	if err != nil {
		return 0, nil, "", err
	}
	if r.method == http.MethodPost {
		req.Header.Set("Content-Type", api.MediaJSON)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(b), err
}

// want checks the status and returns the body.
func (s *site) want(status int, r request) string {
	s.t.Helper()
	got, _, body := s.do(r)
	if got != status {
		s.t.Fatalf("%s %s = %d %s, want %d", r.method, r.path, got, body, status)
	}
	return body
}

func errorOf(t *testing.T, body string) *feature.Error {
	t.Helper()
	var e api.ErrorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == nil {
		t.Fatalf("%q is not an error body (%v)", body, err)
	}
	return e.Error
}

// flat is an error as one line: the message and its details.
func flat(e *feature.Error) string {
	return strings.ReplaceAll(fmt.Sprint(e), "\n  ", " | ")
}

var errBroken = errors.New("secret: disk 7 is broken")
