package killtest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestKill plays rounds, each on a deployment of its own, and kills something else in each. LOCKSTEP_KILL_ROUNDS says how
// many (default 3), LOCKSTEP_KILL_SEED repeats a run, LOCKSTEP_KILL_VICTIM kills one thing only, LOCKSTEP_KILL_KEEP
// keeps the data of rounds that fail.
func TestKill(t *testing.T) {
	rounds := int(setting(t, "LOCKSTEP_KILL_ROUNDS", 3))
	seed := setting(t, "LOCKSTEP_KILL_SEED", time.Now().UnixNano()%1_000_000)
	who := victims()
	if v := os.Getenv("LOCKSTEP_KILL_VICTIM"); v != "" {
		who = []victim{victim(v)}
	}
	bin := command(t)
	total := tally{}
	failed := 0
	for i := range rounds {
		own := seed + int64(i)
		v := who[own%int64(len(who))]
		ok := t.Run(fmt.Sprintf("%s-%d", v, own), func(t *testing.T) { playRound(t, bin, v, own, total) })
		if !ok {
			failed++
		}
		if failed == 5 {
			t.Fatalf("5 rounds failed: the other %d are left out", rounds-i-1)
		}
	}
	t.Logf("seed %d\n%s", seed, total)
}

func setting(t *testing.T, name string, otherwise int64) int64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q: expected a number", name, text)
	}
	return n
}

// command returns the program: that of LOCKSTEP_BIN, else one made here.
func command(t *testing.T) string {
	if bin := os.Getenv("LOCKSTEP_BIN"); bin != "" {
		if _, err := os.Stat(bin); err != nil {
			t.Fatalf("LOCKSTEP_BIN: %v", err)
		}
		return bin
	}
	bin := filepath.Join(t.TempDir(), "lockstep")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", bin, "github.com/lockstepfs/lockstep/cmd/lockstep")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, out)
	}
	return bin
}

// longestRound ends a round that hangs.
const longestRound = 10 * time.Minute

func playRound(t *testing.T, bin string, v victim, seed int64, total tally) {
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	dir, err := os.MkdirTemp("", "kill-") //nolint:usetesting // it may be kept
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStack(bin, dir)
	if err != nil {
		t.Fatal(err)
	}
	s.natsApart, s.engineApart = v == killNATS || rng.IntN(3) == 0, rng.IntN(3) == 0
	r := &round{t: t, rng: rng, victim: v, stack: s, book: newBook()}
	if v == killMaterialize && rng.IntN(2) == 0 {
		r.orders, s.engineApart = true, true
	}
	t.Cleanup(func() {
		s.abandon()
		if t.Failed() && os.Getenv("LOCKSTEP_KILL_KEEP") != "" {
			t.Logf("the data is kept in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	ctx, cancel := context.WithTimeout(t.Context(), longestRound)
	defer cancel()
	from := time.Now()
	err = r.play(ctx)
	acked, unknown := r.book.rows()
	t.Logf("%s: %d rows acknowledged, %d unknown, in %s: %s", v, acked, unknown, time.Since(from).Round(time.Millisecond), strings.Join(r.story, "; "))
	if err != nil {
		t.Fatalf("%v\nrepeat it with: make kill ROUNDS=1 SEED=%d VICTIM=%s\nthe server said:\n%s", err, seed, v, s.server.tail())
	}
	total.add(r, acked, unknown)
}

// tally sums rounds up by victim.
type tally map[victim]*sum

type sum struct {
	rounds, acked, unknown int
	backs                  []time.Duration
}

func (t tally) add(r *round, acked, unknown int) {
	s := t[r.victim]
	if s == nil {
		s = &sum{}
		t[r.victim] = s
	}
	s.rounds++
	s.acked += acked
	s.unknown += unknown
	s.backs = append(s.backs, r.backs...)
}

// String returns a table.
func (t tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %6s %12s %12s %8s %10s %10s\n", "victim", "rounds", "acked rows", "unknown", "restarts", "p50", "max")
	for _, v := range victims() {
		s := t[v]
		if s == nil {
			continue
		}
		slices.Sort(s.backs)
		p50, most := time.Duration(0), time.Duration(0)
		if n := len(s.backs); n > 0 {
			p50, most = s.backs[n/2], s.backs[n-1]
		}
		fmt.Fprintf(&b, "%-12s %6d %12d %12d %8d %10s %10s\n", v, s.rounds, s.acked, s.unknown, len(s.backs), p50.Round(time.Millisecond), most.Round(time.Millisecond))
	}
	return b.String()
}
