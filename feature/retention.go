package feature

import "math"

// Reach returns how far before the time of a read the events lie that its answer can depend on: the greatest time to live
// or window, behind the delay. A row feature without a time to live and a window of all events reach for ever, which is
// reported as false.
func (v *View) Reach() (Span, bool) {
	reach := Span(0)
	for i := range v.Features {
		f := &v.Features[i]
		back := f.TTL
		if f.Window != nil {
			back = f.Window.Width + f.Window.Hop
		}
		if f.TTL == 0 && (f.Window == nil || f.Window.Width == 0) {
			return 0, false
		}
		reach = max(reach, back)
	}
	return v.Delay + reach, true
}

// RetentionSlack is how much longer than its retention an event stays readable: reads of now, by clocks that differ,
// never meet the edge. ClickHouse removes an event twice as late.
const RetentionSlack = Day / 2

// Kept returns the instant from which on the source keeps all its events, by a clock that says now (rule E4).
func (s *Source) Kept(now Time) Time {
	if s.Retention == 0 {
		return math.MinInt64
	}
	return now.Add(-s.Retention - RetentionSlack)
}

// CheckKept refuses a read of the view at t that could depend on events from before kept (rule E4).
func (v *View) CheckKept(t, kept Time) error {
	reach, bounded := v.Reach()
	if kept == math.MinInt64 || bounded && t.Add(-reach) >= kept {
		return nil
	}
	if !bounded {
		return Errorf(CodeInvalid, "view %s reads events of all times, and source %s keeps them only from %s on (retention)", v.Ref(), v.Source, kept)
	}
	return Errorf(CodeInvalid, "view %s at %s reads up to %s back, and source %s keeps its events only from %s on (retention): read at %s or later",
		v.Ref(), t, reach, v.Source, kept, kept.Add(reach))
}
