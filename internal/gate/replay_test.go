package gate_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
)

// shelf keeps letters as a log does.
type shelf struct {
	letters []eventlog.Letter
	taken   map[uint64]int64 // by letter, the flight of its row
	fail    error
}

func (s *shelf) PublishLetter(_ context.Context, x eventlog.Letter, b *feature.Batch) (uint64, bool, error) {
	if s.fail != nil {
		return 0, false, s.fail
	}
	_, known := s.taken[x.Seq]
	s.taken[x.Seq] = b.Column("flight_id").Ints[0]
	return 100 + x.Seq, known, nil
}

func (s *shelf) RefuseAgain(_ context.Context, x eventlog.Letter, reason, field string) error {
	s.letters[x.Seq-1].Reason, s.letters[x.Seq-1].Field = reason, field
	return s.fail
}

func (s *shelf) Discard(_ context.Context, seqs ...uint64) error {
	for _, seq := range seqs {
		s.taken[seq] = 0
	}
	return s.fail
}

func (s *shelf) each() iter.Seq2[eventlog.Letter, error] {
	return func(yield func(eventlog.Letter, error) bool) {
		for _, x := range s.letters {
			if _, gone := s.taken[x.Seq]; !gone && !yield(x, nil) {
				return
			}
		}
	}
}

func newShelf(rows ...eventlog.Letter) *shelf {
	for i := range rows {
		rows[i].Seq = uint64(i + 1)
	}
	return &shelf{letters: rows, taken: map[uint64]int64{}}
}

func row(flight int, more string) []byte {
	return fmt.Appendf(nil, `{"flight_id": %d, "known_at": "2001-06-25T12:00:00Z"%s}`, flight, more)
}

// TestReplay: of rows that were refused, those that fit the definitions now are taken, the others stay with the
// reason of today.
func TestReplay(t *testing.T) {
	s := newShelf(
		eventlog.Letter{Source: "flights", Reason: "no such column", Field: "delay", Raw: row(1, `, "delay": 5`)},
		eventlog.Letter{Source: "flights", Reason: "no such column", Field: "gate", Raw: row(2, `, "gate": 5`)},
		eventlog.Letter{Source: "nobody", Reason: "old", Raw: row(3, "")},
		eventlog.Letter{Source: "flights", Reason: "no such column", Raw: row(4, "")},
		eventlog.Letter{Source: "flights", Reason: "not JSON", Raw: []byte("{")},
	)
	g := gate.New(gate.Config{Catalog: catalog, Log: &memory{}, Again: s, Now: now})

	before := append([]eventlog.Letter{}, s.letters...)
	dry, err := g.Replay(t.Context(), s.each(), true, nil)
	if err != nil || dry.Taken != 2 || dry.Refused != 3 || dry.Seq != 0 || len(s.taken) > 0 || !cmp.Equal(before, s.letters, cmp.AllowUnexported(eventlog.Letter{})) {
		t.Fatalf("a dry replay = %+v, %v; it took %v and left %+v", dry, err, s.taken, s.letters)
	}

	calls := 0
	got, err := g.Replay(t.Context(), s.each(), false, func(gate.Replayed) { calls++ })
	if err != nil || got.Taken != 2 || got.Refused != 3 || got.Known != 0 || got.Seq != 104 || calls != 5 {
		t.Fatalf("Replay = %+v, %v after %d calls", got, err, calls)
	}
	if want := map[uint64]int64{1: 1, 4: 4}; !cmp.Equal(s.taken, want) {
		t.Errorf("taken %v, want %v", s.taken, want)
	}
	var reasons []string
	for i, x := range got.Letters {
		if !cmp.Equal(dry.Letters[i], x, cmp.AllowUnexported(eventlog.Letter{})) || s.letters[x.Seq-1].Reason != x.Reason {
			t.Errorf("letter %d: dry %+v, done %+v, kept %+v", x.Seq, dry.Letters[i], x, s.letters[x.Seq-1])
		}
		reasons = append(reasons, fmt.Sprintf("%d %s: %s", x.Seq, x.Field, x.Reason))
	}
	want := []string{
		"2 gate: source flights has no such column: expected one of flight_id, origin, destination, scheduled, known_at, distance, delay, late",
		`3 : unknown source "nobody": expected one of a, flights`,
		"5 : not JSON: expected a name in double quotes, but the text ends after 1 bytes",
	}
	if d := cmp.Diff(want, reasons); d != "" {
		t.Errorf("refused (-want +got):\n%s", d)
	}
	if got, err = g.Replay(t.Context(), s.each(), false, nil); err != nil || got.Taken != 0 || got.Refused != 3 {
		t.Errorf("Replay again = %+v, %v, want three refused", got, err)
	}
}

func TestReplayKnown(t *testing.T) {
	s := newShelf(eventlog.Letter{Source: "flights", Raw: row(1, "")})
	g := gate.New(gate.Config{Catalog: catalog, Log: &memory{}, Again: s, Now: now})
	letters := s.each()
	s.taken[1] = 1
	cutOff := func(yield func(eventlog.Letter, error) bool) { yield(s.letters[0], nil) } // it was published, not discarded
	if got, err := g.Replay(t.Context(), cutOff, false, nil); err != nil || got.Known != 1 || got.Taken != 0 {
		t.Errorf("Replay = %+v, %v, want one known", got, err)
	}
	if got, err := g.Replay(t.Context(), letters, false, nil); err != nil || got.Known != 0 {
		t.Errorf("Replay of nothing = %+v, %v", got, err)
	}
}

func TestReplayFails(t *testing.T) {
	broken := errors.New("broken")
	s := newShelf(eventlog.Letter{Source: "flights", Raw: row(1, "")}, eventlog.Letter{Source: "flights", Raw: []byte("{")})
	s.fail = broken
	g := gate.New(gate.Config{Catalog: catalog, Log: &memory{}, Again: s, Now: now})
	for _, letters := range []iter.Seq2[eventlog.Letter, error]{
		s.each(),
		func(yield func(eventlog.Letter, error) bool) { yield(s.letters[1], nil) },
		func(yield func(eventlog.Letter, error) bool) { yield(eventlog.Letter{}, broken) },
	} {
		if _, err := g.Replay(t.Context(), letters, false, nil); !errors.Is(err, broken) {
			t.Errorf("Replay = %v, want %v", err, broken)
		}
	}
}
