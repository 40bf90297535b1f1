package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

// TestRetention reads a view whose replica keeps more instants than its source keeps events for (rule E4).
func TestRetention(t *testing.T) {
	_, client := begin(t)
	const definitions = `kind: entity
name: user
key: [{name: user, type: string}]
---
kind: source
name: clicks
columns: {user: string, ts: timestamp, n: int64}
event_time: ts
retention: 30d
---
kind: view
name: counts
entity: user
source: clicks
history: 100d
features: [{name: last, latest: n, ttl: 10d}, {name: clicks, count: "*", window: 5d}]
`
	define(t, client, definitions, nil)
	now := time.Now()
	err := client.Push(t.Context(), "clicks", []map[string]any{{"user": "u", "ts": now.Add(-time.Minute).Format(time.RFC3339Nano), "n": 7}})
	if err != nil {
		t.Fatal(err)
	}
	read := func(path feature.Path, ago time.Duration) (string, error) {
		resp, err := client.Online(t.Context(), sdk.OnlineRequest{
			Features: []string{"counts.last", "counts.clicks"}, Entities: map[string]any{"user": []string{"u"}}, Path: path, At: now.Add(-ago),
		})
		if err != nil {
			return "", err
		}
		return fmt.Sprint(resp.Vectors[0].Cells()[0].Value, resp.Vectors[0].Cells()[1].Value), nil
	}
	for _, path := range []feature.Path{feature.PathAuto, feature.PathOnline, feature.PathOffline} {
		var got string
		for range time.Tick(10 * time.Millisecond) { // the history follows the log
			if got, err = read(path, 0); err != nil || got == "7 1" || t.Context().Err() != nil {
				break
			}
		}
		if got != "7 1" {
			t.Errorf("path %s, now: %s, %v", path, got, err)
		}
		if _, err := read(path, 20*24*time.Hour); err != nil {
			t.Errorf("path %s, 20 days ago, which reads 10 days back: %v", path, err)
		}
		_, err := read(path, 21*24*time.Hour)
		if feature.CodeOf(err) != feature.CodeInvalid || !strings.Contains(err.Error(), "source clicks keeps its events only from") {
			t.Errorf("path %s, 21 days ago: %v, want an error that says what is kept", path, err)
		}
	}
}
