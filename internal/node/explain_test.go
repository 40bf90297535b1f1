package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/sdk"
)

// TestExplain explains every kind of feature of a key with imported and streamed events, and one that the request brings:
// both paths have the same events.
func TestExplain(t *testing.T) {
	_, client := begin(t)
	define(t, client, `
kind: entity
name: user
key: [{name: user, type: string}]
---
kind: source
name: clicks
columns: {user: string, ts: timestamp, n: int64}
event_time: ts
---
kind: view
name: v
entity: user
source: clicks
features:
  - {name: last, latest: n}
  - {name: exact, sum: n, window: 2h}
  - {name: hop, sum: n, window: 2h, hop: 10m}
  - {name: ever, first: n, window: lifetime}
---
kind: view
name: plain
entity: user
source: clicks
features: [{name: last, latest: n}]
`, nil)
	now := time.Now().UTC().Truncate(time.Second)
	var file strings.Builder
	for i := range 300 { // some of them equal, and some instants on both sides of what is summed up
		fmt.Fprintf(&file, "{\"user\":\"u\",\"ts\":%q,\"n\":%d}\n", now.Add(time.Duration(i/5*5-3600)*time.Second).Format(time.RFC3339), i/2)
	}
	if _, err := client.Import(t.Context(), sdk.ImportRequest{Source: "clicks", File: strings.NewReader(file.String()), Format: "jsonl", Name: "clicks.jsonl"}, nil); err != nil {
		t.Fatal(err)
	}
	var rows []any
	for i := range 900 {
		rows = append(rows, map[string]any{"user": "u", "ts": now.Add(time.Duration(i-900) * time.Second), "n": i})
	}
	if err := client.Push(t.Context(), "clicks", rows); err != nil {
		t.Fatal(err)
	}
	materialize(t, client)
	req := sdk.OnlineRequest{
		Features: []string{"v.last", "v.exact", "v.hop", "v.ever", "plain.last"}, Entities: map[string]any{"user": []string{"u"}}, At: now.Add(10 * time.Minute),
		Events: map[string]any{"clicks": []any{map[string]any{"user": "u", "ts": now, "n": 5}, map[string]any{"user": "u", "ts": now.Add(-8 * time.Minute), "n": 7}}},
	}
	x, err := client.Explain(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if x.Refused != "" || x.Seq == 0 || len(x.Features) != 5 {
		t.Fatalf("%+v, want both paths of five features", x)
	}
	for _, f := range x.Features {
		if f.Differs || f.Online == nil || !f.Online.Value.Equal(f.Offline.Value) || len(f.Events) == 0 {
			t.Errorf("%s: online %v, offline %v of %d events, want equal ones", f.Feature, f.Online, f.Offline, len(f.Events))
		}
		for _, s := range f.Sums {
			if s.Differs {
				t.Errorf("%s: sum %+v differs", f.Feature, s)
			}
		}
		for _, e := range f.Events {
			if !e.Online || !e.Offline || len(e.Notes) > 0 {
				t.Errorf("%s: event %+v, want both paths to have it", f.Feature, e)
			}
		}
		if first := f.Events[0]; !first.Request || first.Seq != 0 || first.Value.Int64() != 5 {
			t.Errorf("%s: the newest event is %+v, want that of the request", f.Feature, first)
		}
	}
	if exact := x.Features[1]; len(exact.Sums) == 0 || exact.Sums[0].Events == 0 || exact.More != 900 || !exact.Older || exact.After == nil {
		t.Errorf("exact: %d sums, %d events and %d more, older %t; want blocks and what is not listed", len(exact.Sums), len(exact.Events), exact.More, exact.Older)
	}
	if last := x.Features[4]; len(last.Events) != 1 || last.After != nil {
		t.Errorf("last: %+v, want one event", last)
	}
	below, err := client.Explain(t.Context(), sdk.OnlineRequest{Features: []string{"v.last"}, Entities: req.Entities, At: now.Add(-30 * time.Minute)})
	if err != nil || below.Refused == "" || below.Features[0].Online != nil || len(below.Features[0].Events) != 1 {
		t.Errorf("below the floor: %+v, %v; want what ClickHouse has", below, err)
	}
	if _, err := client.Verify(t.Context(), api.VerifyRequest{Features: []string{"v.exact", "v.hop"}}, nil); err != nil {
		t.Error(err)
	}
}
