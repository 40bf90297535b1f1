package schedule_test

import (
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/schedule"
)

func TestNext(t *testing.T) {
	at := time.Date(2024, 2, 28, 23, 58, 30, 0, time.FixedZone("east", 3600)) // 22:58:30 UTC
	for _, c := range []struct{ line, want string }{
		{"*/5 * * * *", "2024-02-28T23:00:00Z"},
		{"0 3 * * *", "2024-02-29T03:00:00Z"},
		{" 30 12 29 2 * ", "2024-02-29T12:30:00Z"},
		{"0 0 * * 0", "2024-03-03T00:00:00Z"},
		{"@daily", "2024-02-29T00:00:00Z"},
		{"@every 30s", "2024-02-28T22:59:00Z"},
	} {
		s, err := schedule.Parse(c.line)
		if err != nil {
			t.Errorf("Parse(%q): %v", c.line, err)
			continue
		}
		if got := s.Next(at).Format(time.RFC3339); got != c.want {
			t.Errorf("Next of %q = %s, want %s", c.line, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{"", "* * * *", "60 * * * *", "0 0 31 2 *", "TZ=0", "CRON_TZ=Europe/Berlin * * * * *", "@reboot", "@every", "@every -1s", "often"} {
		if s, err := schedule.Parse(line); feature.CodeOf(err) != feature.CodeInvalid {
			t.Errorf("Parse(%q) = %v, %v, want a CodeInvalid error", line, s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{"*/5 * * * *", "@every 1h", "TZ=", "1-5/2,7 * 1,2 jan mon"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if s, err := schedule.Parse(line); err == nil {
			now := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
			if next := s.Next(now); !next.After(now) {
				t.Errorf("Next of %q = %s, not after %s", line, next, now)
			}
		}
	})
}
