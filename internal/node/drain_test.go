package node_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/sdk"
)

const beatsYAML = `
kind: entity
name: device
key: [{name: device, type: int64}]
---
kind: source
name: beats
columns: {device: int64, at: timestamp}
event_time: at
---
kind: view
name: last
entity: device
source: beats
features: [{name: at, latest: at}]
`

// TestDrainUnderLoad: a process that is told to stop while many push answers each push, with an acknowledgement or a
// refusal, and what it acknowledged is there afterwards. Its audit trail is too.
func TestDrainUnderLoad(t *testing.T) {
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg := node.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Logger: logger}
	n, err := node.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	client, err := sdk.Open(n.URL(), sdk.Config{Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Apply(t.Context(), api.RegistryRequest{Files: map[string]string{"beats.yaml": beatsYAML}}); err != nil {
		t.Fatal(err)
	}
	const pushers, before = 4, 100
	var mu sync.Mutex
	var taken []int64
	var wg sync.WaitGroup
	for p := range pushers {
		wg.Go(func() {
			for device := int64(p); ; device += pushers {
				row := map[string]any{"device": device, "at": time.Now().UTC().Format(time.RFC3339Nano)}
				err := client.Push(t.Context(), "beats", []any{row})
				mu.Lock()
				if err == nil {
					taken = append(taken, device)
				}
				if len(taken) == before {
					stop()
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := <-ended; err != nil {
		t.Fatalf("Run = %v", err)
	}
	client.Close()
	if len(taken) < before {
		t.Fatalf("%d pushes were acknowledged before the stop, want %d", len(taken), before)
	}
	client = run(t, cfg)
	entities := map[string]any{"device": taken}
	var got *sdk.OnlineResponse
	for deadline := time.Now().Add(30 * time.Second); ; {
		if err := client.Ready(t.Context()); err == nil {
			got, err = client.Online(t.Context(), sdk.OnlineRequest{Path: feature.PathOnline, Features: []string{"last.at"}, Entities: entities})
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process is not ready again")
		}
	}
	for i, v := range got.Vectors {
		if c, _ := v.Cell("last.at"); c.Status != feature.Present {
			t.Errorf("the acknowledged row of device %d is %v", taken[i], c.Status)
		}
	}
	entries, err := client.Audit(t.Context(), api.AuditQuery{Action: "apply"})
	if err != nil || len(entries) != 2 || entries[0].Who != "loopback" || entries[1].Status != 200 {
		t.Errorf("the audit trail has %v, %v", fmt.Sprint(entries), err)
	}
}
