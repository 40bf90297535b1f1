package offline_test

import (
	"fmt"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
)

// BenchmarkLookupWindows reads six windows of a key that has some events, among those of 1,000 others.
func BenchmarkLookupWindows(b *testing.B) {
	s, conn := openFilled(b, cards, `INSERT INTO events_cards (tx_id, _us_at, customer_id, terminal_id, amount, fraud, _us__available_at, _seq, _idx, _gen)
		SELECT number, 1500000000000000 + number * 10000000 AS us, if(number % 2 = 0, 0, 1 + number % 999), 1, number / 7, 0, us, 1, number, 0 FROM numbers(200000)`)
	if err := conn.Exec(b.Context(), "OPTIMIZE TABLE events_cards FINAL"); err != nil {
		b.Fatal(err)
	}
	plan := serviceOf(b, cards, nil, cardView("customer", "customer_id", "amount", 0))
	for key, events := range []int{100_000, 100} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			l := &feature.Lookup{Plan: plan, Keys: [][]feature.Value{{feature.Int64Value(int64(key))}}, At: 1500000000000000 + 2000000000000}
			for b.Loop() {
				if _, err := s.Lookup(b.Context(), l, feature.Cut{Log: "log", Seq: 1}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
