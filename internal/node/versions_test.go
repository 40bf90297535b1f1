package node_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/sdk"
)

// swapped is the definitions of version n: two views whose features all tell the version. own is n by the default of
// a column that is always NULL, a, b and c are that of the columns c0 to c3 whose turn it is, and count, of another
// source column, only grows.
func swapped(n int) string {
	view := func(name string) string {
		column := fmt.Sprintf("c%d", n%4)
		return fmt.Sprintf(`---
kind: view
name: %s
entity: user
source: clicks
history: 1m
features:
  - {name: own, latest: never, default: %d}
  - {name: a, latest: %s}
  - {name: count, latest: count}
  - {name: b, latest: %s}
  - {name: c, latest: %s}
`, name, n, column, column, column)
	}
	return `kind: entity
name: user
key: [{name: user, type: string}]
---
kind: source
name: clicks
columns: {user: string, ts: timestamp, count: int64, never: int64, c0: int64, c1: int64, c2: int64, c3: int64}
event_time: ts
` + view("left") + view("right") + `---
kind: service
name: model
features: [left, right]
`
}

// TestChangeUnderLoad swaps definitions while they are read at full speed. No read fails, mixes versions, says another
// version than its values are of, or goes back, in versions or in what the stream brought. LOCKSTEP_SWAPS says how
// often; the default is few enough for every day.
func TestChangeUnderLoad(t *testing.T) {
	swaps := 20
	if n := os.Getenv("LOCKSTEP_SWAPS"); n != "" {
		var err error
		if swaps, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	n, client := begin(t)
	define(t, client, swapped(1), nil)
	push(t, client, 0)
	if _, err := client.Materialize(t.Context(), api.MaterializeRequest{}, nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var group errgroup.Group
	readers := []*loadReader{
		{what: "service over HTTP", read: overHTTP(client, sdk.OnlineRequest{Service: "model"})},
		{what: "service over HTTP, online only", read: overHTTP(client, sdk.OnlineRequest{Service: "model", Path: feature.PathOnline})},
		{what: "features over HTTP", read: overHTTP(client, sdk.OnlineRequest{Path: feature.PathOnline, Features: []string{
			"left.own", "left.a", "left.count", "left.b", "left.c",
		}})},
		{what: "service in process", read: inProcess(n)},
	}
	for _, r := range readers {
		r.counts = map[string]int64{}
		group.Go(func() error { return r.run(ctx) })
	}
	pushed := int64(0)
	group.Go(func() error {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			pushed++
			if err := client.Push(ctx, "clicks", clicks(pushed)); err != nil && ctx.Err() == nil {
				return fmt.Errorf("push: %w", err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		return nil
	})
	began := time.Now()
	for i := 2; i <= swaps+1; i++ {
		swap(t, client, i)
		if i%20 == 0 {
			t.Logf("%d swaps in %s", i-1, time.Since(began).Round(time.Millisecond))
		}
	}
	took := time.Since(began)
	stop()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, r := range readers {
		t.Logf("%s: %d reads, %d versions seen, %d said that an older version answers", r.what, r.reads, r.versions, r.behind)
		if r.versions < swaps/2 {
			t.Errorf("%s: saw %d of %d versions: the readers did not run beside the swaps", r.what, r.versions, swaps)
		}
	}
	t.Logf("%d swaps in %s, %d pushes", swaps, took.Round(time.Millisecond), pushed)
}

// swap makes version i the one that is served. Every third time the service is moved after the views, else with them; the
// service version before the last is deleted, and with it goes what nothing pins any more.
func swap(t *testing.T, client *sdk.Client, i int) {
	t.Helper()
	if i%3 == 0 {
		define(t, client, swapped(i), nil)
	}
	define(t, client, swapped(i), func(r *api.RegistryRequest) {
		r.Upgrade = []string{"model"}
		if i > 3 {
			r.Delete = []string{fmt.Sprintf("model@%d", i-2)}
		}
	})
	if _, err := client.Materialize(t.Context(), api.MaterializeRequest{}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := client.Online(t.Context(), sdk.OnlineRequest{Service: "model", Entities: map[string]any{"user": []string{"u"}}})
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("model@%d", i); got.Meta.Service != want || len(got.Meta.Stale) > 0 {
		t.Fatalf("after swap %d: %s, stale %q; want %s", i, got.Meta.Service, got.Meta.Stale, want)
	}
}

// loadRead is what one read said.
type loadRead struct {
	names []string
	cells []feature.Cell
	meta  api.OnlineMeta
}

// loadReader reads as fast as it can and checks every answer.
type loadReader struct {
	what string
	read func(context.Context) (*loadRead, error)

	reads, versions, behind int
	version                 int64            // of the last read
	counts                  map[string]int64 // of the last read: a read has each view as of some one position
}

func (r *loadReader) run(ctx context.Context) error {
	for ctx.Err() == nil {
		got, err := r.read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = r.check(got)
		}
		if err != nil {
			return fmt.Errorf("%s, read %d: %w", r.what, r.reads, err)
		}
		if r.reads++; r.reads%16 == 0 {
			runtime.Gosched() // what is read is moved by goroutines of this process too
		}
	}
	return nil
}

func (r *loadReader) check(got *loadRead) error {
	version := int64(0)
	for i, name := range got.names {
		v, part := got.cells[i].Value, name[strings.Index(name, ".")+1:]
		switch {
		case v.IsNull():
			return fmt.Errorf("%s is NULL", name)
		case part == "own" && version == 0:
			version = v.Int64()
		case part == "own" && v.Int64() != version:
			return fmt.Errorf("%s is of version %d, others of %d", name, v.Int64(), version)
		case part == "count":
			if v.Int64() < r.counts[name] {
				return fmt.Errorf("%s is %d, it was %d", name, v.Int64(), r.counts[name])
			}
			r.counts[name] = v.Int64()
		case part != "own" && v.Int64() != version%4:
			return fmt.Errorf("%s is of column c%d, version %d has c%d", name, v.Int64(), version, version%4)
		}
	}
	for _, ref := range append(got.meta.Views, got.meta.Service) {
		if _, n, ok := strings.Cut(ref, "@"); ok && n != strconv.FormatInt(version, 10) {
			return fmt.Errorf("the answer says %s %q, its values are of version %d", got.meta.Service, got.meta.Views, version)
		}
	}
	if got.meta.Path != feature.PathOnline {
		return fmt.Errorf("the path is %s: %q", got.meta.Path, got.meta.Stale)
	}
	if version < r.version {
		return fmt.Errorf("version %d after version %d", version, r.version)
	}
	if version > r.version {
		r.versions++
	}
	if len(got.meta.Stale) > 0 {
		r.behind++
	}
	r.version = version
	return nil
}

func overHTTP(client *sdk.Client, req sdk.OnlineRequest) func(context.Context) (*loadRead, error) {
	req.Entities = map[string]any{"user": []string{"u"}}
	return func(ctx context.Context) (*loadRead, error) {
		resp, err := client.Online(ctx, req)
		if err != nil {
			return nil, err
		}
		return &loadRead{resp.Names, resp.Vectors[0].Cells(), resp.Meta}, nil
	}
}

func inProcess(n *node.Node) func(context.Context) (*loadRead, error) {
	return func(ctx context.Context) (*loadRead, error) {
		for {
			plan, err := n.Serving().PlanService("model")
			if err != nil {
				return nil, err
			}
			at, err := feature.TimeOf(time.Now())
			if err != nil {
				return nil, err
			}
			a, err := n.Lookup(ctx, &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.StringValue("u")}}, At: at}, feature.PathAuto)
			if errors.Is(err, feature.ErrConflict) {
				continue // the definitions changed: plan again
			}
			if err != nil {
				return nil, err
			}
			return &loadRead{plan.Names, a.Cells, api.OnlineMeta{Service: plan.Service.String(), Path: a.Path, Stale: a.Stale}}, nil
		}
	}
}

func clicks(count int64) []map[string]any {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(count) * time.Second)
	return []map[string]any{{"user": "u", "ts": at.Format(time.RFC3339Nano), "count": count, "c0": 0, "c1": 1, "c2": 2, "c3": 3}}
}

func push(t *testing.T, client *sdk.Client, count int64) {
	t.Helper()
	if err := client.Push(t.Context(), "clicks", clicks(count)); err != nil {
		t.Fatal(err)
	}
}

func define(t *testing.T, client *sdk.Client, yaml string, more func(*api.RegistryRequest)) {
	t.Helper()
	r := api.RegistryRequest{Files: map[string]string{"a.yaml": yaml}}
	if more != nil {
		more(&r)
	}
	if _, err := client.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// begin runs a node in this process.
func begin(t *testing.T) (*node.Node, *sdk.Client) {
	t.Helper()
	n, client, _ := runNode(t, node.Config{Data: t.TempDir()})
	return n, client
}

// runNode runs a node in this process until the test ends or stop is called.
func runNode(t *testing.T, cfg node.Config) (n *node.Node, client *sdk.Client, stop func()) {
	t.Helper()
	cfg.Listen, cfg.Durability = "127.0.0.1:0", "os"
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := node.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	if client, err = sdk.Open(n.URL(), sdk.Config{}); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(client.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return n, client, stop
}
