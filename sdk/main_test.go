package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
	"github.com/lockstepfs/lockstep/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// catalog has one view of airports with a feature of each kind that JSON cannot tell apart.
func catalog() *feature.Catalog {
	airport := &feature.Entity{Name: "airport", Key: []feature.Field{{Name: "airport", Type: feature.String}, {Name: "gate", Type: feature.Int64}}}
	departures := &feature.View{
		Name: "departures", Version: 1, Entity: *airport, Keys: []string{"origin", "gate"}, Source: "flights", History: feature.Minute,
		Features: []feature.Feature{
			{Name: "delay", Type: feature.Int64},
			{Name: "load", Type: feature.Float64},
			{Name: "seen", Type: feature.Timestamp},
			{Name: "note", Type: feature.String},
			{Name: "late", Type: feature.Bool},
			{Name: "shape", Type: feature.Type{Kind: feature.KindFloat64, List: true, Len: 2}},
		},
	}
	service := &feature.Service{Name: "delay_model", Version: 3, Items: []feature.Item{
		{View: departures, Role: "departures", Keys: []string{"airport", "gate"}, Features: []int{0, 1, 2, 3, 4, 5}},
	}}
	flights := &feature.Source{Name: "flights", Version: 1, EventTime: "at", Columns: []feature.Field{{Name: "at", Type: feature.Timestamp}}}
	return &feature.Catalog{
		Revision: 7, Entities: []*feature.Entity{airport}, Views: []*feature.View{departures}, Services: []*feature.Service{service}, Sources: []*feature.Source{flights},
	}
}

var seen = feature.Time(993_470_280_123_456)

// row is what is known of every airport but the unknown one.
func row() []feature.Value {
	return []feature.Value{
		feature.Int64Value(9007199254740993), feature.Float64Value(12), feature.TimestampValue(seen), feature.StringValue("2001-06-25"),
		feature.BoolValue(true), feature.ListValue(feature.KindFloat64, []feature.Value{feature.Float64Value(1), feature.Float64Value(0.5)}),
	}
}

// backend is the parts of a server in memory. failures are answered to pushes and reads first, one each.
type backend struct {
	mu       sync.Mutex
	failures []error
	calls    int
	pushed   [][]json.RawMessage
	keys     []string
	trained  []server.Training
	spine    string
	imported string
	lookup   *feature.Lookup
	broken   bool // streams break midway
}

func (b *backend) failure() error {
	b.calls++
	if len(b.failures) == 0 {
		return nil
	}
	err := b.failures[0]
	b.failures = b.failures[1:]
	return err
}

func (b *backend) Lookup(_ context.Context, l *feature.Lookup, path feature.Path) (*feature.Answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lookup = l
	if err := b.failure(); err != nil {
		return nil, err
	}
	if path == feature.PathAuto {
		path = feature.PathOnline
	}
	a := &feature.Answer{Path: path, Cut: feature.Cut{Seq: 5}}
	for i := range l.Rows() {
		for j, v := range row() {
			if l.Keys[0][i].Str() != "JFK" {
				a.Cells = append(a.Cells, feature.Cell{Status: feature.Missing})
				continue
			}
			a.Cells = append(a.Cells, feature.Cell{Value: v, Status: feature.Present, EventTime: seen + feature.Time(j), HasTime: true})
		}
	}
	return a, nil
}

// Asked takes rows of one column, gate.
func (b *backend) Asked(source string, rows []json.RawMessage) (*feature.Batch, error) {
	out := &feature.Batch{Source: source, Fields: []feature.Field{{Name: "gate", Type: feature.Int64}}, Columns: []feature.Column{{Type: feature.Int64}}}
	for i, raw := range rows {
		var row struct{ Gate *int64 }
		if err := json.Unmarshal(raw, &row); err != nil || row.Gate == nil {
			e := feature.Errorf(feature.CodeInvalid, "the events cannot be taken")
			e.Details = []feature.Detail{{Row: &i, Field: "gate", Message: "expected int64"}}
			return nil, e
		}
		out.Append([]feature.Value{feature.Int64Value(*row.Gate)})
	}
	return out, nil
}

func (b *backend) Train(_ context.Context, t *server.Training) (*server.TrainingSet, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure(); err != nil {
		return nil, err
	}
	text, _ := os.ReadFile(t.Spine.File)
	b.trained, b.spine = append(b.trained, *t), string(text)
	fields := []feature.Field{{Name: "airport", Type: feature.String}, {Name: "at", Type: feature.Timestamp}, {Name: "departures.load", Type: feature.Float64}}
	broken := b.broken
	return &server.TrainingSet{Fields: fields, Meta: map[string]string{"service": t.Plan.Service.String(), "seq": "5"}, Write: func(w io.Writer) error {
		for i := range 3000 {
			if _, err := fmt.Fprintf(w, `{"departures.load":%d,"airport":"JFK","at":"2001-06-25T12:00:00Z"}`+"\n", i); err != nil {
				return err
			}
		}
		if broken {
			return fmt.Errorf("the engine is gone")
		}
		return nil
	}}, nil
}

func (b *backend) Push(_ context.Context, p *server.Push) (*api.PushResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.failure(); err != nil {
		return nil, err
	}
	b.keys = append(b.keys, p.IdempotencyKey)
	out := &api.PushResponse{Seq: uint64(len(b.pushed) + 1)}
	var rows []json.RawMessage
	for i, r := range p.Rows {
		if string(r) == `{"bad":1}` {
			out.Refused = append(out.Refused, feature.Detail{Row: &i, Field: "bad", Message: "unknown column"})
			continue
		}
		rows = append(rows, append(json.RawMessage{}, r...))
	}
	out.Accepted = len(rows)
	if p.Partial || len(out.Refused) == 0 {
		b.pushed = append(b.pushed, rows)
	}
	return out, nil
}

func (b *backend) work(progress func(api.Progress)) error {
	progress(api.Progress{Stage: "load", Done: 1, Rows: 2})
	if b.broken {
		return feature.Errorf(feature.CodeConflict, "somebody else imports")
	}
	return nil
}

func (b *backend) Explain(_ context.Context, l *feature.Lookup) (*api.Explanation, error) {
	return &api.Explanation{At: l.At.Std(), Seq: 5, Features: []api.Explained{{Feature: l.Plan.Names[0], Events: []api.ExplainedEvent{{Value: feature.Int64Value(3), Online: true}}}}}, nil
}

func (b *backend) Import(_ context.Context, im *server.Import, progress func(api.Progress)) (*api.ImportResult, error) {
	text, err := os.ReadFile(im.File)
	if err != nil {
		return nil, err
	}
	b.imported = fmt.Sprintf("%s %s %s %t %s", im.Source.Name, im.Name, im.Format, im.Replace, text)
	return &api.ImportResult{Rows: 2, Generation: 9, Seq: 4}, b.work(progress)
}

func (b *backend) Materialize(_ context.Context, r *api.MaterializeRequest, progress func(api.Progress)) (*api.MaterializeResult, error) {
	return &api.MaterializeResult{Seq: 4, Views: []api.MaterializedView{{View: r.Views[0]}}}, b.work(progress)
}

func (b *backend) Verify(_ context.Context, v *server.Verification, progress func(api.Progress)) (*api.VerifyResult, error) {
	cell := api.CellOf(feature.Cell{Value: feature.Int64Value(1), Status: feature.Present, EventTime: seen, HasTime: true})
	return &api.VerifyResult{Compared: 1, Different: 1, Problem: "1 of 1 values differ", Differences: []api.Difference{{
		Feature: "departures.delay", Keys: map[string]feature.Value{"airport": feature.StringValue("JFK")}, At: v.At[0].Std(),
		Online: cell, Offline: api.CellOf(feature.Cell{}),
	}}}, b.work(progress)
}

func (b *backend) Describe(string) ([]api.Definition, error) {
	return []api.Definition{{Kind: "view", Name: "departures", Version: 1, Definition: json.RawMessage(`{}`)}}, nil
}

func (b *backend) Plan(_ context.Context, r *api.RegistryRequest) (any, error) {
	return map[string]any{"files": len(r.Files)}, b.failure()
}

func (b *backend) Apply(ctx context.Context, r *api.RegistryRequest) (any, error) {
	return b.Plan(ctx, r)
}

func (b *backend) Rollback(_ context.Context, service string) (any, error) {
	return map[string]any{"service": service}, b.failure()
}

func (b *backend) Status(context.Context) (*api.Status, error) {
	return &api.Status{Version: "v1", Revision: 7, Replica: &api.ReplicaStatus{LagMS: 2}}, b.failure()
}

func (b *backend) DeadLetters(_ context.Context, q api.DeadLetterQuery) ([]api.DeadLetter, error) {
	return []api.DeadLetter{{Seq: q.After + 1, Source: q.Source, Reason: "bad", Raw: "{"}}, nil
}

func (b *backend) DeadLetter(_ context.Context, seq uint64) (*api.DeadLetter, error) {
	return &api.DeadLetter{Seq: seq, Source: "flights", Reason: "bad", Raw: "{"}, nil
}

func (b *backend) ReplayLetters(_ context.Context, r *server.Replay, progress func(api.Progress)) (*api.ReplayResult, error) {
	progress(api.Progress{Stage: "replay", Done: -1, Rows: 2})
	return &api.ReplayResult{Taken: r.Query.Since.Minute(), Refused: len(r.Query.Reason)}, nil
}

func (b *backend) Erase(_ context.Context, e *server.Erasure, _ func(api.Progress)) (*api.EraseResult, error) {
	return &api.EraseResult{Seq: 5, Sources: []api.ErasedSource{{Source: e.Entity.Name, Rows: uint64(len(e.Keys))}}}, nil
}

func (b *backend) Query(context.Context, string) (*server.Table, error) {
	batch := &feature.Batch{}
	for _, f := range []feature.Field{{Name: "n", Type: feature.Float64}, {Name: "t", Type: feature.Timestamp}} {
		batch.Fields = append(batch.Fields, f)
		batch.Columns = append(batch.Columns, feature.Column{Type: f.Type})
	}
	batch.Append([]feature.Value{feature.Float64Value(5), feature.TimestampValue(seen)})
	batch.Append([]feature.Value{{}, {}})
	return &server.Table{Fields: batch.Fields, Batches: func(yield func(*feature.Batch, error) bool) { yield(batch, nil) }}, nil
}

// open returns a client of a real server on top of b.
func open(t *testing.T, b *backend, cfg sdk.Config) *sdk.Client {
	t.Helper()
	c := catalog()
	srv, err := server.New(server.Config{
		Catalog: func() *feature.Catalog { return c }, Reader: b, Trainer: b, Pusher: b, Importer: b, Registry: b, Operator: b, Letters: b, Eraser: b, Materializer: b,
		Limits:   server.Limits{Import: server.ClassLimits{Concurrency: 1}},
		Verifier: b, Querier: b, AllowSQL: true, Schema: []byte(`{"type":"object"}`), TempDir: t.TempDir(), Lag: func() time.Duration { return time.Second },
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv.Handler())
	client, err := sdk.Open(web.URL+"/", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); web.Close() })
	return client
}
