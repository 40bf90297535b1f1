//go:build !race

// The race detector makes sync.Pool forget at random, so allocations mean nothing under it.

package online_test

import (
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/online"
)

// TestLookupAllocations counts what a read of one key and ten features costs in allocations.
func TestLookupAllocations(t *testing.T) {
	s, plan := loaded(t, online.Config{}, 1, 1000)
	for _, test := range []struct{ keys, most int }{{1, 3}, {100, 4}} {
		column := make([]feature.Value, test.keys)
		for i := range column {
			column[i] = feature.Int64Value(int64(i))
		}
		l := &feature.Lookup{Plan: plan, Keys: [][]feature.Value{column}, At: 5000}
		eventually(t, "all keys are cached", func() bool {
			before := s.Stats().Reads.Disk
			lookup(t, s, l)
			return s.Stats().Reads.Disk == before
		})
		if got := testing.AllocsPerRun(100, func() { lookup(t, s, l) }); got > float64(test.most) {
			t.Errorf("a read of ten features of %d keys allocates %.1f times, want at most %d", test.keys, got, test.most)
		}
	}
}
