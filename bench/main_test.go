package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/internal/chtest"
)

func TestMain(m *testing.M) { chtest.Main(m) }

// TestBench measures little, to see that everything that is measured still runs. The numbers mean nothing.
func TestBench(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), &out, "", size{rows: 20_000, events: 200_000, spine: 10_000, pushes: 20, rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{
		"import", "log to online", "log to ClickHouse", "training set, streamed events", "training set, imported events",
		"twelve windows of each card transaction", "hot key: top_k", "push to readable",
	} {
		if !strings.Contains(out.String(), what) {
			t.Errorf("the table has no line %q", what)
		}
	}
	t.Log(out.String())
}
