package semtest_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/oracle"
	"github.com/lockstepfs/lockstep/internal/semtest"
)

// quickHistories is how many random histories each execution runs, if neither -rapid.checks nor LOCKSTEP_HISTORIES says how many.
const quickHistories = 300

// leastShare is the least percentage of cells that must lie on an edge or a tie.
const leastShare = 20

// checks tells rapid once how many histories to draw.
var checks = sync.OnceValue(func() error {
	n := os.Getenv("LOCKSTEP_HISTORIES")
	if n == "" {
		n = strconv.Itoa(quickHistories)
	}
	f := flag.Lookup("rapid.checks")
	if f.Value.String() != f.DefValue {
		return nil
	}
	return f.Value.Set(n)
})

// testHistories compares an execution with the oracle on random histories.
func testHistories(t *testing.T, x semtest.Execution) {
	if err := checks(); err != nil {
		t.Fatalf("LOCKSTEP_HISTORIES: %v", err)
	}
	var total semtest.Share
	refused, answered, copied := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		h := semtest.DrawHistory(rt)
		total.Add(h.Share())
		c := &comparison{law: newOracle(h.Catalog).law, catalog: h.Catalog, execution: x}
		c.law.Formula, c.law.Holds = oracle.Evaluate, holds
		if err := c.run(t, h); err != nil {
			rt.Fatalf("%s: %v\nthe history:\n%s", x.Name, err, h.Script())
		}
		refused += c.refused
		answered += c.answered
		copied += c.copied
	})
	t.Logf("%s: %d reads and training rows, %d of them on an edge or a tie; %d cells, %.1f %% of them (%d on an edge, %d on a tie); %d reads answered, %d below the floor; %d copies left out",
		x.Name, total.Reads, total.HardReads, total.Cells, total.Percent(), total.Edges, total.Ties, answered, refused, copied)
	if total.Percent() < leastShare {
		t.Errorf("%.1f %% of the cells are on an edge or a tie, want at least %d %%", total.Percent(), leastShare)
	}
}

// holds is a condition as the oracle evaluates it: of the product's own expressions histories know nothing.
func holds(src *feature.Source, where string, values map[string]feature.Value) bool {
	v := oracle.Evaluate(where, func(name string) (feature.Value, feature.Type) {
		t, _ := feature.TypeIn(src.Columns)(name)
		return values[name], t
	})
	return !v.IsNull() && v.Bool()
}

// comparison is one history on one execution and on the oracle.
type comparison struct {
	execution         semtest.Execution
	catalog           *feature.Catalog
	law               *oracle.Oracle
	engine            semtest.Engine
	seq               uint64
	answered, refused int
	copied            int
	explained         bool
}

func (c *comparison) run(t *testing.T, h *semtest.History) (err error) {
	c.engine, err = c.execution.Open(t.Context(), h.Catalog)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, c.engine.Close()) }()
	for i, s := range h.Steps {
		if err := c.step(t, s); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return nil
}

func (c *comparison) step(t *testing.T, s semtest.Step) error {
	switch {
	case s.Push != nil:
		return c.push(t, s.Push)
	case s.Import != nil:
		return c.load(t, s.Import)
	case s.Read != nil:
		return c.read(t, s)
	default:
		return c.train(t, *s.Training, s.Past)
	}
}

// push pushes to the engine, and to the oracle what the engine's log made of it.
func (c *comparison) push(t *testing.T, m *semtest.Message) error {
	receipt, err := c.engine.Push(t.Context(), *m)
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	if c.execution.ForcesTaken && receipt.Taken != m.Taken {
		return fmt.Errorf("the log took it at %s, not at %s", receipt.Taken, m.Taken)
	}
	rows, err := admit(c.catalog.Source(m.Source), semtest.Message{Rows: m.Rows, Taken: receipt.Taken})
	if err != nil {
		return err
	}
	c.seq = max(c.seq, receipt.Seq)
	return c.copies(receipt, c.law.Push(rows, receipt.Seq, receipt.Taken))
}

func (c *comparison) load(t *testing.T, m *semtest.Message) error {
	receipt, err := c.engine.Import(t.Context(), *m)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	rows, err := admit(c.catalog.Source(m.Source), *m)
	if err != nil {
		return err
	}
	c.seq = receipt.Seq
	return c.copies(receipt, c.law.Import(rows, receipt.Seq))
}

// copies compares what was left out (E1).
func (c *comparison) copies(got semtest.Receipt, want oracle.Copies) error {
	c.copied += want.Duplicates
	if got.Duplicates != want.Duplicates || got.Conflicts != want.Conflicts {
		return fmt.Errorf("%d duplicates, %d of them in conflict, want %d, %d", got.Duplicates, got.Conflicts, want.Duplicates, want.Conflicts)
	}
	return nil
}

func (c *comparison) read(t *testing.T, s semtest.Step) error {
	l := s.Read
	if replica, ok := c.engine.(semtest.Replica); ok {
		cells, err := replica.Read(t.Context(), l)
		below := feature.CodeOf(err) == feature.CodeBelowFloor
		switch want := c.law.Below(l.Plan, l.At, oracle.Now); {
		case below != want:
			return fmt.Errorf("read at %s: below the floor = %t (%w), want %t", l.At, below, err, want)
		case below:
			c.refused++
		case err != nil:
			return fmt.Errorf("read: %w", err)
		default:
			c.answered++
			if err := c.compare(l, cells, oracle.Now); err != nil {
				return fmt.Errorf("online: %w", err)
			}
		}
	}
	if both, ok := c.engine.(explainer); ok && s.Offline && !c.explained { // it takes as long as the rest of the read
		c.explained = true
		if err := explain(t.Context(), both, l); err != nil {
			return err
		}
	}
	if archive, ok := c.engine.(semtest.Archive); ok && s.Offline {
		cut := c.cut(s.Past)
		if cut != 0 && len(l.Events) > 0 && len(c.catalog.Source(l.Events[0].Source).ID) > 0 {
			then := *l // nobody knows the ids of then
			then.Events, l = nil, &then
		}
		cells, err := archive.ReadAt(t.Context(), l, cut)
		if err != nil {
			return fmt.Errorf("read at cut %d: %w", cut, err)
		}
		c.answered++
		if err := c.compare(l, cells, cutOf(cut)); err != nil {
			return fmt.Errorf("offline at cut %d: %w", cut, err)
		}
	}
	return nil
}

// cut is the state to ask an archive for.
func (c *comparison) cut(past bool) uint64 {
	if past {
		return c.seq / 2 // 0 is now too
	}
	return 0
}

func (c *comparison) compare(l *feature.Lookup, got []feature.Cell, cut oracle.Cut) error {
	want, slack := c.law.Lookup(l, feature.ClockEvent, cut), c.law.Slack(l, feature.ClockEvent, cut)
	if len(got) != len(want) {
		return fmt.Errorf("read at %s has %d cells, want %d", l.At, len(got), len(want))
	}
	n := len(l.Plan.Slots)
	for i := range got {
		if !same(got[i], want[i], slack[i]) {
			return fmt.Errorf("read at %s, row %d, %s = %s, want %s", l.At, i/n, l.Plan.Names[i%n], show(got[i]), show(want[i]))
		}
	}
	return nil
}

func same(a, b feature.Cell, slack float64) bool {
	return a.Status == b.Status && a.HasTime == b.HasTime && (!a.HasTime || a.EventTime == b.EventTime) && alike(a.Value, b.Value, slack)
}

// alike reports whether two values are equal, or at most slack apart.
func alike(a, b feature.Value, slack float64) bool {
	if slack > 0 && a.Type() == feature.Float64 && b.Type() == feature.Float64 {
		return math.Abs(a.Float64()-b.Float64()) <= slack
	}
	return a.Equal(b)
}

func show(c feature.Cell) string {
	s := fmt.Sprintf("%s %s", c.Value, c.Status)
	if c.HasTime {
		s += " @" + c.EventTime.String()
	}
	return s
}

func (c *comparison) train(t *testing.T, r semtest.Training, past bool) error {
	archive, ok := c.engine.(semtest.Archive)
	if !ok {
		return nil
	}
	reference := &oracleEngine{catalog: c.catalog, law: c.law}
	r.Cut = c.cut(past)
	got, err := archive.Train(t.Context(), r)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	want, slack, err := reference.train(r)
	if err != nil {
		return err
	}
	if err := compareSets(got, want, slack); err != nil {
		return fmt.Errorf("training set at cut %d with the %s clock: %w", r.Cut, r.Clock, err)
	}
	return nil
}

// compareSets compares training sets; slack is that of the feature columns, which are the last, row by row.
func compareSets(got, want *feature.Batch, slack []float64) error {
	if got.Rows != want.Rows || len(got.Fields) != len(want.Fields) {
		return fmt.Errorf("%d rows of %d columns, want %d of %d", got.Rows, len(got.Fields), want.Rows, len(want.Fields))
	}
	features := len(slack) / max(1, want.Rows)
	first := len(want.Fields) - features
	for k, f := range want.Fields {
		if got.Fields[k] != f {
			return fmt.Errorf("column %d is %v, want %v", k, got.Fields[k], f)
		}
		for row := range want.Rows {
			apart := 0.0
			if k >= first {
				apart = slack[row*features+k-first]
			}
			if g, w := got.Columns[k].Value(row), want.Columns[k].Value(row); !alike(g, w, apart) {
				return fmt.Errorf("row %d, %s = %s, want %s", row, f.Name, g, w)
			}
		}
	}
	return nil
}
