package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory keeps in memory what a log keeps; it can be told to fail.
type memory struct {
	batches []*feature.Batch
	letters []eventlog.Letter
	seq     uint64
	fail    error
}

func (m *memory) Publish(_ context.Context, batches ...*feature.Batch) (uint64, error) {
	if m.fail != nil {
		return 0, m.fail
	}
	m.batches = append(m.batches, batches...)
	m.seq++
	return m.seq, nil
}

func (m *memory) Refuse(_ context.Context, letters ...eventlog.Letter) error {
	if m.fail != nil {
		return m.fail
	}
	m.letters = append(m.letters, letters...)
	return nil
}

func (m *memory) rows() int {
	n := 0
	for _, b := range m.batches {
		n += b.Rows
	}
	return n
}

func now() time.Time { return arrival.Std() }

func catalog() *feature.Catalog {
	return &feature.Catalog{Sources: []*feature.Source{flights(), {Name: "a"}}}
}

func memoryGate() (*gate.Gate, *memory) {
	m := &memory{}
	return gate.New(gate.Config{Catalog: catalog, Log: m, Dead: m, Now: now}), m
}

func raw(rows ...string) []json.RawMessage {
	var out []json.RawMessage
	for _, r := range rows {
		out = append(out, json.RawMessage(r))
	}
	return out
}

const good = `{"flight_id": 1, "known_at": "2001-06-25T12:00:00Z"}`

func TestPushAtomic(t *testing.T) {
	g, m := memoryGate()
	got, err := g.Push(t.Context(), "flights", raw(good, good), gate.Atomic)
	if want := (gate.Result{Seq: 1, Accepted: 2}); err != nil || !cmp.Equal(got, want) {
		t.Fatalf("Push = %+v, %v, want %+v", got, err, want)
	}
	got, err = g.Push(t.Context(), "flights", raw(good, `{"flight_id": "x", "known_at": "2001-06-25T12:00:00Z", "gate": 1}`, good, `{}`), gate.Atomic)
	e, ok := errors.AsType[*feature.Error](err)
	if !ok || e.Code != feature.CodeInvalid || !cmp.Equal(got, gate.Result{}) {
		t.Fatalf("Push = %+v, %v, want CodeInvalid", got, err)
	}
	one, three := 1, 3
	want := []feature.Detail{
		{Row: &one, Field: "flight_id", Message: `cannot take string "x" for int64`},
		{Row: &one, Field: "gate", Message: "source flights has no such column: expected one of flight_id, origin, destination, scheduled, known_at, distance, delay, late"},
		{Row: &three, Field: "known_at", Message: "the event time is required: expected a timestamp"},
	}
	if diff := cmp.Diff(want, e.Details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
	if !strings.Contains(e.Message, "2 of 4 rows of source flights") {
		t.Errorf("message = %q", e.Message)
	}
	if m.rows() != 2 || len(m.letters) != 0 {
		t.Errorf("the log has %d rows and %d letters, want 2 and 0", m.rows(), len(m.letters))
	}
}

func TestPushNamesOnlyTheFirstHundred(t *testing.T) {
	g, _ := memoryGate()
	_, err := g.Push(t.Context(), "flights", raw(strings.Split(strings.Repeat("{},", 500)+"{}", ",")...), gate.Atomic)
	if e, ok := errors.AsType[*feature.Error](err); !ok || len(e.Details) != 100 || !strings.Contains(e.Message, "501 of 501") {
		t.Errorf("Push = %.300v", err)
	}
}

func TestPushPartial(t *testing.T) {
	g, m := memoryGate()
	got, err := g.Push(t.Context(), "flights", raw(`{"known_at": 5, "x": 1}`, good, `nonsense`), gate.Partial)
	if err != nil || got.Accepted != 1 || got.Rejected != 2 || got.Seq != 1 || len(got.Refused) != 3 {
		t.Fatalf("Push = %+v, %v", got, err)
	}
	want := []eventlog.Letter{
		{Source: "flights", Reason: "known_at: cannot take int64 5 for timestamp; x: source flights has no such column: expected one of flight_id, origin, destination, scheduled, known_at, distance, delay, late", Raw: []byte(`{"known_at": 5, "x": 1}`)},
		{Source: "flights", Reason: "not JSON at byte 1: expected a JSON object", Raw: []byte("nonsense")},
	}
	if diff := cmp.Diff(want, m.letters, cmp.AllowUnexported(eventlog.Letter{})); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
	if *got.Refused[2].Row != 2 {
		t.Errorf("the third detail names row %d, want 2", *got.Refused[2].Row)
	}
	got, err = g.Push(t.Context(), "flights", raw(`[]`), gate.Partial)
	if err != nil || got.Accepted != 0 || got.Seq != 0 || got.Rejected != 1 || m.rows() != 1 {
		t.Errorf("Push of a bad row = %+v, %v; the log has %d rows", got, err, m.rows())
	}
}

func TestPushNothing(t *testing.T) {
	g, _ := memoryGate()
	if got, err := g.Push(t.Context(), "flights", nil, gate.Atomic); err != nil || !cmp.Equal(got, gate.Result{}) {
		t.Errorf("Push of nothing = %+v, %v", got, err)
	}
}

func TestUnknownSource(t *testing.T) {
	g, _ := memoryGate()
	_, err := g.Push(t.Context(), "flihgts", raw(good), gate.Atomic)
	if feature.CodeOf(err) != feature.CodeNotFound || err.Error() != `unknown source "flihgts": expected one of a, flights` {
		t.Errorf("Push = %v", err)
	}
	_, err = g.PushLines(t.Context(), "flihgts", strings.NewReader(good), gate.Atomic)
	if feature.CodeOf(err) != feature.CodeNotFound {
		t.Errorf("PushLines = %v", err)
	}
	none := gate.New(gate.Config{Catalog: func() *feature.Catalog { return &feature.Catalog{} }})
	if _, err := none.Push(t.Context(), "x", nil, gate.Atomic); feature.CodeOf(err) != feature.CodeNotFound || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("Push = %v", err)
	}
}

func TestPushPassesErrorsOfTheLogOn(t *testing.T) {
	g, m := memoryGate()
	m.fail = feature.ErrOverloaded
	for _, mode := range []gate.Mode{gate.Atomic, gate.Partial} {
		if got, err := g.Push(t.Context(), "flights", raw(good), mode); !errors.Is(err, feature.ErrOverloaded) || got.Accepted != 0 {
			t.Errorf("Push = %+v, %v", got, err)
		}
	}
	if _, err := g.Push(t.Context(), "flights", raw(good, `{}`), gate.Partial); !errors.Is(err, feature.ErrOverloaded) || m.rows() != 0 {
		t.Errorf("Push = %v; the log has %d rows", err, m.rows())
	}
}

func lines(n int, bad ...int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		if len(bad) > 0 && i == bad[0] {
			b.WriteString("{}\n")
			bad = bad[1:]
		} else {
			b.WriteString(good + "\r\n")
		}
	}
	return b.String()
}

func TestPushLines(t *testing.T) {
	g, m := memoryGate()
	got, err := g.PushLines(t.Context(), "flights", strings.NewReader(lines(25_000)+"\n \n"+good), gate.Atomic)
	if err != nil || got.Accepted != 25_001 || got.Seq != 3 || m.rows() != 25_001 {
		t.Errorf("PushLines = %+v, %v; the log has %d rows", got, err, m.rows())
	}
	if got, err := g.PushLines(t.Context(), "flights", strings.NewReader(""), gate.Atomic); err != nil || got.Accepted != 0 {
		t.Errorf("PushLines of nothing = %+v, %v", got, err)
	}
}

func TestPushLinesAtomicStopsAtABadChunk(t *testing.T) {
	g, m := memoryGate()
	got, err := g.PushLines(t.Context(), "flights", strings.NewReader(lines(30_000, 12_345, 12_347)), gate.Atomic)
	e, ok := errors.AsType[*feature.Error](err)
	if !ok || e.Code != feature.CodeInvalid || len(e.Details) != 2 || e.Details[0].Line != 12_345 || e.Details[1].Line != 12_347 {
		t.Fatalf("PushLines = %v", err)
	}
	if got.Accepted != 10_000 || got.Seq != 1 || m.rows() != 10_000 || !strings.Contains(e.Message, "2 lines of source flights are refused; 10000 rows before were taken") {
		t.Errorf("PushLines = %+v, %v; the log has %d rows", got, err, m.rows())
	}
}

func TestPushLinesPartial(t *testing.T) {
	g, m := memoryGate()
	long := `{"origin": "` + strings.Repeat("x", gate.MaxRowBytes) + `"}` + "\n"
	got, err := g.PushLines(t.Context(), "flights", strings.NewReader(long+lines(20_000, 3, 15_000)+"{"), gate.Partial)
	if err != nil || got.Accepted != 19_998 || got.Rejected != 4 || m.rows() != 19_998 || len(m.letters) != 4 {
		t.Fatalf("PushLines = %+v, %v; the log has %d rows, %d letters", got, err, m.rows(), len(m.letters))
	}
	var at []int
	for _, d := range got.Refused {
		at = append(at, d.Line)
	}
	if want := []int{1, 4, 15_001, 20_002}; !cmp.Equal(at, want) {
		t.Errorf("lines %v are refused, want %v", at, want)
	}
}

func TestPushLinesOfABrokenConnection(t *testing.T) {
	g, m := memoryGate()
	in := io.MultiReader(strings.NewReader(lines(10_005)), &broken{})
	got, err := g.PushLines(t.Context(), "flights", in, gate.Atomic)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "behind line 10005") || got.Accepted != 10_000 || m.rows() != 10_000 {
		t.Errorf("PushLines = %+v, %v; the log has %d rows", got, err, m.rows())
	}
}

type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// With the real log: rows pushed and rows of the inbox arrive, bad ones are dead letters.
func TestWithTheLog(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log, err := eventlog.Open(ctx, eventlog.Config{Dir: t.TempDir(), Durability: eventlog.OS})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	g := gate.New(gate.Config{Catalog: catalog, Log: log, Dead: log, Inbox: log, Now: now})
	got, err := g.Push(ctx, "flights", raw(good, `{"flight_id": 2}`, good), gate.Partial)
	if err != nil || got.Accepted != 2 || got.Seq == 0 {
		t.Fatalf("Push = %+v, %v", got, err)
	}
	for subject, data := range map[string]string{
		"lockstep.in.flights": fmt.Sprintf("[%s, %s, 5]", good, good),
		"lockstep.in.nobody":  good,
	} {
		if _, err := log.JetStream().Publish(ctx, subject, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(running) }()
	rows := 0
	enough := errors.New("enough")
	err = log.Tail(ctx, 1, func(e eventlog.Entry) error {
		if rows += e.Batch.Rows; rows == 4 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("Tail = %v after %d rows, want 4", err, rows)
	}
	reasons := map[string]bool{}
	for tick := time.NewTicker(10 * time.Millisecond); len(reasons) < 3 && ctx.Err() == nil; <-tick.C {
		letters, err := log.Letters(ctx, eventlog.LetterQuery{})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range letters {
			reasons[x.Source+"/"+x.Field+"/"+x.Reason] = true
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	want := map[string]bool{
		"flights/known_at/the event time is required: expected a timestamp": true,
		"flights//not JSON at byte 1: expected a JSON object":               true,
		`nobody//unknown source "nobody": expected one of a, flights`:       true,
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}
