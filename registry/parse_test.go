package registry_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/registry"
)

// base is what the scripts in testdata may build on.
const base = `
kind: entity
name: airport
key: [{name: airport, type: string}]
---
kind: entity
name: route
key: [{name: origin, type: string}, {name: destination, type: string}]
---
kind: entity
name: plane
key: [{name: airport, type: int64}]
---
kind: source
name: flights
columns: {flight_id: int64, origin: string, destination: string, tail: int64, scheduled: timestamp, delay: int64, load: float64, gone: bool, crew: list<string>, embedding: vector<3>}
event_time: scheduled
tiebreak: flight_id
---
kind: view
name: departures
entity: airport
keys: {airport: origin}
source: flights
features: [{name: last_delay, latest: delay, ttl: 7d, default: 0}, {name: last_destination, latest: destination}]
---
kind: view
name: routes
entity: route
source: flights
features: [{name: last_delay, latest: delay}, {name: last_load, latest: load}]
---
kind: view
name: planes
entity: plane
keys: {airport: tail}
source: flights
features: [{name: last_delay, latest: delay}]
`

// parseScript runs "parse" (the input alone) and "parse base" (the input beside base) and returns the errors.
func parseScript(t *testing.T, d *datadriven.TestData) string {
	if d.Cmd != "parse" {
		d.Fatalf(t, "unknown command %q: expected parse", d.Cmd)
	}
	files := map[string][]byte{"a.yaml": []byte(strings.NewReplacer("<TAB>", "\t", "<CR>", "\r", "<BOM>", "\ufeff").Replace(d.Input))}
	if d.HasArg("base") {
		files["base.yaml"] = []byte(base)
	}
	_, err := registry.Parse(files)
	if err == nil {
		return "ok\n"
	}
	wrong, ok := errors.AsType[*feature.Error](err)
	if !ok || wrong.Code != feature.CodeInvalid {
		d.Fatalf(t, "Parse = %v, want a *feature.Error of CodeInvalid", err)
	}
	var b strings.Builder
	for _, detail := range wrong.Details {
		fmt.Fprintln(&b, detail)
	}
	return b.String()
}

func TestBad(t *testing.T) {
	datadriven.Walk(t, "testdata/bad", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, parseScript)
	})
}

// TestBadIsLarge guards the size of the table above: it is what authors meet.
func TestBadIsLarge(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		cases += strings.Count(string(data), "a.yaml:")
	}
	if cases < 60 {
		t.Errorf("testdata/bad states %d errors, want at least 60", cases)
	}
}
