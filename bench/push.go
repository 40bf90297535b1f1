package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/sdk"
)

// pushing measures from the call of a push over HTTP until a read over HTTP returns the value, on a process with
// all roles and fsync.
func (l *lab) pushing(ctx context.Context) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := node.Open(ctx, node.Config{Data: filepath.Join(l.dir, "node"), Listen: "127.0.0.1:0", Logger: logger})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(running) }()
	err = l.pushAndRead(ctx, n.URL())
	stop()
	return errors.Join(err, <-ended)
}

func (l *lab) pushAndRead(ctx context.Context, url string) error {
	client, err := sdk.Open(url, sdk.Config{})
	if err != nil {
		return err
	}
	if _, err := client.Apply(ctx, api.RegistryRequest{Files: map[string]string{"bench.yaml": strings.ReplaceAll(definitions, "SOURCE", "flights")}}); err != nil {
		return err
	}
	start := time.Now().Add(-time.Hour)
	var acknowledged, readable []time.Duration
	for i := range l.size.pushes {
		at := start.Add(time.Duration(i) * time.Millisecond).UTC().Format(time.RFC3339Nano)
		row := map[string]any{"flight_id": i, "origin": "JFK", "destination": "LAX", "scheduled": at, "known_at": at, "distance": 2475, "delay": i}
		begin := time.Now()
		if err := client.Push(ctx, "flights", []map[string]any{row}); err != nil {
			return err
		}
		acknowledged = append(acknowledged, time.Since(begin))
		for {
			vec, err := client.Online(ctx, sdk.OnlineRequest{Features: []string{"flights_departures.last_delay"}, Entities: map[string]any{"airport": []string{"JFK"}}})
			if err != nil {
				return err
			}
			if v := vec.Vectors[0].Value("flights_departures.last_delay"); !v.IsNull() && v.Int64() == int64(i) {
				break
			}
		}
		readable = append(readable, time.Since(begin))
	}
	l.add("push to acknowledgement", quantiles(acknowledged), "one row over HTTP, one caller, fsync before the acknowledgement")
	l.add("push to readable", quantiles(readable), "from the call of the push to a read over HTTP that returns the value; fsync")
	return nil
}

func quantiles(d []time.Duration) string {
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p99 %s", at(0.5), at(0.99))
}
