package killtest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chtest"
	"github.com/lockstepfs/lockstep/sdk"
)

const cardDefinitions = `
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
columns: {tx_id: int64, at: timestamp, customer_id: int64, terminal_id: int64, amount: float64, fraud: int64}
event_time: at
id: [tx_id]
---
kind: view
name: spending
entity: customer
source: cards
history: 1d
features:
  - {name: count, count: "*", window: [1d, 7d, 30d]}
  - {name: avg, avg: amount, window: [1d, 7d, 30d]}
---
kind: view
name: risk
entity: terminal
source: cards
delay: 7d
history: 1d
features:
  - {name: count, count: "*", window: [1d, 7d, 30d]}
  - {name: avg, avg: fraud, window: [1d, 7d, 30d]}
---
kind: service
name: cards
features: [spending, risk]
`

// cardWidth is how many features the service has.
const cardWidth = 12

// card is a transaction and what its authors computed at it, where they published it.
type card struct {
	event    cardEvent
	tied     bool // the customer has another one in the same second, which the authors may not have counted
	known    bool
	expected [cardWidth]float64
}

type cardEvent struct {
	TxID     int64     `json:"tx_id"`
	At       time.Time `json:"at"`
	Customer int64     `json:"customer_id"`
	Terminal int64     `json:"terminal_id"`
	Amount   float64   `json:"amount"`
	Fraud    int64     `json:"fraud"`
}

// TestCards imports card transactions, pushes two weeks of them while the server is killed, each kill in the middle of a push,
// and reads the twelve features of each at its own time: before it is pushed, as an event of the request (rule D4), and
// after. LOCKSTEP_KILL_CARDS says how many transactions are pushed (default 2000, all: every one of 134,326).
func TestCards(t *testing.T) {
	dir, demanded := os.LookupEnv("LOCKSTEP_EXPECTED")
	if !demanded {
		t.Skip("the card transactions are not part of the repository: set LOCKSTEP_EXPECTED to the folder that holds fdh/fdh_transactions.parquet")
	}
	n, kills := 2000, 2
	switch text := os.Getenv("LOCKSTEP_KILL_CARDS"); text {
	case "":
	case "all":
		n, kills = math.MaxInt, 20
	default:
		n = int(setting(t, "LOCKSTEP_KILL_CARDS", 0))
	}
	seed := setting(t, "LOCKSTEP_KILL_SEED", time.Now().UnixNano()%1_000_000)
	s, err := newStack(command(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.abandon)
	file, cards := cardFiles(t, dir, n)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	w := &cardWeek{stack: s, rng: rand.New(rand.NewPCG(uint64(seed), 0)), cards: cards, kills: kills}
	if err := errors.Join(w.begin(ctx, file), w.play(ctx)); err != nil {
		t.Fatalf("seed %d: %v\nthe server said:\n%s", seed, err, s.server.tail())
	}
	t.Logf("seed %d: %d transactions, each read before and after its push; %d compared with published values, %d differ by ties; %d kills, %d pushes repeated, %d copies left out",
		seed, len(cards), w.compared, w.ties, w.killed, w.repeated, w.copies)
	if w.compared == 0 || w.killed != kills {
		t.Errorf("%d reads were compared with published values, and the server was killed %d times", w.compared, w.killed)
	}
	if err := s.down(ctx); err != nil {
		t.Error(err)
	}
}

// cardFiles writes the transactions until 2018-09-16 into a file, and returns up to n of those after it, in order of time.
func cardFiles(t *testing.T, dir string, n int) (file string, cards []card) {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join(dir, "fdh"))
	if err != nil {
		t.Fatal(err)
	}
	engine := chtest.Engine(t)
	conn := chtest.Open(t, engine, chtest.Database(t, engine))
	file = filepath.Join(t.TempDir(), "cards.parquet")
	for _, sql := range []string{
		fmt.Sprintf(`CREATE TABLE cards ENGINE = MergeTree ORDER BY tx_id AS SELECT assumeNotNull(toInt64(tx_id)) AS tx_id, assumeNotNull(tx_datetime) AS at,
			assumeNotNull(toInt64(customer_id)) AS customer_id, assumeNotNull(toInt64(terminal_id)) AS terminal_id, toFloat64(assumeNotNull(tx_amount)) AS amount,
			assumeNotNull(toInt64(tx_fraud)) AS fraud, count() OVER (PARTITION BY customer_id, at) > 1 AS tied FROM file('%s/fdh_transactions.parquet', Parquet)`, abs),
		fmt.Sprintf(`INSERT INTO FUNCTION file('%s', Parquet) SELECT * EXCEPT tied FROM cards WHERE at < toDateTime('2018-09-17 00:00:00', 'UTC') ORDER BY at, tx_id`, file),
	} {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	columns := ""
	for _, what := range []string{"customer_id_nb_tx", "customer_id_avg_amount", "terminal_id_nb_tx", "terminal_id_risk"} {
		for _, d := range []int{1, 7, 30} {
			columns += fmt.Sprintf(", toFloat64(ifNull(%s_%dday_window, 0))", what, d)
		}
	}
	rows, err := conn.Query(t.Context(), fmt.Sprintf(`SELECT c.tx_id, at, customer_id, terminal_id, amount, fraud, tied, e.id != 0 AS known, [%s] AS expected
		FROM cards AS c LEFT JOIN (SELECT assumeNotNull(toInt64(tx_id)) AS id, * EXCEPT tx_id FROM file('%s/fdh_features_expected_q.parquet', Parquet)) AS e ON c.tx_id = e.id
		WHERE at >= toDateTime('2018-09-17 00:00:00', 'UTC') ORDER BY at, c.tx_id`, columns[2:], abs))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() && len(cards) < n {
		var c card
		var tied, known uint8
		var expected []float64
		if err := rows.Scan(&c.event.TxID, &c.event.At, &c.event.Customer, &c.event.Terminal, &c.event.Amount, &c.event.Fraud, &tied, &known, &expected); err != nil {
			t.Fatal(err)
		}
		c.tied, c.known = tied == 1, known == 1
		copy(c.expected[:], expected)
		cards = append(cards, c)
	}
	if err := rows.Err(); err != nil && len(cards) < n {
		t.Fatal(err)
	}
	return file, cards
}

// cardWeek pushes and reads.
type cardWeek struct {
	stack *stack
	rng   *rand.Rand
	cards []card
	kills int
	seq   uint64 // of the log when the last push was acknowledged

	compared, ties, killed, repeated int
	copies                           int64
}

func (w *cardWeek) begin(ctx context.Context, file string) error {
	if err := w.stack.startServer(); err != nil {
		return err
	}
	if err := w.stack.ready(ctx); err != nil {
		return err
	}
	if _, err := w.stack.api().Apply(ctx, api.RegistryRequest{Files: map[string]string{"cards.yaml": cardDefinitions}}); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = w.stack.api().Import(ctx, sdk.ImportRequest{Source: "cards", Name: filepath.Base(file), File: f}, nil)
	return err
}

// play goes through the transactions in pieces of some.
func (w *cardWeek) play(ctx context.Context) error {
	for from := 0; from < len(w.cards); {
		to := min(from+1+w.rng.IntN(40), len(w.cards))
		piece := w.cards[from:to]
		for i := range piece {
			if err := w.read(ctx, &piece[i], piece[:i+1]); err != nil {
				return fmt.Errorf("before it was pushed: %w", err)
			}
		}
		next := (2*w.killed + 1) * len(w.cards) / (2 * w.kills) // they are spread evenly
		if err := w.push(ctx, piece, w.killed < w.kills && next < to); err != nil {
			return err
		}
		for i := range piece {
			if err := w.read(ctx, &piece[i], nil); err != nil {
				return fmt.Errorf("after it was pushed: %w", err)
			}
		}
		from = to
	}
	return nil
}

// push pushes a piece, and kills the server and its engine meanwhile if kill is true; then it is pushed again, as a
// producer does that knows nothing.
func (w *cardWeek) push(ctx context.Context, piece []card, kill bool) error {
	events := make([]cardEvent, len(piece))
	for i := range piece {
		events[i] = piece[i].event
	}
	client := w.stack.api()
	if !kill {
		r, err := client.PushRows(ctx, sdk.PushRequest{Source: "cards", Rows: events})
		if err != nil {
			return fmt.Errorf("push: %w", err)
		}
		w.copies += int64(r.Duplicates)
		w.seq = max(w.seq, r.Seq)
		return nil
	}
	first := make(chan error, 1)
	go func() {
		_, err := client.PushRows(ctx, sdk.PushRequest{Source: "cards", Rows: events})
		first <- err
	}()
	pause(ctx, time.Duration(w.rng.IntN(3000))*time.Microsecond)
	w.stack.killServer(w.rng.IntN(2) == 0)
	w.killed++
	<-first // whatever it says
	if err := w.stack.startServer(); err != nil {
		return err
	}
	if err := w.stack.ready(ctx); err != nil {
		return err
	}
	w.repeated++
	if err := w.push(ctx, piece, false); err != nil {
		return err
	}
	status, err := w.stack.api().Status(ctx) // what was taken before the kill has a sequence that nobody was told
	if err != nil {
		return err
	}
	w.seq = status.Log.Last
	return nil
}

// read compares the features of a transaction at its time with the published ones, with events that the request brings.
func (w *cardWeek) read(ctx context.Context, c *card, brought []card) error {
	req := sdk.OnlineRequest{
		Service: "cards", Entities: map[string]any{"customer_id": []int64{c.event.Customer}, "terminal_id": []int64{c.event.Terminal}}, At: c.event.At,
	}
	if brought != nil {
		events := make([]cardEvent, len(brought))
		for i := range brought {
			events[i] = brought[i].event
		}
		req.Events = map[string]any{"cards": events}
	}
	var resp *sdk.OnlineResponse
	var err error
	ok := until(ctx, time.Millisecond, func() bool {
		resp, err = w.stack.api().Online(ctx, req)
		return err != nil || resp.Meta.Seq >= w.seq
	})
	if !ok || err != nil {
		return fmt.Errorf("transaction %d: %w", c.event.TxID, errors.Join(err, ctx.Err()))
	}
	if !c.known {
		return nil
	}
	w.compared++
	for i, cell := range resp.Vectors[0].Cells() {
		have := 0.0
		if !cell.Value.IsNull() {
			have = number64(cell.Value)
		}
		if math.Abs(have-c.expected[i]) <= []float64{1e-6, 1e-9}[i/6] {
			continue
		}
		if c.tied && i < 6 {
			w.ties++
			return nil
		}
		return fmt.Errorf("transaction %d at %s: %s is %v, want %v (the answer: %+v)", c.event.TxID, c.event.At, resp.Names[i], have, c.expected[i], resp.Meta)
	}
	return nil
}

func number64(v feature.Value) float64 {
	if v.Type() == feature.Int64 {
		return float64(v.Int64())
	}
	return v.Float64()
}
