package registry

import (
	"encoding/json"
	"testing"
	"time"
)

// FuzzRecord: whatever stands in the registry's bucket, it is read or refused; what is read makes a catalog or says why
// not, and is written as it is.
func FuzzRecord(f *testing.F) {
	defs, err := Parse(map[string][]byte{"a.yaml": []byte(`
kind: entity
name: thing
key: [{name: thing, type: int64}]
---
kind: source
name: events
columns: {thing: int64, at: timestamp, x: float64}
event_time: at
---
kind: view
name: state
entity: thing
source: events
features: [{name: x, latest: x, ttl: 1h, default: 0}]
---
kind: service
name: model
features: [state]
`)})
	if err != nil {
		f.Fatal(err)
	}
	_, r, err := (&record{Format: format, ID: "id"}).plan(defs, Options{}, time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	seed, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	for _, s := range []string{`{"format":1}`, `{"format":2}`, `{"format":1,"objects":[null]}`, `{"format":1,"objects":[{"kind":"entity","name":"x","versions":[{"version":1,"definition":null}]}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			return
		}
		if c, err := r.catalog(1); (c == nil) == (err == nil) {
			t.Fatalf("catalog of %s = %v, %v", data, c, err)
		}
		first, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeRecord(first)
		if err != nil {
			t.Fatalf("what was read is not read again: %v\n%s", err, first)
		}
		if second, err := again.encode(); err != nil || string(second) != string(first) || !json.Valid(first) {
			t.Errorf("written %s and then %s, %v", first, second, err)
		}
	})
}
