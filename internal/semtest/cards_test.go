package semtest_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/semtest"
)

const cardsYAML = `
kind: entity
name: customer
key: [{name: customer_id, type: int64}]
---
kind: entity
name: terminal
key: [{name: terminal_id, type: int64}]
---
kind: source
name: cards
columns: {tx_id: int64, happened: timestamp, customer_id: int64, terminal_id: int64, amount: float64, fraud: int64}
event_time: happened
id: [tx_id]
---
kind: view
name: customer
entity: customer
source: cards
history: 2h
features: [{name: count, count: "*", window: [1d, 7d, 30d]}, {name: avg, avg: amount, window: [1d, 7d, 30d]}]
---
kind: view
name: terminal
entity: terminal
source: cards
delay: 7d
history: 2h
features: [{name: count, count: "*", window: [1d, 7d, 30d]}, {name: avg, avg: fraud, window: [1d, 7d, 30d]}]
---
kind: service
name: model
features: [customer, terminal]
`

// cardColumns are the published columns, in the order of the service's features, and how far from them a value may be.
var cardColumns = []struct {
	name  string
	apart float64
}{{"customer_id_nb_tx", 0}, {"customer_id_avg_amount", 1e-6}, {"terminal_id_nb_tx", 0}, {"terminal_id_risk", 1e-9}}

// cards is the transactions and what their authors made of some of them.
type cards struct {
	before *feature.Batch // what is imported: as much of it as the windows of what follows reach
	pushed *feature.Batch // in order of tx_id, which is that of time
	want   map[int64][12]float64
	ties   map[int64]bool // transactions of a customer who has another one in the same second
}

// TestCardsOnline imports transactions up to 2018-09-16 and pushes those of the two weeks after it one by one, as a scoring service
// would, and reads the twelve features of each at its own time. The authors of the data counted rows up to the current one, so
// that two of one customer in one second may differ; nothing else may.
func TestCardsOnline(t *testing.T) {
	c := readCards(t)
	for name, run := range map[string]func(*cardRun){
		"pushed, then read":   (*cardRun).inOrder,
		"each sent twice":     (*cardRun).twice,
		"brought by the read": (*cardRun).brought,
		"an hour's disorder":  (*cardRun).shuffled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			r := c.open(t)

			imported := time.Since(began)
			run(r)
			t.Logf("%d transactions pushed, %d copies left out; %d rows of twelve features compared: %d differ, and because of ties within a second %v (%s, %s of it for what was imported)",
				r.pushes, r.copies, r.compared, r.wrong, r.tied, time.Since(began).Round(time.Second), imported.Round(time.Second))
			if r.wrong > 0 || len(r.tied) > 10 || r.compared != len(c.want) {
				t.Errorf("of %d rows %d differ, and %d by ties; want 0 and 10 at the most of %d", r.compared, r.wrong, len(r.tied), len(c.want))
			}
		})
	}
}

// cardRun is one way for the transactions to come in.
type cardRun struct {
	t      *testing.T
	cards  *cards
	engine *onlineEngine
	plan   *feature.Plan

	pushes, copies, compared, wrong int
	tied                            []int64 // transactions
}

func (r *cardRun) inOrder() {
	for i := range r.cards.pushed.Rows {
		r.push(i, r.at(i))
		r.read(i)
	}
}

func (r *cardRun) twice() {
	for i := range r.cards.pushed.Rows {
		r.push(i, r.at(i))
		r.push(max(0, i-i%3), r.at(i)) // at once, or after others
		r.push(i, r.at(i))
		r.read(i)
	}
	if r.copies != 2*r.cards.pushed.Rows {
		r.t.Errorf("%d copies were left out, want %d", r.copies, 2*r.cards.pushed.Rows)
	}
}

func (r *cardRun) brought() {
	for i := range r.cards.pushed.Rows {
		r.read(i, r.cards.pushed.Slice(i, i+1))
		r.push(i, r.at(i))
	}
}

// shuffled has every transaction arrive up to an hour late, and reads it once the clock has passed it by an hour.
func (r *cardRun) shuffled() {
	n := r.cards.pushed.Rows
	random := rand.New(rand.NewPCG(1, 2))
	arrives, order := make([]feature.Time, n), make([]int, n)
	for i := range order {
		order[i], arrives[i] = i, r.at(i)+feature.Time(random.Int64N(int64(feature.Hour)))
	}
	slices.SortFunc(order, func(a, b int) int { return int(arrives[a] - arrives[b]) })
	next, clock := 0, feature.MinTime
	for _, i := range order {
		r.push(i, arrives[i])
		for clock = max(clock, r.at(i)); next < n && r.at(next).Add(feature.Hour) < clock; next++ {
			r.read(next)
		}
	}
	for ; next < n; next++ {
		r.read(next)
	}
}

func (r *cardRun) at(i int) feature.Time { return r.cards.pushed.Column("happened").Value(i).Time() }

func (r *cardRun) push(i int, taken feature.Time) {
	e := r.engine
	e.seq++
	rows, receipt, err := distinct(e.ids, e.catalog, r.cards.pushed.Slice(i, i+1), e.seq)
	r.pushes++
	r.copies += receipt.Duplicates
	if err := errors.Join(err, e.store.Apply(e.seq, taken, rows)); err != nil {
		r.t.Fatal(err)
	}
}

// read reads a transaction's features at its time and compares them with the authors'.
func (r *cardRun) read(i int, brought ...*feature.Batch) {
	b := r.cards.pushed
	l := &feature.Lookup{Plan: r.plan, At: r.at(i), Events: brought, Keys: [][]feature.Value{{b.Column("customer_id").Value(i)}, {b.Column("terminal_id").Value(i)}}}
	a, err := r.engine.store.Lookup(l)
	if err != nil {
		r.t.Fatal(err)
	}
	tx := b.Column("tx_id").Value(i).Int64()
	want, ok := r.cards.want[tx]
	if !ok {
		return
	}
	r.compared++
	var differs [2]bool // the customer's and the terminal's
	for f, cell := range a.Cells {
		if !(math.Abs(numeric(cell.Value)-want[f]) <= cardColumns[f/3].apart) {
			differs[f/6] = true
		}
	}
	switch {
	case differs[0] && !differs[1] && r.cards.ties[tx]:
		r.tied = append(r.tied, tx)
	case differs[0] || differs[1]:
		r.wrong++
		if r.wrong < 4 {
			r.t.Errorf("transaction %d at %s: %v, want %v", tx, l.At, a.Cells, want)
		}
	}
}

// numeric is a number of any type, 0 for NULL, as the published values have it.
func numeric(v feature.Value) float64 {
	if v.Type() == feature.Int64 {
		return float64(v.Int64())
	}
	return v.Float64()
}

// open opens a replica that has the import.
func (c *cards) open(t *testing.T) *cardRun {
	catalog, err := semtest.Define(cardsYAML)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := catalog.PlanService("model")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := knowing(catalog)
	if err != nil {
		t.Fatal(err)
	}
	e := &onlineEngine{mode: inMemory, catalog: catalog, ids: ids}
	if err := e.begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	e.seq++
	rows, _, err := distinct(e.ids, catalog, c.before, e.seq)
	if err == nil {
		err = e.apply(entry{seq: e.seq, rows: rows, imported: true, erased: make([]bool, rows.Rows)})
	}
	if err != nil {
		t.Fatal(err)
	}
	return &cardRun{t: t, cards: c, engine: e, plan: plan}
}

// readCards reads the transactions that matter, and what their authors made of those that are pushed.
func readCards(t *testing.T) *cards {
	catalog, err := semtest.Define(cardsYAML)
	if err != nil {
		t.Fatal(err)
	}
	src := catalog.Source("cards")
	c := &cards{before: feature.NewBatch(src), pushed: feature.NewBatch(src), want: map[int64][12]float64{}, ties: map[int64]bool{}}
	from, to := day2018(9, 17).Add(-38*feature.Day), day2018(9, 17)
	type second struct {
		customer int64
		at       feature.Time
	}
	seen := map[second]int64{}
	for b := range expectedRows(t, map[string]feature.Type{"tx_amount": feature.Float64}, "fdh", "fdh_transactions.parquet") {
		for i := range b.Rows {
			row := make([]feature.Value, len(src.Columns))
			for k, name := range []string{"tx_id", "tx_datetime", "customer_id", "terminal_id", "tx_amount", "tx_fraud"} {
				row[k] = b.Column(name).Value(i)
			}
			switch at := row[1].Time(); {
			case at < from:
			case at < to:
				c.before.Append(row)
			default:
				c.pushed.Append(row)
				s := second{row[2].Int64(), at}
				if other, ok := seen[s]; ok {
					c.ties[other], c.ties[row[0].Int64()] = true, true
				}
				seen[s] = row[0].Int64()
			}
		}
	}
	first := c.pushed.Columns[0].Value(0).Int64()
	for b := range expectedRows(t, nil, "fdh", "fdh_features_expected_q.parquet") {
		for i := range b.Rows {
			tx := b.Column("tx_id").Value(i).Int64()
			if tx < first {
				continue
			}
			var want [12]float64
			for k, column := range cardColumns {
				for d, days := range []int{1, 7, 30} {
					want[3*k+d] = numeric(b.Column(fmt.Sprintf("%s_%dday_window", column.name, days)).Value(i))
				}
			}
			c.want[tx] = want
		}
	}
	if c.pushed.Rows != 134_326 {
		t.Fatalf("%d transactions from 2018-09-17 on, want 134326", c.pushed.Rows)
	}
	return c
}

func day2018(month time.Month, day int) feature.Time {
	return feature.Time(time.Date(2018, month, day, 0, 0, 0, 0, time.UTC).UnixMicro())
}
