package online

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// TestSweep checks that old rows of keys that get no more events leave the disk, but for those that latest features see.
func TestSweep(t *testing.T) {
	for _, latest := range []bool{false, true} {
		t.Run(fmt.Sprintf("latest=%t", latest), func(t *testing.T) {
			src := &feature.Source{Name: "s", EventTime: "at", Columns: []feature.Field{{Name: "k", Type: feature.String}, {Name: "at", Type: feature.Timestamp}}}
			v := &feature.View{
				Name: "v", Version: 1, Entity: feature.Entity{Name: "k", Key: src.Columns[:1]}, Keys: []string{"k"}, Source: "s",
				Features: []feature.Feature{{Name: "n", Window: &feature.Window{Operator: "count", Input: feature.AnyEvent, Width: 10}, Type: feature.Int64}},
			}
			want := 0
			if latest {
				v.Features = append(v.Features, feature.Feature{Name: "at", Latest: "at", Type: feature.Timestamp})
				want = 1000
			}
			s, err := Open(Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Follow(&feature.Catalog{Sources: []*feature.Source{src}, Views: []*feature.View{v}}); err != nil {
				t.Fatal(err)
			}
			if err := s.SetReady(v.Ref()); err != nil {
				t.Fatal(err)
			}
			seq := uint64(0)
			apply := func(keys int, at feature.Time) {
				b := feature.NewBatch(src)
				for i := range keys {
					b.Append([]feature.Value{feature.StringValue(fmt.Sprint("key", i)), feature.TimestampValue(at)})
				}
				seq++
				if err := s.Apply(seq, at, b); err != nil {
					t.Fatal(err)
				}
				if err := s.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			for at := range feature.Time(20) {
				apply(1000, at)
			}
			for at := range feature.Time(20) {
				apply(1, 1000+at)
			}
			if got := count(t, s) - 11; got > want {
				t.Errorf("%d old rows are on disk, want %d", got, want)
			}
		})
	}
}

// count returns how many rows the disk holds.
func count(t *testing.T, s *Store) int {
	it, err := s.disk.db.NewIter(&pebble.IterOptions{LowerBound: []byte{statePrefix}, UpperBound: []byte{statePrefix + 1}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}
