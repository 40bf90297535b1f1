package node_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/sdk"
)

// town is a node on the test binary's engine, which it reaches as a server, and a database of somebody else.
type town struct {
	t      *testing.T
	client *sdk.Client
	theirs string
	exec   func(format string, args ...any)
}

func newTown(t *testing.T) *town {
	t.Helper()
	engine := chtest.Engine(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- engine.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg := node.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Logger: logger, ClickHouse: "http://" + listener.Addr().String(), Database: chtest.Database(t, engine)}
	w := &town{t: t, client: run(t, cfg), theirs: chtest.Database(t, engine)}
	conn := chtest.Open(t, engine, w.theirs)
	w.exec = func(format string, args ...any) {
		t.Helper()
		if err := conn.Exec(context.WithoutCancel(t.Context()), fmt.Sprintf(format, args...)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

const ordersYAML = `
kind: entity
name: customer
key: [{name: customer, type: int64}]
---
kind: source
name: orders
columns: {id: int64, customer: int64, at: timestamp, amount: float64}
event_time: at
id: [id]
from: {table: %s.orders, cursor: changed, overlap: 1h%s}
---
kind: view
name: last_order
entity: customer
source: orders
history: 30d
features: [{name: amount, latest: amount}]
`

func (w *town) apply(schedule string) error {
	_, err := w.client.Apply(w.t.Context(), api.RegistryRequest{Files: map[string]string{"orders.yaml": fmt.Sprintf(ordersYAML, w.theirs, schedule)}})
	return err
}

func (w *town) materialize(req api.MaterializeRequest) *api.MaterializeResult {
	w.t.Helper()
	r, err := w.client.Materialize(w.t.Context(), req, nil)
	if err != nil {
		w.t.Fatalf("materialize: %v", err)
	}
	return r
}

func (w *town) amount(customer int) feature.Value {
	w.t.Helper()
	r, err := w.client.Online(w.t.Context(), sdk.OnlineRequest{
		Features: []string{"last_order.amount"}, Path: feature.PathOnline, Entities: map[string]any{"customer": []int{customer}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Vectors[0].Value("last_order.amount")
}

func TestMaterializeTable(t *testing.T) {
	w := newTown(t)
	err := w.apply("")
	if feature.CodeOf(err) != feature.CodeInvalid || !strings.Contains(err.Error(), "orders.yaml:11:") || !strings.Contains(err.Error(), "orders") {
		t.Fatalf("Apply without the table = %v, want a CodeInvalid error at orders.yaml:11", err)
	}
	w.exec("CREATE TABLE orders (id UInt64, customer Int32, at DateTime, amount Decimal(9, 2), changed DateTime) ENGINE = MergeTree ORDER BY changed")
	if err := w.apply(""); err != nil {
		t.Fatal(err)
	}
	w.exec("INSERT INTO orders SELECT number, number %% 10, now() - 7200 + number, number / 2, now() - 7200 FROM numbers(100)")
	dry := w.materialize(api.MaterializeRequest{DryRun: true})
	if c := dry.Copies[0]; c.Rows != 100 || c.Generation != 0 || c.First == nil || len(c.Views) != 1 || c.Views[0] != "last_order@1" {
		t.Errorf("dry run = %+v, want 100 rows for last_order@1", c)
	}
	r := w.materialize(api.MaterializeRequest{Views: []string{"last_order"}})
	if c := r.Copies[0]; c.Rows != 100 || c.Read != 100 || c.Generation == 0 || r.Replicas != 1 {
		t.Errorf("Materialize = %+v, want 100 rows of 100 and 1 replica", r)
	}
	if got := w.amount(7); !got.Equal(feature.Float64Value(48.5)) {
		t.Errorf("amount of 7 = %s, want 48.5", got)
	}
	w.exec("INSERT INTO orders VALUES (200, 7, now() - 60, 3.25, now() - 60), (201, 7, now() + 86400, 4, now())")
	r = w.materialize(api.MaterializeRequest{Views: []string{"orders"}})
	if c := r.Copies[0]; c.Rows != 1 || c.Refused != 1 || c.Examples[0].Field != "at" {
		t.Errorf("Materialize = %+v, want 1 row and 1 refused for its time", c)
	}
	if got := w.amount(7); !got.Equal(feature.Float64Value(3.25)) {
		t.Errorf("amount of 7 = %s, want 3.25", got)
	}
	letters, err := w.client.DeadLetters(t.Context(), api.DeadLetterQuery{Source: "orders"})
	if err != nil || len(letters.Letters) != 1 || !strings.Contains(letters.Letters[0].Raw, `"id":201`) {
		t.Errorf("dead letters = %+v, %v, want that of 201", letters, err)
	}
	w.exec("DROP TABLE orders SYNC")
	_, err = w.client.Materialize(t.Context(), api.MaterializeRequest{}, nil)
	if feature.CodeOf(err) != feature.CodeInvalid || !strings.Contains(err.Error(), w.theirs+".orders") {
		t.Errorf("Materialize without the table = %v, want a CodeInvalid error that names it", err)
	}
	status, err := w.client.Status(t.Context())
	if err != nil || len(status.Copies) != 1 || status.Copies[0].Error == "" || status.Copies[0].Good == nil {
		t.Errorf("status = %+v, %v, want the error of the last copy", status, err)
	}
}

func TestMaterializeOnSchedule(t *testing.T) {
	w := newTown(t)
	w.exec("CREATE TABLE orders (id UInt64, customer Int32, at DateTime, amount Decimal(9, 2), changed DateTime) ENGINE = MergeTree ORDER BY changed")
	w.exec("INSERT INTO orders VALUES (1, 7, now() - 60, 5, now() - 60)")
	if err := w.apply(`, schedule: "@every 1s"`); err != nil {
		t.Fatal(err)
	}
	w.until("the order is there", func() error {
		if got := w.amount(7); !got.Equal(feature.Float64Value(5)) {
			return fmt.Errorf("amount of 7 = %s, want 5", got)
		}
		return nil
	})
	w.until("the status says so", func() error {
		s, err := w.client.Status(t.Context())
		if err != nil || len(s.Copies) != 1 || s.Copies[0].Last == nil || s.Copies[0].Next == nil || s.Copies[0].Error != "" {
			return fmt.Errorf("status = %+v, %v, want a good copy", s, err)
		}
		return nil
	})
}

func (w *town) until(what string, ok func() error) {
	w.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("%s: %v", what, err)
		}
	}
}

// run runs a node for the test and returns its client.
func run(t *testing.T, cfg node.Config) *sdk.Client {
	t.Helper()
	n, err := node.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	client, err := sdk.Open(n.URL(), sdk.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := errors.Join(client.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return client
}
