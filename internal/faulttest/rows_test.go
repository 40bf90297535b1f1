package faulttest_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

// row is a row of each of the sources. Its number is its own.
type row struct {
	Number int64     `json:"number"`
	User   string    `json:"user"`
	At     time.Time `json:"at"`
}

// push pushes n rows of a user in one call, and remembers them if they are acknowledged.
func (s *stack) push(source, user string, n int) error {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{s.next, user, time.Now().UTC()}
		s.next++
	}
	if err := s.client.Push(s.within(), source, rows); err != nil {
		return err
	}
	s.acked[source] = append(s.acked[source], rows...)
	return nil
}

// last returns the newest number of a user that was acknowledged.
func (s *stack) last(source, user string) int64 {
	for _, r := range slices.Backward(s.acked[source]) {
		if r.User == user {
			return r.Number
		}
	}
	s.t.Fatalf("no row of %s in %s was acknowledged", user, source)
	return 0
}

func (s *stack) mustPush(source, user string, n int) {
	s.t.Helper()
	if err := s.push(source, user, n); err != nil {
		s.t.Fatalf("push: %v", err)
	}
}

// read reads the newest numbers of a user.
func (s *stack) read(user string, path feature.Path) (click, order feature.Value, meta api.OnlineMeta, err error) {
	resp, err := s.client.Online(s.within(), sdk.OnlineRequest{Service: "users", Entities: map[string]any{"user": []string{user}}, Path: path})
	if err != nil {
		return click, order, meta, err
	}
	return resp.Vectors[0].Value("last_click.number"), resp.Vectors[0].Value("last_order.number"), resp.Meta, nil
}

// wantRead waits until the newest acknowledged rows of a user are what a path answers.
func (s *stack) wantRead(user string, path feature.Path) {
	s.t.Helper()
	var got string
	want := fmt.Sprint(s.last("clicks", user), s.last("orders", user))
	ok := func() bool {
		click, order, _, err := s.read(user, path)
		got = fmt.Sprint(click, order, err)
		return err == nil && fmt.Sprint(click, order) == want
	}
	failed := s.t.Failed()
	defer func() {
		if s.t.Failed() && !failed {
			s.t.Logf("read of %s by path %s: %s, want %s", user, path, got, want)
		}
	}()
	s.eventually("a read is up to date", ok)
}

func (s *stack) status() *api.Status {
	s.t.Helper()
	st, err := s.client.Status(s.within())
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// level waits until nothing is stale or behind.
func (s *stack) level() {
	s.t.Helper()
	var st *api.Status
	failed := s.t.Failed()
	defer func() {
		if s.t.Failed() && !failed && st != nil {
			s.t.Logf("log %+v, sink %+v, replica %+v, stale %q", st.Log, st.Sink, st.Replica, st.Stale)
		}
	}()
	s.eventually("everything is level", func() bool {
		if st, _ = s.client.Status(s.within()); st == nil {
			return false
		}
		return st.Log != nil && st.Sink.Behind == 0 && st.Replica.Behind == 0 && len(st.Stale) == 0 && st.Sink.Watermark.Seq == st.Log.Last
	})
}

// complete makes sure that what was acknowledged is in ClickHouse once, that nothing else is there except rows of pushes
// whose end nobody knows, and that both paths agree.
func (s *stack) complete() {
	s.t.Helper()
	s.level()
	for source, rows := range s.acked {
		there := s.count(source)
		var missing, twice []int64
		for _, r := range rows {
			if there[r.Number] == 0 {
				missing = append(missing, r.Number)
			}
		}
		for number, n := range there {
			if n > 1 {
				twice = append(twice, number)
			}
		}
		if len(missing)+len(twice) > 0 {
			s.t.Errorf("%s: of %d acknowledged rows %d are missing %v, and %d are there more than once %v", source, len(rows), len(missing), missing, len(twice), twice)
		}
	}
	s.agree()
}

// count returns how often each number is in ClickHouse's table of a source.
func (s *stack) count(source string) map[int64]uint64 {
	s.t.Helper()
	there := map[int64]uint64{}
	var found *sdk.Table
	s.eventually("ClickHouse counts", func() (ok bool) {
		var err error
		found, err = s.client.SQL(s.within(), "SELECT number, count() AS n FROM events_"+source+" WHERE number >= 0 GROUP BY number")
		if err != nil && !errors.Is(err, feature.ErrUnavailable) {
			s.t.Fatal(err)
		}
		return err == nil
	})
	for _, r := range found.Rows {
		there[r.Value("number").Int64()] = uint64(r.Value("n").Int64())
	}
	return there
}

// agree compares both paths.
func (s *stack) agree() {
	s.t.Helper()
	var r *api.VerifyResult
	s.eventually("verify compares", func() (ok bool) {
		var err error
		r, err = s.client.Verify(s.within(), api.VerifyRequest{Service: "users", Sample: 100}, nil)
		if err != nil && !errors.Is(err, feature.ErrUnavailable) {
			s.t.Fatal(err)
		}
		return err == nil
	})
	if r.Different > 0 || r.Problem != "" || r.Compared == 0 {
		s.t.Errorf("verify: %d of %d values differ, %s %+v", r.Different, r.Compared, r.Problem, r.Differences)
	}
}
