package node_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/sdk"
)

const paymentsYAML = `
kind: entity
name: customer
key: [{name: customer, type: int64}]
---
kind: source
name: payments
columns: {id: int64, customer: int64, at: timestamp, amount: float64, note: string}
event_time: at
tiebreak: id
id: [id]
---
kind: view
name: last
entity: customer
source: payments
history: 30d
features: [{name: amount, latest: amount}, {name: id, latest: id, ttl: 3d}]
---
kind: service
name: model
features: [last]
`

// payment is an event of TestEverythingTwice.
type payment struct {
	id     int
	at     time.Time
	amount int
}

func (p payment) json() string {
	return fmt.Sprintf(`{"id": %d, "customer": %d, "at": %q, "amount": %d}`, p.id, p.id*7919%199, p.at.Format(time.RFC3339Nano), p.amount)
}

func lines(payments []payment) *strings.Reader {
	var b strings.Builder
	for _, p := range payments {
		b.WriteString(p.json() + "\n")
	}
	return strings.NewReader(b.String())
}

// shuffled returns the payments in an order in which none is more than an hour from where it belongs.
func shuffled(r *rand.Rand, payments []payment) []payment {
	type late struct {
		payment
		by time.Time
	}
	all := make([]late, len(payments))
	for i, p := range payments {
		all[i] = late{p, p.at.Add(time.Duration(r.Int64N(int64(time.Hour))))}
	}
	slices.SortStableFunc(all, func(a, b late) int { return a.by.Compare(b.by) })
	out := make([]payment, len(all))
	for i := range all {
		out[i] = all[i].payment
	}
	return out
}

// TestEverythingTwice sends what happened in some weeks again and again, on every way there is. Every event is there once,
// every copy is counted, and both paths agree.
func TestEverythingTwice(t *testing.T) {
	client := start(t)
	if _, err := client.Apply(t.Context(), api.RegistryRequest{Files: map[string]string{"payments.yaml": paymentsYAML}}); err != nil {
		t.Fatal(err)
	}
	w := &twice{t: t, client: client}
	r := rand.New(rand.NewPCG(1, 2))
	begin := time.Date(2001, 6, 3, 0, 0, 0, 0, time.UTC)
	var all []payment
	for i := range 12_000 {
		all = append(all, payment{i, begin.Add(time.Duration(r.Int64N(int64(28 * 24 * time.Hour)))), r.IntN(100)})
	}
	slices.SortFunc(all, func(a, b payment) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	history, week := all[:9000], all[9000:]

	w.imports("history.jsonl", history, 0, 0)
	w.pushes(week, 0)
	w.pushes(week, len(week)) // twice
	w.pushes(shuffled(r, week), len(week))
	w.imports("week.jsonl", week, len(week), 0)           // once more by import
	w.imports("overlap.jsonl", all[8000:10_000], 2000, 0) // across what was imported and what was pushed
	w.imports("again.jsonl", append(history[:5:5], history[:5]...), 10, 0)
	w.pushes(history[:1000], 1000) // imported, then pushed

	// New ones, of which everybody sends all at the same time.
	var more []payment
	for i := range 2000 {
		more = append(more, payment{100_000 + i, begin.Add(28*24*time.Hour + time.Duration(i)*time.Second), i % 100})
	}
	const senders = 4
	var group errgroup.Group
	for range senders {
		group.Go(func() error {
			_, err := client.PushLines(context.WithoutCancel(t.Context()), sdk.LinesRequest{Source: "payments", Lines: lines(more), Batch: 100})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	w.duplicates += (senders - 1) * len(more)

	// Copies that differ change nothing.
	differing := slices.Clone(all[8990:9010])
	for i := range differing {
		differing[i].amount += 1000
	}
	w.imports("differing.jsonl", differing, len(differing), len(differing))
	got, err := client.PushLines(t.Context(), sdk.LinesRequest{Source: "payments", Lines: lines(differing)})
	if err != nil || got.Accepted != 0 || got.Duplicates != len(differing) || got.Conflicts != len(differing) || len(got.Differing) != len(differing) {
		t.Errorf("push of rows that differ = %+v, %v", got, err)
	}
	w.duplicates, w.conflicts = w.duplicates+len(differing), w.conflicts+len(differing)
	w.check(len(all) + len(more))
}

type twice struct {
	t                     *testing.T
	client                *sdk.Client
	duplicates, conflicts int // that were left out so far
}

// pushes pushes payments, so many of which are copies.
func (w *twice) pushes(payments []payment, copies int) {
	w.t.Helper()
	got, err := w.client.PushLines(w.t.Context(), sdk.LinesRequest{Source: "payments", Lines: lines(payments), Batch: 1000})
	if err != nil || got.Duplicates != copies || got.Conflicts != 0 || got.Accepted != len(payments)-copies {
		w.t.Fatalf("push of %d = %+v, %v, want %d copies", len(payments), got, err, copies)
	}
	w.duplicates += copies
}

// imports imports payments, so many of which are copies and in conflict.
func (w *twice) imports(name string, payments []payment, copies, conflicts int) {
	w.t.Helper()
	got, err := w.client.Import(w.t.Context(), sdk.ImportRequest{Source: "payments", File: lines(payments), Format: "jsonl", Name: name}, nil)
	if err != nil || got.Duplicates != int64(copies) || got.Conflicts != int64(conflicts) || got.Rows != int64(len(payments)) {
		w.t.Fatalf("import of %s = %+v, %v, want %d copies, %d in conflict", name, got, err, copies, conflicts)
	}
	w.duplicates, w.conflicts = w.duplicates+copies, w.conflicts+conflicts
}

// check compares the paths, and the counts with what is to be left out.
func (w *twice) check(events int) {
	t := w.t
	if _, err := w.client.Materialize(t.Context(), api.MaterializeRequest{}, nil); err != nil {
		t.Fatal(err)
	}
	var at []string
	for _, day := range []string{"03", "10", "20", "24", "27", "30"} {
		at = append(at, "2001-06-"+day+"T13:00:00Z")
	}
	report, err := w.client.Verify(t.Context(), api.VerifyRequest{Service: "model", At: at, Sample: 199}, nil)
	if err != nil || report.Problem != "" || report.Different != 0 || report.Informative < 1500 {
		t.Errorf("verify = %+v, %v", report, err)
	}
	s, err := w.client.Status(t.Context())
	want := []api.IdentityStatus{{Source: "payments", Duplicates: int64(w.duplicates), Conflicts: int64(w.conflicts)}}
	if err != nil || !slices.Equal(s.Identity, want) {
		t.Errorf("status says %+v, %v, want %+v", s.Identity, err, want)
	}
	if s.DeadLetters == nil || s.DeadLetters.Count != uint64(w.conflicts) {
		t.Errorf("dead letters: %+v, want %d", s.DeadLetters, w.conflicts)
	}
	table, err := w.client.SQL(t.Context(), "SELECT toInt64(count()), toInt64(uniqExact(id)) FROM events_payments")
	if err != nil || len(table.Rows) != 1 {
		t.Fatalf("count events: %+v, %v", table, err)
	}
	if got, want := fmt.Sprint(table.Rows[0].Values()), fmt.Sprintf("[%d %d]", events, events); got != want {
		t.Errorf("events and ids in ClickHouse: %s, want %s", got, want)
	}
}
