package asof

import (
	"math"

	"github.com/lockstepfs/lockstep/feature"
)

// Ever is the lower edge of a lifetime window: below every instant.
const Ever feature.Time = math.MinInt64

// Lo returns the lower edge of a window whose upper edge is hi (rule W1). An event at Lo is not in the window.
func Lo(w *feature.Window, hi feature.Time) feature.Time {
	switch {
	case w.Width == 0:
		return Ever
	case w.Hop == 0:
		return hi.Add(-w.Width)
	default:
		return Floored(hi.Add(-w.Width), w.Hop)
	}
}

// Floored returns the greatest multiple of hop at or before t. A tile of that size begins after it (W1).
func Floored(t feature.Time, hop feature.Span) feature.Time {
	rest := int64(t) % int64(hop)
	if rest < 0 {
		rest += int64(hop)
	}
	return t - feature.Time(rest)
}

// Tile returns the number of the tile of size hop that an event of the time t is in: tile k holds (k·hop, (k+1)·hop] (W1).
func Tile(t feature.Time, hop feature.Span) int64 { return int64(Floored(t-1, hop)) / int64(hop) }

// In reports whether an event of the time t is in a window whose upper edge is hi (W1).
func In(w *feature.Window, t, hi feature.Time) bool { return Lo(w, hi) < t && t <= hi }

// KeepFrom returns the instant after which a replica keeps events of a view for its windows, when reads have
// hi ≥ keep (rule C4): Ever with a lifetime window, keep without windows.
func KeepFrom(v *feature.View, keep feature.Time) feature.Time {
	from := keep
	for i := range v.Features {
		if w := v.Features[i].Window; w != nil && keep != NoClock {
			from = min(from, Lo(w, keep))
		}
	}
	return from
}

// Windowed returns the cell of a window feature of a key: value is its operator's over the window (rules W3, D1).
func Windowed(f *feature.Feature, value feature.Value) feature.Cell {
	if value.IsNull() {
		return feature.Cell{Status: feature.Null, Value: f.Default}
	}
	return feature.Cell{Status: feature.Present, Value: value}
}

// Unkeyed returns the cell of a feature in a read with NULL in a part of its key (rules K3, D1).
func Unkeyed(f *feature.Feature) feature.Cell {
	return feature.Cell{Status: feature.Missing, Value: f.Default}
}
