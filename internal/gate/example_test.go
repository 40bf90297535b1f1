package gate_test

import (
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/gate"
)

// A Builder takes good rows and says everything that is wrong with a bad one.
func ExampleBuilder() {
	src := &feature.Source{
		Name: "flights", EventTime: "known_at", MaxFuture: feature.Hour,
		Columns: []feature.Field{{Name: "origin", Type: feature.String}, {Name: "delay", Type: feature.Int64}, {Name: "known_at", Type: feature.Timestamp}},
	}
	arrival, err := feature.ParseTime("2001-06-25T12:00:00Z")
	if err != nil {
		fmt.Println(err)
		return
	}
	b := gate.NewBuilder(src, arrival)
	for _, row := range []string{
		`{"origin": "JFK", "delay": "12", "known_at": "2001-06-25T11:58:00Z"}`,
		`{"origin": "LAX", "delay": 1.5, "known_at": "2001-06-25T14:00:00Z"}`,
		`{"orign": "LAX"}`,
	} {
		if err := b.AddJSON([]byte(row)); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(b.Batch().Row(0))
	// Output:
	// refused a row of source flights
	//   delay: expected int64, got the number 1.5
	// refused a row of source flights
	//   orign: source flights has no such column: expected one of origin, delay, known_at
	//   known_at: the event time is required: expected a timestamp
	// ["JFK" 12 2001-06-25T11:58:00Z]
}
