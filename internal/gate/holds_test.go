package gate_test

import (
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/gate"
)

func TestHolds(t *testing.T) {
	route := &feature.Erasure{Source: "flights", Columns: []string{"origin", "flight_id"}, Keys: []feature.Key{
		{feature.StringValue("JFK"), feature.Int64Value(7)}, {feature.StringValue("Zürich"), feature.Int64Value(8)},
	}}
	for raw, want := range map[string]bool{
		`{"origin": "JFK", "flight_id": 7}`:                             true,
		`{"origin": "J\u0046K", "flight_id": "7", "known_at": "never"}`: true,
		`{"origin": "Zürich", "flight_id": 8.0}`:                        true,
		`{"origin": "JFK", "flight_id": 8}`:                             false,
		`{"origin": "LAX", "flight_id": 7, "destination": "JFK"}`:       false, // its key is told
		`{"origin": null, "flight_id": 7, "destination": "JFK"}`:        true,  // it is not
		`{"from": "JFK", "flight_id": 7}`:                               true,
		`{"from": "JFK", "flight_id": 77}`:                              false,
		`{"origin": "JFK", "flight_id": "7a"}`:                          false,
		`{"origin": "JFK", "flight_id": [7]}`:                           true,
		`{"origin": "JFK", "flight_id": 7`:                              true,
		`JFK,7`:                                                         true,
		`JFKX,7`:                                                        false,
		`ÜJFK,7 JFK`:                                                    true,
		`ÜJFK,7`:                                                        false,
		``:                                                              false,
	} {
		if got := gate.Holds(flights(), []byte(raw), route); got != want {
			t.Errorf("Holds(%s) = %t, want %t", raw, got, want)
		}
	}
}
