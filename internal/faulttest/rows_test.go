package faulttest_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

// push pushes n rows of a user in one call, and remembers them if they are acknowledged.
func (s *stack) push(source, user string, n int) error {
	s.mu.Lock()
	rows := make([]map[string]any, n)
	first := s.next
	for i := range rows {
		rows[i] = map[string]any{"number": s.next, "user": user, "at": s.now().UTC().Format(time.RFC3339Nano)}
		s.next++
	}
	s.mu.Unlock()
	err := s.client.Push(s.within(), source, rows)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return err
	}
	for i := range int64(n) {
		s.acked[source][first+i] = true
	}
	s.last[source+" "+user] = first + int64(n) - 1
	return nil
}

func (s *stack) now() time.Time {
	if s.cfg.Now != nil {
		return s.cfg.Now()
	}
	return time.Now()
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
	s.mu.Lock()
	want := fmt.Sprint(s.last["clicks "+user], s.last["orders "+user])
	s.mu.Unlock()
	ok := func() bool {
		click, order, _, err := s.read(user, path)
		got = fmt.Sprint(click, order, err)
		return err == nil && fmt.Sprint(click, order) == want
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := s.within(); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("read of %s by path %s: %s, want %s", user, path, got, want)
		}
	}
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
	defer func() {
		if s.t.Failed() && st != nil {
			s.t.Logf("log %+v, sink %+v, replica %+v, stale %q", st.Log, st.Sink, st.Replica, st.Stale)
		}
	}()
	s.eventually("everything is level", func() bool {
		st = s.status()
		return st.Log != nil && st.Sink.Behind == 0 && st.Replica.Behind == 0 && len(st.Stale) == 0 && st.Sink.Watermark.Seq == st.Log.Last
	})
}

// complete makes sure that what was acknowledged is in ClickHouse once, that nothing else is there except rows of pushes
// whose end nobody knows, and that both paths agree.
func (s *stack) complete() {
	s.t.Helper()
	s.level()
	s.mu.Lock()
	defer s.mu.Unlock()
	for source, acked := range s.acked {
		if len(acked) == 0 {
			continue
		}
		rows, err := s.conn.Query(s.within(), "SELECT number, count() FROM events_"+source+" WHERE number >= 0 GROUP BY number")
		if err != nil {
			s.t.Fatal(err)
		}
		there := map[int64]uint64{}
		for rows.Next() {
			var number int64
			var n uint64
			if err := rows.Scan(&number, &n); err != nil {
				s.t.Fatal(err)
			}
			there[number] = n
		}
		_ = rows.Close()
		var missing, twice []int64
		for _, number := range slices.Sorted(maps.Keys(acked)) {
			if there[number] == 0 {
				missing = append(missing, number)
			}
		}
		for number, n := range there {
			if n > 1 {
				twice = append(twice, number)
			}
		}
		if len(missing)+len(twice) > 0 {
			s.t.Errorf("%s: of %d acknowledged rows %d are missing %v, and %d are there more than once %v", source, len(acked), len(missing), missing, len(twice), twice)
		}
	}
	s.agree()
}

// agree compares both paths.
func (s *stack) agree() {
	s.t.Helper()
	r, err := s.client.Verify(s.within(), api.VerifyRequest{Service: "users", Sample: 100}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Different > 0 || r.Problem != "" || r.Compared == 0 {
		s.t.Errorf("verify: %d of %d values differ, %s %+v", r.Different, r.Compared, r.Problem, r.Differences)
	}
}
