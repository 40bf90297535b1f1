package identity

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// AddArrivals notes events as the offline store gives them. Those of another edition than the first one (rule E2) may have id and time
// of others, of which the index keeps the first to arrive.
func (x *Index) AddArrivals(src *feature.Source, a *feature.Arrivals, edition uint64) error {
	number, err := x.number(src)
	if err != nil {
		return err
	}
	return x.addArrivals(number, a, edition != 0)
}

func (x *Index) addArrivals(number uint32, a *feature.Arrivals, several bool) error {
	r := &ids{key: make(feature.Key, len(a.IDs))}
	for i := range a.IDs {
		r.columns = append(r.columns, &a.IDs[i])
	}
	return x.put(number, r, len(a.Times), several, func(i int) stored { return stored{a.Times[i], a.Sums[i], a.Places[i]} })
}

// before reports whether there is an event under the key that arrived before a place.
func before(batch *pebble.Batch, key []byte, place feature.Place) (bool, error) {
	value, closer, err := batch.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the index of ids: %w", err)
	}
	defer closer.Close()
	s, err := parseStored(key, value)
	return s.place.Compare(place) < 0, err
}
