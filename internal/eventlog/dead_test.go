package eventlog_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

func TestLetters(t *testing.T) {
	l := open(t, eventlog.Config{})
	want := []eventlog.Letter{
		{Source: "clicks", Reason: "two lines:\n  of ünicode", Field: "at", Raw: []byte(`{"id": "x"}`)},
		{Source: "no such.source *", Reason: "unknown source", Raw: []byte{0, 1, 2}},
		{Source: "users", Reason: "not JSON", Raw: []byte("{")},
	}
	before := time.Now().Add(-time.Second)
	if err := l.Refuse(within(t), want...); err != nil {
		t.Fatal(err)
	}
	got, err := l.Letters(within(t), eventlog.LetterQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(eventlog.Letter{}), cmpopts.IgnoreFields(eventlog.Letter{}, "Seq", "Time")); d != "" {
		t.Errorf("Letters (-want +got):\n%s", d)
	}
	for i, x := range got {
		if x.Seq != uint64(i+1) || x.Time.Before(before) || x.Time.Location() != time.UTC {
			t.Errorf("letter %d: %d at %s", i, x.Seq, x.Time)
		}
	}
	stats, err := l.Stats(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]uint64{"clicks": 1, "users": 1, "": 1}, stats.Dead); d != "" {
		t.Errorf("Stats.Dead (-want +got):\n%s", d)
	}
	if err := l.Discard(within(t), 1, 1, 99); err != nil {
		t.Errorf("Discard: %v", err)
	}
	if got, err = l.Letters(within(t), eventlog.LetterQuery{}); len(got) != 2 || err != nil {
		t.Errorf("%d letters after Discard, %v, want 2", len(got), err)
	}
}

func TestLetterPages(t *testing.T) {
	l := open(t, eventlog.Config{})
	var letters []eventlog.Letter
	for i := range 1200 {
		letters = append(letters, eventlog.Letter{Source: []string{"a", "b"}[i%2], Reason: "r", Raw: fmt.Append(nil, i)})
	}
	if err := l.Refuse(within(t), letters...); err != nil {
		t.Fatal(err)
	}
	if all, err := l.Letters(within(t), eventlog.LetterQuery{}); len(all) != 100 || err != nil {
		t.Errorf("%d letters without a limit, %v, want 100", len(all), err)
	}
	n := 0
	q := eventlog.LetterQuery{Source: "b", Limit: 250}
	for {
		page, err := l.Letters(within(t), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range page {
			if want := fmt.Sprint(2*n + 1); string(x.Raw) != want {
				t.Fatalf("letter %d of b is %s, want %s", n, x.Raw, want)
			}
			n++
			q.After = x.Seq
		}
		if len(page) < q.Limit {
			break
		}
	}
	if n != 600 {
		t.Errorf("%d letters of b, want 600", n)
	}
	if _, err := l.Letters(within(t), eventlog.LetterQuery{Source: "*"}); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("Letters of source *: %v, want %s", err, feature.CodeInvalid)
	}
}

func TestLargeLetter(t *testing.T) {
	l := open(t, eventlog.Config{})
	raw := bytes.Repeat([]byte("x"), 9<<20)
	if err := l.Refuse(within(t), eventlog.Letter{Source: "clicks", Reason: strings.Repeat("r", 1<<20), Raw: raw}); err != nil {
		t.Fatal(err)
	}
	got, err := l.Letters(within(t), eventlog.LetterQuery{})
	if err != nil || len(got) != 1 || len(got[0].Raw) < 7<<20 || !strings.HasPrefix(got[0].Reason, "rrr") {
		t.Errorf("%d letters, %v, want the beginning of one", len(got), err)
	}
}
