package online_test

import (
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/online"
)

// TestMeasureHotKey: of one key with ever so many events no more is read, and held, than of many keys.
func TestMeasureHotKey(t *testing.T) {
	v, read, values := byUser(), 0, make([]feature.Value, 3)
	rows := func(yield func(asof.Kept, error) bool) {
		for ; read < 1_200_000; read++ {
			e := asof.Event{Position: asof.Position{EventTime: feature.Time(read), Seq: uint64(read + 1)}, Values: values}
			if !yield(asof.Kept{Key: feature.Key{feature.StringValue("hot")}, Event: e}, nil) {
				return
			}
		}
	}
	f, err := online.Measure(v, clicks(), feature.Time(feature.Day), rows)
	if err != nil {
		t.Fatal(err)
	}
	if read > 1_000_000 || f.Keys != 1 || f.Events == 0 {
		t.Errorf("Measure read %d rows and measured %d events of %d keys, want a million rows of one", read, f.Events, f.Keys)
	}
}
