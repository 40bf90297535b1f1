package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

// TestEventsOfRequests scores a transaction before, while and after it is pushed, on both paths (rules D4 and E1).
func TestEventsOfRequests(t *testing.T) {
	_, client := begin(t)
	define(t, client, `
kind: entity
name: user
key: [{name: user, type: string}]
---
kind: source
name: payments
columns: {id: int64, user: string, ts: timestamp, amount: int64}
event_time: ts
id: [id]
---
kind: source
name: clicks
columns: {user: string, ts: timestamp}
event_time: ts
---
kind: view
name: paid
entity: user
source: payments
features: [{name: sum, sum: amount, window: 1h}, {name: ever, sum: amount, window: lifetime}, {name: last, latest: amount}]
---
kind: view
name: clicked
entity: user
source: clicks
features: [{name: count, count: "*", window: 1h}]
---
kind: service
name: score
features: [paid, clicked]
`, nil)
	materialize(t, client)
	now := time.Now().UTC().Truncate(time.Second)
	payment := func(id, amount int) map[string]any {
		return map[string]any{"id": id, "user": "u", "ts": now.Add(time.Duration(id-10) * time.Second), "amount": amount}
	}
	score := func(path feature.Path, values string, events map[string]any) {
		t.Helper()
		expect(t, client, sdk.OnlineRequest{Service: "score", Path: path, At: now, Events: events}, "score@1 clicked@1 paid@1 "+string(path), values)
	}
	own := map[string]any{"payments": []any{payment(2, 20)}, "clicks": []any{map[string]any{"user": "u", "ts": now}}}
	if err := client.Push(t.Context(), "payments", []any{payment(1, 1)}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []feature.Path{feature.PathOnline, feature.PathOffline} {
		score(path, "paid.sum=1 paid.last=1 clicked.count=0", map[string]any{"payments": []any{payment(1, 500)}}) // a copy, which it waits for
		score(path, "paid.sum=21 paid.ever=21 paid.last=20 clicked.count=1", own)
		score(path, "paid.sum=1 paid.ever=1 paid.last=1 clicked.count=0", nil)
	}
	if err := client.Push(t.Context(), "payments", []any{payment(2, 20)}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []feature.Path{feature.PathOnline, feature.PathOffline} { // at once: the read waits for the event
		score(path, "paid.sum=21 paid.ever=21 paid.last=20 clicked.count=1", own)
	}
	bad := sdk.OnlineRequest{Service: "score", Entities: map[string]any{"user": []string{"u"}}, Events: map[string]any{"payments": []any{payment(3, 1), map[string]any{"id": "x", "ts": now.Add(2 * time.Hour)}}}}
	_, err := client.Online(t.Context(), bad)
	e, ok := errors.AsType[*feature.Error](err)
	if !ok || e.Code != feature.CodeInvalid || len(e.Details) == 0 || *e.Details[0].Row != 1 || e.Details[0].Field != "events.payments.id" {
		t.Errorf("a bad event: %v, want row 1 and its column", err)
	}
}
