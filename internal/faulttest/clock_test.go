package faulttest_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

// TestClock steps the clock of the process by an hour in both directions, and further back: reads without an instant are of the
// wrong one, and nothing else is wrong; and an event that seems to be of the future is refused with a reason.
func TestClock(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var step atomic.Int64
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	s.cfg.Now = func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	s.start()
	for _, by := range []time.Duration{0, time.Hour, 0, -59 * time.Minute, 0} {
		step.Store(int64(by))
		s.mustPush("clicks", "a", 3)
		s.mustPush("orders", "a", 3)
		s.pushAgain("orders")
		for _, path := range []feature.Path{feature.PathOnline, feature.PathOffline} {
			s.eventually("a read of now, by the right clock", func() bool {
				resp, err := s.client.Online(s.within(), sdk.OnlineRequest{Service: "users", Entities: map[string]any{"user": []string{"a"}}, At: time.Now(), Path: path})
				return err == nil && resp.Vectors[0].Value("last_click.number") == feature.Int64Value(s.last("clicks", "a"))
			})
		}
		s.wantAnswer(readNow, train)
		s.level()
	}
	s.complete()

	step.Store(int64(-2 * time.Hour))
	_, err := s.client.PushRows(s.within(), sdk.PushRequest{Source: "clicks", Rows: []row{{Number: -1, User: "a", At: time.Now().UTC()}}})
	if e, ok := errors.AsType[*feature.Error](err); !ok || e.Code != feature.CodeInvalid || !strings.Contains(fmt.Sprint(e.Details), "arrival") {
		t.Errorf("a push by a process whose clock is two hours behind: %v, want that it says why", err)
	}
	s.wantAnswer(request{path: api.PathReady})
	step.Store(0)
	s.mustPush("clicks", "a", 1)
	s.mustPush("orders", "a", 1)
	s.wantRead("a", feature.PathOnline)
	s.complete()
}
