package killtest_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/sdk"
)

// newest is an instant at or after every event, and within the short history of the views.
var newest = time.Date(2025, 12, 29, 0, 0, 0, 0, time.UTC)

// question is a read of some keys at an instant: the oracle is slow.
type question struct {
	features []string
	key      string
	keys     []feature.Value
	at       time.Time
}

func (r *round) questions() []question {
	perAccount := question{features: []string{"account_recent.number", "account_recent.amount", "account_ever.number"}, key: "account"}
	for _, i := range append(r.rng.Perm(accounts)[:accounts/4], accounts) { // the last is unknown
		perAccount.keys = append(perAccount.keys, feature.Int64Value(int64(i)))
	}
	perShop := question{features: []string{"shop_recent.number", "shop_recent.note"}, key: "shop"}
	for _, i := range r.rng.Perm(shops)[:shops/4] {
		perShop.keys = append(perShop.keys, feature.StringValue(fmt.Sprintf("s%02d", i)))
	}
	ever := perAccount
	ever.features = []string{"account_ever.number"}
	ever.at = newest.Add(-time.Duration(r.rng.IntN(50*30*24)) * time.Hour)
	out := []question{ever}
	for _, q := range []question{perAccount, perShop} {
		for _, age := range []time.Duration{0, time.Duration(r.rng.IntN(20*24)) * time.Hour} {
			q.at = newest.Add(-age)
			out = append(out, q)
		}
	}
	return out
}

// compareEach reads every row by its number from the replica, and rows that nobody took.
func (r *round) compareEach(ctx context.Context, f *found) error {
	taken := map[int64]bool{}
	for id := range f.rows {
		taken[id] = true
	}
	for _, id := range f.imported {
		taken[id] = true
	}
	for id := range f.tables {
		taken[id] = true
	}
	for _, source := range r.sources() {
		var numbers []int64
		for id, x := range r.book.batches {
			for i := range x.rows {
				if x.source == source {
					numbers = append(numbers, number(id, i))
				}
			}
		}
		for chunk := range slices.Chunk(numbers, 5000) {
			got, err := r.stack.api().Online(ctx, sdk.OnlineRequest{
				Features: []string{source + "_each.amount"}, Entities: map[string]any{"number": chunk}, At: newest, Path: feature.PathOnline,
			})
			if err != nil {
				return fmt.Errorf("read %s by number: %w", source, err)
			}
			for i, v := range got.Vectors {
				want := feature.Cell{Status: feature.Missing}
				if taken[batchOf(chunk[i])] {
					w := rowOf(chunk[i])
					want = w.cell(source)
				}
				if have := v.Cells()[0]; !same(have, want) {
					return fmt.Errorf("row %d of %s is %+v online, want %+v", chunk[i], source, have, want)
				}
			}
		}
	}
	return nil
}

// cell is what a read of the row's amount answers.
func (r *row) cell(source string) feature.Cell {
	if source == "refunds" && r.gone {
		return feature.Cell{Status: feature.Missing}
	}
	c := feature.Cell{Status: feature.Present, Value: feature.Int64Value(r.amount), HasTime: true, EventTime: feature.Time(r.at.UnixMicro())}
	if r.null {
		c.Status, c.Value = feature.Null, feature.Value{}
	}
	return c
}

func same(a, b feature.Cell) bool {
	return a.Status == b.Status && a.HasTime == b.HasTime && (!a.HasTime || a.EventTime == b.EventTime) && a.Value.Equal(b.Value)
}

// compareFeatures compares both paths with the oracle, which was told what the log holds.
func (r *round) compareFeatures(ctx context.Context, f *found) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	law := oracle.New(c)
	for _, e := range f.entries {
		switch {
		case e.Batch != nil:
			law.Push(e.Batch, e.Seq, e.Taken)
		case e.Record == nil: // an empty row group: the barrier after the record of an import into a source with an id
		case f.imported[e.Record.Generation] != 0:
			x := r.book.batches[f.imported[e.Record.Generation]]
			rows := feature.NewBatch(c.Source(x.source))
			for i := range x.rows {
				row := rowOf(number(x.id, i))
				rows.Append(row.values())
			}
			law.Import(rows, e.Seq)
		}
	}
	said, asked := 0, 0
	for _, q := range r.questions() {
		plan, err := c.PlanFeatures(q.features)
		if err != nil {
			return err
		}
		want := law.Lookup(&feature.Lookup{Plan: plan, Keys: [][]feature.Value{q.keys}, At: feature.Time(q.at.UnixMicro())}, feature.ClockEvent, oracle.Now)
		for _, path := range []feature.Path{feature.PathOnline, feature.PathOffline} {
			present, err := r.compareAnswer(ctx, q, path, want)
			if err != nil {
				return err
			}
			said += present
			asked += len(want)
		}
	}
	if said*3 < asked {
		return fmt.Errorf("only %d of %d values that were compared say something", said, asked)
	}
	return nil
}

func (r *round) compareAnswer(ctx context.Context, q question, path feature.Path, want []feature.Cell) (present int, err error) {
	got, err := r.stack.api().Online(ctx, sdk.OnlineRequest{Features: q.features, Entities: map[string]any{q.key: q.keys}, At: q.at, Path: path})
	if err != nil {
		return 0, fmt.Errorf("read %v at %s, path %s: %w", q.features, q.at, path, err)
	}
	for i, v := range got.Vectors {
		for j, have := range v.Cells() {
			w := want[i*len(q.features)+j]
			if !same(have, w) {
				return 0, fmt.Errorf("%s of %v at %s, path %s at sequence %d: %+v, the oracle says %+v", q.features[j], q.keys[i], q.at, path, got.Meta.Seq, have, w)
			}
			if w.Status == feature.Present {
				present++
			}
		}
	}
	return present, nil
}

// verify lets the server compare its paths over many pairs of an account and a shop.
func (r *round) verify(ctx context.Context, _ *found) error {
	report, err := r.stack.api().Verify(ctx, api.VerifyRequest{Service: "everything", Sample: 250}, nil)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if report.Problem != "" {
		return fmt.Errorf("verify: %s: %+v", report.Problem, report.Differences)
	}
	return nil
}
