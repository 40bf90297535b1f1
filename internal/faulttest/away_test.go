package faulttest_test

import (
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// filled starts a stack with some rows of user a in both stores.
func filled(t *testing.T) *stack {
	t.Helper()
	t.Parallel()
	s := newStack(t)
	s.mustPush("clicks", "a", 5)
	s.mustPush("orders", "a", 5)
	s.level()
	return s
}

// TestClickHouseGone takes ClickHouse away: pushes and reads go on, what needs it fails soon and says why, status says how
// far it is behind, and all is there afterwards.
func TestClickHouseGone(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{"down": {down: true}, "mute": {mute: true}} {
		t.Run(name, func(t *testing.T) {
			s := filled(t)
			s.clickhouse.set(m)
			s.during(func() {
				s.mustPush("clicks", "a", 3)
				s.mustPush("orders", "a", 1)
				s.wantRead("a", feature.PathAuto)
			})
			s.wantAway(readLongAgo, readHistory, train, query, importFile, verifyService, eraseKey)
			s.wantAnswer(readNow, listLetters)
			s.wantAway(apply) // but what was applied is
			s.mustPush("visits", "a", 3)
			s.wantDegraded("ClickHouse cannot be reached")
			if st := s.status(); st.Sink.Behind == 0 || st.Sink.LagMS == 0 || st.Replica.Behind > 0 {
				t.Errorf("status: sink %+v, replica %+v; want that it says how far ClickHouse is behind", st.Sink, st.Replica)
			}
			s.clickhouse.set(mode{})
			s.complete()
			s.wantAnswer(readLongAgo, readHistory, train)
			s.wantWell()
		})
	}
}

// TestClickHouseSlow delays and cuts what ClickHouse says: everything takes longer, and that is all.
func TestClickHouseSlow(t *testing.T) {
	s := filled(t)
	s.clickhouse.set(mode{delay: 50 * time.Millisecond, cuts: 20})
	s.during(func() {
		s.mustPush("clicks", "a", 20)
		s.mustPush("orders", "b", 5)
		s.wantRead("a", feature.PathOnline)
	})
	s.clickhouse.set(mode{})
	s.complete()
}

// TestNATSGone takes NATS away: reads go on and say that they are stale, what needs it fails soon and says why, and all is
// there afterwards.
func TestNATSGone(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mode{"down": {down: true}, "mute": {mute: true}} {
		t.Run(name, func(t *testing.T) {
			s := filled(t)
			s.nats.set(m)
			s.wantAway(pushRows)
			s.during(func() {
				if err := s.push("clicks", "a", 1); err == nil {
					t.Error("a push was acknowledged while nobody could acknowledge it")
				}
				s.wantRead("a", feature.PathOnline)
			})
			s.wantAway(pushRows, pushIDs, apply, listLetters, eraseKey, verifyService)
			s.wantAnswer(readNow, readHistory, train)
			s.wantStale(feature.PathAuto, "behind the log")
			s.wantDegraded("NATS cannot be reached")
			s.nats.set(mode{})
			s.eventually("pushes are taken again", func() bool { return s.push("clicks", "a", 1) == nil && s.push("orders", "a", 1) == nil })
			s.complete()
		})
	}
}

// TestNATSSlow delays and cuts what NATS says: a push that was not acknowledged may have been taken, and no other harm is
// done.
func TestNATSSlow(t *testing.T) {
	s := filled(t)
	s.nats.set(mode{delay: 5 * time.Millisecond, cuts: 20})
	acked := 0
	s.during(func() {
		if s.push("clicks", "a", 3) == nil && s.push("orders", "b", 1) == nil {
			acked++
		}
		s.wantAnswer(readNow)
	})
	s.nats.set(mode{})
	s.complete()
	if acked == 0 {
		t.Error("no push was acknowledged")
	}
}

// TestBothGone takes both away: the replica answers.
func TestBothGone(t *testing.T) {
	s := filled(t)
	s.nats.set(mode{down: true})
	s.clickhouse.set(mode{down: true})
	s.during(func() { s.wantRead("a", feature.PathAuto) })
	s.wantAway(pushRows, pushIDs, train, readLongAgo)
	s.wantDegraded("NATS cannot be reached")
	s.nats.set(mode{})
	s.clickhouse.set(mode{})
	s.eventually("pushes are taken again", func() bool { return s.push("orders", "a", 1) == nil })
	s.wantRead("a", feature.PathAuto)
	s.complete()
}
