package eventlog_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

func letters(t *testing.T, l *eventlog.Log, q eventlog.LetterQuery) []eventlog.Letter {
	t.Helper()
	got, err := l.Letters(within(t), q)
	if err != nil {
		t.Fatalf("Letters: %v", err)
	}
	return got
}

// refused returns a log with n letters of a source.
func refused(t *testing.T, cfg eventlog.Config, n int) *eventlog.Log {
	t.Helper()
	l := open(t, cfg)
	for i := range n {
		if err := l.Refuse(within(t), eventlog.Letter{Source: "clicks", Reason: fmt.Sprintf("reason %d", i), Raw: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestLetterFilters(t *testing.T) {
	l := refused(t, eventlog.Config{}, 12)
	all := letters(t, l, eventlog.LetterQuery{})
	for _, tc := range []struct {
		name string
		q    eventlog.LetterQuery
		want string
	}{
		{"a part of the reason", eventlog.LetterQuery{Reason: "on 1"}, "[2 11 12]"},
		{"with a limit", eventlog.LetterQuery{Reason: "on 1", Limit: 2}, "[2 11]"},
		{"behind one", eventlog.LetterQuery{Reason: "on 1", After: 2}, "[11 12]"},
		{"since, the edge is in", eventlog.LetterQuery{Since: all[9].Time}, "[10 11 12]"},
		{"until, the edge is out", eventlog.LetterQuery{Until: all[2].Time}, "[1 2]"},
		{"between", eventlog.LetterQuery{Source: "clicks", Since: all[3].Time, Until: all[5].Time}, "[4 5]"},
		{"of another source", eventlog.LetterQuery{Source: "users"}, "[]"},
	} {
		seqs := []uint64{}
		for _, x := range letters(t, l, tc.q) {
			seqs = append(seqs, x.Seq)
		}
		if got := fmt.Sprint(seqs); got != tc.want {
			t.Errorf("%s: letters %s, want %s", tc.name, got, tc.want)
		}
	}
	x, err := l.Letter(within(t), 3)
	if err != nil || string(x.Raw) != "2" || x.Reason != "reason 2" || !x.Time.Equal(all[2].Time) {
		t.Errorf("Letter(3) = %+v, %v", x, err)
	}
	for _, seq := range []uint64{0, 13} {
		if _, err := l.Letter(within(t), seq); !errors.Is(err, feature.ErrNotFound) {
			t.Errorf("Letter(%d) = %v, want %s", seq, err, feature.CodeNotFound)
		}
	}
}

// TestLettersBehindManyOthers: pages hold what is asked for, not what was looked at.
func TestLettersBehindManyOthers(t *testing.T) {
	l := open(t, eventlog.Config{})
	var all []eventlog.Letter
	for i := range 2600 {
		all = append(all, eventlog.Letter{Source: "clicks", Reason: []string{"odd", "even"}[i%2], Raw: fmt.Append(nil, i)})
	}
	all = append(all, eventlog.Letter{Source: "clicks", Reason: "rare"})
	if err := l.Refuse(within(t), all...); err != nil {
		t.Fatal(err)
	}
	if got := letters(t, l, eventlog.LetterQuery{Reason: "rare"}); len(got) != 1 || got[0].Seq != 2601 {
		t.Errorf("letters with the rare reason: %v", got)
	}
	n := 0
	for _, err := range l.EachLetter(within(t), eventlog.LetterQuery{Reason: "even"}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1300 {
		t.Errorf("EachLetter yields %d, want 1300", n)
	}
}

func TestPublishLetter(t *testing.T) {
	l := refused(t, eventlog.Config{}, 2)
	x := letters(t, l, eventlog.LetterQuery{})[0]
	row := rows(7, 1)
	seq, known, err := l.PublishLetter(within(t), x, row)
	if err != nil || known || seq != 1 {
		t.Fatalf("PublishLetter = %d, %t, %v, want 1, false", seq, known, err)
	}
	if left := letters(t, l, eventlog.LetterQuery{}); len(left) != 1 || left[0].Seq != 2 {
		t.Errorf("letters left: %v, want the second alone", left)
	}
	if seq, known, err = l.PublishLetter(within(t), x, row); err != nil || !known || seq != 1 {
		t.Errorf("PublishLetter again = %d, %t, %v, want 1, true", seq, known, err)
	}
	if got := ids(read(t, l, 1, last(t, l))); len(got) != 1 || got[0] != 7 {
		t.Errorf("the log has rows %v, want 7 once", got)
	}
}

// TestReplayCutOff: a replay that ended between publishing and discarding adds nothing when it is repeated, even if
// the letter was replaced meanwhile, the process was another, or the log has forgotten what it took.
func TestReplayCutOff(t *testing.T) {
	cfg := eventlog.Config{Dir: t.TempDir()}
	l := refused(t, cfg, 1)
	x := letters(t, l, eventlog.LetterQuery{})[0]
	publishLetter := func(x eventlog.Letter) (known bool) {
		t.Helper()
		_, known, err := l.PublishLetter(within(t), x, rows(7, 1))
		if err != nil {
			t.Fatal(err)
		}
		return known
	}
	putBack := func() { // as if it had not been discarded
		t.Helper()
		if err := l.Refuse(within(t), x); err != nil {
			t.Fatal(err)
		}
	}
	publishLetter(x)
	putBack()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, cfg)
	again := letters(t, l, eventlog.LetterQuery{})
	if len(again) != 1 || !again[0].Time.Equal(x.Time) {
		t.Fatalf("letters %v, want the one of %s", again, x.Time)
	}
	if err := l.RefuseAgain(within(t), again[0], "another reason", "id"); err != nil {
		t.Fatal(err)
	}
	again = letters(t, l, eventlog.LetterQuery{})
	if len(again) != 1 || again[0].Reason != "another reason" || again[0].Field != "id" || !again[0].Time.Equal(x.Time) || string(again[0].Raw) != "0" {
		t.Fatalf("letters %+v, want one with another reason, of the same time and row", again)
	}
	if !publishLetter(again[0]) {
		t.Error("the row was published twice")
	}
	putBack()
	seq := publish(t, l, rows(8, 1))
	if err := l.Trim(within(t), seq); err != nil {
		t.Fatal(err)
	}
	if left := letters(t, l, eventlog.LetterQuery{}); len(left) != 0 {
		t.Errorf("letters %v are left, though the log had their rows", left)
	}
}

func TestRefuseAgainForTheSameReason(t *testing.T) {
	l := refused(t, eventlog.Config{}, 1)
	x := letters(t, l, eventlog.LetterQuery{})[0]
	if err := l.RefuseAgain(within(t), x, x.Reason, x.Field); err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{"b", "reason 0", "b", "reason 0"} { // back and forth, quickly
		if err := l.RefuseAgain(within(t), letters(t, l, eventlog.LetterQuery{})[0], reason, ""); err != nil {
			t.Fatal(err)
		}
		if got := letters(t, l, eventlog.LetterQuery{}); len(got) != 1 || got[0].Reason != reason {
			t.Fatalf("letters %+v, want one with reason %q", got, reason)
		}
	}
}

// TestReplayAtTheSameTime: many replay the same letters.
func TestReplayAtTheSameTime(t *testing.T) {
	l := refused(t, eventlog.Config{}, 40)
	var fresh atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for x, err := range l.EachLetter(within(t), eventlog.LetterQuery{}) {
				if err != nil {
					t.Error(err)
					return
				}
				_, known, err := l.PublishLetter(within(t), x, rows(int(x.Seq), 1))
				if err != nil {
					t.Error(err)
				}
				if !known {
					fresh.Add(1)
				}
			}
		})
	}
	group.Wait()
	got := map[int64]int{}
	for _, id := range ids(read(t, l, 1, last(t, l))) {
		got[id]++
	}
	if len(got) != 40 || fresh.Load() != 40 || last(t, l) != 40 {
		t.Errorf("%d rows of 40, %d taken, in %d messages", len(got), fresh.Load(), last(t, l))
	}
	if left := letters(t, l, eventlog.LetterQuery{Until: time.Now()}); len(left) > 0 {
		t.Errorf("%d letters are left", len(left))
	}
}
