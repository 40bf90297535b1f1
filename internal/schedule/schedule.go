// Package schedule says when something that is done again and again is due: cron lines, in UTC.
package schedule

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/lockstepfs/lockstep/feature"
)

// Schedule is when something is due. The zero Schedule is not valid; Parse makes one.
type Schedule struct{ due cron.Schedule }

// Parse reads a cron line of five fields, minute, hour, day of month, month and day of week, or one of @hourly, @daily,
// @weekly, @monthly and @every SPAN, such as @every 30s. A line that is never due is a CodeInvalid error as well.
func Parse(line string) (Schedule, error) {
	const expected = "expected minute, hour, day of month, month and day of week, such as */5 * * * *, or @every 30s"
	line = strings.TrimSpace(line)
	if strings.Contains(line, "=") { // the library reads zones, and stumbles over some that are wrong
		return Schedule{}, feature.Errorf(feature.CodeInvalid, "schedule %q: times are UTC, a zone is not read; %s", line, expected)
	}
	if strings.HasPrefix(line, "@every") && strings.Contains(line, "-") {
		return Schedule{}, feature.Errorf(feature.CodeInvalid, "schedule %q goes back in time; %s", line, expected)
	}
	due, err := cron.ParseStandard(line)
	if err != nil {
		return Schedule{}, feature.Errorf(feature.CodeInvalid, "schedule %q: %s: %w", line, expected, err)
	}
	s := Schedule{due}
	if s.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, feature.Errorf(feature.CodeInvalid, "schedule %q is never due; %s", line, expected)
	}
	return s, nil
}

// Next returns the first instant after t at which it is due.
func (s Schedule) Next(t time.Time) time.Time { return s.due.Next(t.UTC()) }
