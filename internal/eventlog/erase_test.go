package eventlog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// has returns what says whether an entry has one of some ids.
func has(wanted ...int64) func(eventlog.Entry) bool {
	return func(e eventlog.Entry) bool {
		return slices.ContainsFunc(ids([]eventlog.Entry{e}), func(id int64) bool { return slices.Contains(wanted, id) })
	}
}

// readable returns the ids that a reader finds in the log, passing over what is not there.
func readable(t *testing.T, l *eventlog.Log) (found []int64) {
	t.Helper()
	end := last(t, l)
	from, _, err := l.Bounds(within(t))
	enough := errors.New("enough")
	for err == nil && from <= end {
		err = l.Tail(within(t), from, func(e eventlog.Entry) error {
			found = append(found, ids([]eventlog.Entry{e})...)
			if from = e.Seq + 1; from > end {
				return enough
			}
			return nil
		})
		if lost, ok := errors.AsType[*eventlog.CorruptError](err); ok {
			from, err = lost.Upto+1, nil
		}
	}
	if !errors.Is(err, enough) {
		t.Fatalf("Tail: %v", err)
	}
	return found
}

func TestEraseEntries(t *testing.T) {
	l := open(t, eventlog.Config{})
	for i := range 6 {
		publish(t, l, rows(10*i, 2))
	}
	seen := 0
	n, err := l.EraseEntries(within(t), 6, has(0, 21, 31, 50), func(uint64) { seen++ })
	if err != nil || n != 3 || seen != 5 {
		t.Errorf("EraseEntries = %d, %v, after %d entries; want 3 of 5", n, err, seen)
	}
	if got, want := readable(t, l), []int64{10, 11, 40, 41, 50, 51}; !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
	// What is gone already, at the beginning and within, is passed over.
	if n, err = l.EraseEntries(within(t), 6, has(0, 21, 41), nil); err != nil || n != 1 {
		t.Errorf("EraseEntries again = %d, %v, want 1", n, err)
	}
	if n, err = l.EraseEntries(within(t), 1, has(10), nil); err != nil || n != 0 {
		t.Errorf("EraseEntries of nothing = %d, %v", n, err)
	}
	if first, end, err := l.Bounds(within(t)); first != 2 || end != 6 || err != nil {
		t.Errorf("the log has %d to %d, %v, want 2 to 6", first, end, err)
	}
}

// TestEraseInbox: the entries by which the log knows how much of the inbox it has may go, and the inbox goes on.
func TestEraseInbox(t *testing.T) {
	cfg := eventlog.Config{Dir: t.TempDir()}
	l := open(t, cfg)
	stop := inbox(t, l, take)
	for i := range 3 {
		send(t, l, "clicks", fmt.Sprintf(`{"id": %d}`, i))
		drained(t, l)
	}
	if n, err := l.EraseEntries(within(t), last(t, l)+1, has(1, 2), nil); err != nil || n != 2 {
		t.Fatalf("EraseEntries = %d, %v, want 2", n, err)
	}
	send(t, l, "clicks", `{"id": 3}`)
	drained(t, l)
	_ = stop()
	publish(t, l, rows(90, 1)) // so that the last entry is not one of those
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, cfg)
	stop = inbox(t, l, take)
	send(t, l, "clicks", `{"id": 4}`)
	drained(t, l)
	_ = stop()
	if got, want := readable(t, l), []int64{0, 3, 90, 4}; !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
}

func TestEraseLetters(t *testing.T) {
	l := refused(t, eventlog.Config{}, 3)
	if err := l.EraseLetters(within(t), 1, 3, 3, 9); err != nil {
		t.Fatal(err)
	}
	if left := letters(t, l, eventlog.LetterQuery{}); len(left) != 1 || left[0].Seq != 2 {
		t.Errorf("letters left: %v, want the second", left)
	}
}

func TestEraseRecord(t *testing.T) {
	l := open(t, eventlog.Config{})
	want := []eventlog.Erasure{
		{Erasure: feature.Erasure{Source: "a", Columns: []string{"s", "n"}, Keys: []feature.Key{
			{feature.StringValue("ü\x00"), feature.Int64Value(-1)}, {feature.StringValue(""), feature.Int64Value(1 << 60)},
		}}},
		{Erasure: feature.Erasure{Source: "b", Columns: []string{"t", "f"}, Keys: []feature.Key{{feature.TimestampValue(-1), feature.BoolValue(true)}}}},
	}
	seq, err := l.PublishRecord(within(t), eventlog.Record{ID: "erase-x", Kind: eventlog.RecordErase, Erase: want})
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, l, seq, seq)[0].Record
	if d := cmp.Diff(want, got.Erase); d != "" || got.Kind != eventlog.RecordErase {
		t.Errorf("record %+v (-want +got):\n%s", got, d)
	}
}
