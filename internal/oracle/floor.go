package oracle

import (
	"slices"

	"github.com/lockstepfs/lockstep/feature"
)

// Floor returns the earliest instant that a replica which has applied everything up to the cut answers for the
// view (C4). It returns false while the view has no event: then a replica answers every instant.
func (o *Oracle) Floor(v *feature.View, cut Cut) (feature.Time, bool) {
	var clock feature.Time
	found := false
	for i := range o.events {
		e := &o.events[i]
		if !of(v, e) || uint64(cut) < e.Covered || o.keyOf(v, e).HasNull() {
			continue
		}
		known := min(e.EventTime, e.AvailableAt)
		if !found || known > clock {
			clock, found = known, true
		}
	}
	return clock - feature.Time(v.History), found
}

// Below reports whether a replica refuses a read of the plan at t because it is below some view's floor (C5).
func (o *Oracle) Below(plan *feature.Plan, t feature.Time, cut Cut) bool {
	for _, it := range plan.Items {
		if floor, ok := o.Floor(it.View, cut); ok && t < floor {
			return true
		}
	}
	return false
}

// Keys returns every key that has an event at or before hi in one of the plan's views (S3), in the order of
// their values. The views must be of one entity, asked for under one set of names.
func (o *Oracle) Keys(plan *feature.Plan, at feature.Time, clock feature.Clock, cut Cut) []feature.Key {
	var keys []feature.Key
	for _, it := range plan.Items {
		v := it.View
		for i := range o.events {
			e := &o.events[i]
			hidden := e.Erased || !of(v, e) || uint64(cut) < e.Covered || e.EventTime > at-feature.Time(v.Delay) ||
				clock == feature.ClockAvailable && e.AvailableAt > at
			if k := o.keyOf(v, e); !hidden && !k.HasNull() {
				keys = append(keys, k)
			}
		}
	}
	slices.SortFunc(keys, compareKeys)
	return slices.CompactFunc(keys, func(a, b feature.Key) bool { return compareKeys(a, b) == 0 })
}

// of reports whether the event is one that the view is made from: of its source and, if imported, of its edition (E2).
func of(v *feature.View, e *Event) bool {
	return e.Source == v.Source && (!e.Imported || e.Edition == v.Edition.Number)
}

// keyOf returns the key of the event in the view (K5); it has a NULL part when the event is not part of the
// view (K2).
func (o *Oracle) keyOf(v *feature.View, e *Event) feature.Key {
	k := make(feature.Key, len(v.Keys))
	for i, column := range v.Keys {
		k[i] = e.Values[column]
	}
	return k
}

func compareKeys(a, b feature.Key) int { return orderLists(a, b) }
