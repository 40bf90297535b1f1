package node_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/registry"
	"github.com/lockstepfs/lockstep/sdk"
)

const footprintSource = `
kind: entity
name: user
key: [{name: user, type: string}]
---
kind: source
name: visits
columns: {user: string, ts: timestamp, page: string, n: int64}
event_time: ts
---
`

const footprintViews = footprintSource + `
kind: view
name: newest
entity: user
source: visits
features: [{name: last, latest: page}]
---
kind: view
name: exact
entity: user
source: visits
features: [{name: sum, sum: n, window: 2h}, {name: pages, count_distinct: page, window: 4h}]
---
kind: view
name: tiled
entity: user
source: visits
features: [{name: sum, sum: n, window: 4h, hop: 1h}, {name: about, approx_count_distinct: page, window: lifetime}]
`

// TestStateBytes compares what plan says that views will take with what status says that they take, and lets apply ask when it is much.
func TestStateBytes(t *testing.T) {
	_, client, _ := runNode(t, node.Config{Data: t.TempDir(), StateBudget: 300_000})
	define(t, client, footprintSource, nil)
	now := time.Now().UTC().Truncate(time.Second)
	var file strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&file, "{\"user\":\"user%d\",\"ts\":%q,\"page\":\"page%d\",\"n\":%d}\n", i%2500, now.Add(-time.Duration(i)*3*time.Second).Format(time.RFC3339), i%97, i)
	}
	if _, err := client.Import(t.Context(), sdk.ImportRequest{Source: "visits", File: strings.NewReader(file.String()), Format: "jsonl", Name: "visits.jsonl"}, nil); err != nil {
		t.Fatal(err)
	}
	req := api.RegistryRequest{Files: map[string]string{"a.yaml": footprintViews}}
	raw, err := client.Plan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var plan registry.Plan
	if err := json.Unmarshal(raw, &plan); err != nil {
		t.Fatal(err)
	}
	estimates := map[string]*registry.StateEstimate{}
	for _, c := range plan.Changes {
		estimates[c.Name+"@1"] = c.State
	}
	_, err = client.Apply(t.Context(), req)
	if e, ok := errors.AsType[*feature.Error](err); !ok || e.Code != feature.CodeTooLarge || !strings.Contains(fmt.Sprint(e.Details), "exact: about ") || strings.Contains(fmt.Sprint(e.Details), "newest") {
		t.Errorf("apply above the budget: %v, want what needs much", err)
	}
	req.Yes = true
	if _, err := client.Apply(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	materialize(t, client)
	for name, bytes := range stateBytes(t, client, 3) {
		e := estimates[name]
		if e == nil || float64(e.Bytes) < 0.7*float64(bytes) || float64(e.Bytes) > 1.4*float64(bytes) || e.Keys < 2400 || e.Keys > 2600 {
			t.Errorf("%s takes %d bytes, the estimate is %+v", name, bytes, e)
		}
	}
}

// stateBytes returns what views take once there are so many and their states are flushed.
func stateBytes(t *testing.T, client *sdk.Client, views int) map[string]int64 {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	before := map[string]int64{}
	for same := 0; same < 25; { // a flush comes every second
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the states of %d views are not flushed: %v", views, before)
		}
		s, err := client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes := map[string]int64{}
		for _, v := range s.Replica.Views {
			if v.StateBytes > 0 {
				sizes[v.View] = v.StateBytes
			}
		}
		if same++; len(sizes) != views || fmt.Sprint(sizes) != fmt.Sprint(before) {
			before, same = sizes, 0
		}
	}
	return before
}
