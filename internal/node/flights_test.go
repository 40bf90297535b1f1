package node_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/sdk"
)

// TestFlights reads the latest delay of 20,000 flights' routes, for which two independent evaluators computed the
// value, from a training set and, at the instants that the replica keeps, online.
func TestFlights(t *testing.T) {
	flights := os.Getenv("LOCKSTEP_FLIGHTS")
	if flights == "" {
		t.Fatal("LOCKSTEP_FLIGHTS does not name flights-3m.parquet: run make test-go, which fetches it")
	}
	expected := expectedFlights(t)
	dir := t.TempDir()
	prepare := exec.CommandContext(t.Context(), "go", "run", "./examples/flights/prepare", flights, dir)
	prepare.Dir = "../.."
	if out, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("prepare the flights: %v\n%s", err, out)
	}
	client := start(t)
	load(t, client, dir)
	want := readColumn(t, expected, "r_last")
	got := trained(t, client, expected)
	differ := 0
	for i := range want {
		if !got[i].Equal(want[i]) {
			differ++
		}
	}
	if differ > 0 || len(want) != 20_000 {
		t.Fatalf("offline: %d of %d values differ from the expected ones, want 0 of 20000", differ, len(want))
	}
	compareOnline(t, client, expected, want)
}

// expectedFlights returns the file of expected values. It is derived from public data and is not ours to publish, so a
// plain clone lacks it; LOCKSTEP_EXPECTED says that it must be there.
func expectedFlights(t *testing.T) string {
	dir, demanded := os.LookupEnv("LOCKSTEP_EXPECTED")
	if !demanded {
		t.Skip("the expected values are not part of the repository: set LOCKSTEP_EXPECTED to the folder that holds flights/flights_expected_20k.parquet")
	}
	path := filepath.Join(dir, "flights", "flights_expected_20k.parquet")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("LOCKSTEP_EXPECTED is set, but: %v", err)
	}
	return path
}

func start(t *testing.T) *sdk.Client {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := node.Open(t.Context(), node.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", AllowSQL: true, Logger: logger})
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

func load(t *testing.T, client *sdk.Client, dir string) {
	t.Helper()
	definitions, err := os.ReadFile("../../examples/flights/definitions/flights.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Apply(t.Context(), api.RegistryRequest{Files: map[string]string{"flights.yaml": string(definitions)}}); err != nil {
		t.Fatal(err)
	}
	history, err := os.Open(filepath.Join(dir, "history.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer history.Close()
	if _, err := client.Import(t.Context(), sdk.ImportRequest{Source: "flights", File: history, Name: "history.parquet"}, nil); err != nil {
		t.Fatal(err)
	}
	week, err := os.Open(filepath.Join(dir, "week.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer week.Close()
	if _, err := client.PushLines(t.Context(), sdk.LinesRequest{Source: "flights", Lines: week}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Materialize(t.Context(), api.MaterializeRequest{}, nil); err != nil {
		t.Fatal(err)
	}
}

// trained returns the last delays of a training set whose spine is the file of expected values.
func trained(t *testing.T, client *sdk.Client, spine string) []feature.Value {
	t.Helper()
	f, err := os.Open(spine)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out bytes.Buffer
	req := sdk.TrainingRequest{Features: []string{"connection.last_delay"}, File: f, FileFormat: "parquet", Format: "parquet"}
	if _, err := client.TrainingFile(t.Context(), req, &out); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "training.parquet")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return readColumn(t, path, "connection.last_delay")
}

// compareOnline reads every row that is not below the floor at its own instant.
func compareOnline(t *testing.T, client *sdk.Client, expected string, want []feature.Value) {
	t.Helper()
	origins, destinations, times := readColumn(t, expected, "origin"), readColumn(t, expected, "destination"), readColumn(t, expected, "ts")
	read, differ := 0, 0
	for i := range want {
		at := times[i].Time().Std()
		if at.Before(time.Date(2001, 6, 23, 0, 0, 0, 0, time.UTC)) {
			continue // below the floor whatever it is: saves the round trip
		}
		resp, err := client.Online(t.Context(), sdk.OnlineRequest{
			Features: []string{"connection.last_delay"}, At: at, Path: feature.PathOnline,
			Entities: map[string]any{"origin": []string{origins[i].Str()}, "destination": []string{destinations[i].Str()}},
		})
		if errors.Is(err, feature.ErrBelowFloor) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		read++
		if !resp.Vectors[0].Value("connection.last_delay").Equal(want[i]) {
			differ++
		}
	}
	if differ > 0 || read < 500 {
		t.Fatalf("online: %d of %d values differ from the expected ones, want 0 of at least 500", differ, read)
	}
	t.Logf("online: %d values above the floor, 0 differ", read)
}

func readColumn(t *testing.T, path, name string) []feature.Value {
	t.Helper()
	r, err := rowfile.Open(path, rowfile.Parquet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []feature.Value
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows {
			out = append(out, b.Column(name).Value(i))
		}
	}
}
