package breaker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/breaker"
)

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("dial tcp 10.1.2.3:9000: refused")
		var probe error
		probes := 0
		var said bytes.Buffer
		b := breaker.New(breaker.Config{Name: "ClickHouse", Logger: slog.New(slog.NewTextHandler(&said, nil)), Probe: func(context.Context) error {
			probes++
			return probe
		}})
		allowed := func(when string, want bool) {
			t.Helper()
			err := b.Allow(t.Context())
			if (err == nil) != want {
				t.Errorf("%s: Allow = %v, want it to pass: %v", when, err, want)
			}
			if err != nil && (feature.CodeOf(err) != feature.CodeUnavailable || strings.Contains(err.Error(), "10.1.2.3")) {
				t.Errorf("%s: Allow = %v, want %s without the address", when, err, feature.CodeUnavailable)
			}
			if (b.Failure() == nil) != want {
				t.Errorf("%s: Failure = %v", when, b.Failure())
			}
		}
		for _, err := range []error{away, away, nil, away, away} { // never three in a row
			b.Note(err)
		}
		allowed("after some failures", true)
		b.Note(away)
		allowed("after three in a row", false)
		b.Note(nil) // a call that was made before
		allowed("at once again", false)
		if probes != 0 {
			t.Errorf("%d probes, want none yet", probes)
		}
		time.Sleep(3 * time.Second)
		probe = away
		allowed("while the probe fails", false)
		allowed("behind a probe", false)
		if probes != 1 {
			t.Errorf("%d probes, want 1", probes)
		}
		time.Sleep(3 * time.Second)
		probe = nil
		allowed("after a probe", true)
		for range 3 {
			b.Note(away)
		}
		allowed("away again", false)
		if text := said.String(); strings.Count(text, "10.1.2.3") != 2 || strings.Count(text, `msg="it answers again"`) != 1 {
			t.Errorf("logged %s, want each outage once, with the address, and its end", text)
		}
	})
}
