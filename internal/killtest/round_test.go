package killtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lockstepfs/lockstep/api"
)

// victim is what a round kills.
type victim string

const (
	killServer      victim = "server"      // the process of Lockstep; half of the time the engine dies with it
	killEngine      victim = "clickhouse"  // the engine, a child of that process
	killNATS        victim = "nats"        // a NATS server of its own
	killImport      victim = "import"      // the client, the server or the engine while files are imported
	killMaterialize victim = "materialize" // the same while the replica loads its history
)

func victims() []victim {
	return []victim{killServer, killEngine, killNATS, killImport, killMaterialize}
}

// round is one deployment from nothing to its end.
type round struct {
	t       *testing.T
	rng     *rand.Rand
	victim  victim
	stack   *stack
	book    *book
	orders  bool // there is a source over a table that somebody else keeps
	load    *load
	folders map[string]string // of the event tables
	story   []string          // what was done, for the report
	since   time.Time         // of the last stage
	backs   []time.Duration   // how long it took until the server answered again
	started int               // commands so far
}

// sources are the names of the round's sources: those that producers send to, and that over a table if there is one.
func (r *round) sources() []string {
	if r.orders {
		return append(sources(), "orders")
	}
	return sources()
}

func (r *round) tell(format string, args ...any) {
	r.story = append(r.story, fmt.Sprintf(format, args...))
}

// stage tells how long something took, since the last stage.
func (r *round) stage(name string) {
	now := time.Now()
	r.tell("[%s %s]", name, now.Sub(r.since).Round(10*time.Millisecond))
	r.since = now
}

// play runs the round and returns what is wrong.
func (r *round) play(ctx context.Context) error {
	r.since = time.Now()
	if err := r.start(ctx); err != nil {
		return err
	}
	r.stage("start")
	r.load = startLoad(ctx, r.stack, r.book, r.rng)
	err := r.kills(ctx)
	pause(ctx, 200*time.Millisecond)
	r.load.end()
	r.stage("load")
	if err != nil {
		return err
	}
	if r.book.unfit != nil {
		return fmt.Errorf("an answer that no kill explains: %w", r.book.unfit)
	}
	if err := r.copied(ctx); err != nil {
		return err
	}
	if err := r.check(ctx); err != nil {
		return err
	}
	err = r.stack.down(ctx)
	r.stage("stop")
	return err
}

// start brings a deployment up whose tables are made.
func (r *round) start(ctx context.Context) error {
	if r.stack.natsApart {
		r.tell("nats apart")
		if err := r.stack.startNATS(); err != nil {
			return err
		}
	}
	if r.stack.engineApart {
		r.tell("engine apart")
		if err := r.stack.startEngine(ctx); err != nil {
			return err
		}
	}
	if err := r.stack.startServer(); err != nil {
		return err
	}
	if err := r.stack.ready(ctx); err != nil {
		return err
	}
	files := map[string]string{"kill.yaml": definitions}
	if r.orders {
		if err := r.makeOrders(ctx); err != nil {
			return err
		}
		files["kill.yaml"] += orders
	}
	if _, err := r.stack.api().Apply(ctx, api.RegistryRequest{Files: files}); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	r.folders = map[string]string{}
	for _, source := range r.sources() {
		table := "events_" + source
		folder, err := filepath.EvalSymlinks(filepath.Join(r.stack.data(), "clickhouse", "clickhouse", "data", "lockstep", table))
		if err != nil {
			return fmt.Errorf("the folder of %s: %w", table, err)
		}
		r.folders[table] = folder
	}
	return nil
}

// kills kills the victim a few times and sees it come back.
func (r *round) kills(ctx context.Context) error {
	n := 1 + r.rng.IntN(2)
	if r.victim == killEngine {
		n += 2 // it is back so soon
	}
	if r.victim == killServer {
		if err := r.settle(ctx); err != nil {
			return err
		}
	}
	for ; n > 0; n-- {
		r.load.more()
		m := drawMoment(r.rng)
		var err error
		switch r.victim {
		case killImport:
			err = r.duringImport(ctx, m)
		case killMaterialize:
			err = r.duringMaterialize(ctx, m)
		default:
			m.wait(ctx, r.book, r.folders)
			err = r.strike(ctx, r.victim, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settle lets the replica have something on disk before the first kill, in two of three rounds: by a stop and a start, or by
// the time after which it writes.
func (r *round) settle(ctx context.Context) error {
	switch r.rng.IntN(3) {
	case 0:
		pause(ctx, time.Second)
		r.tell("stopped and started first")
		if err := r.stack.server.stop(); err != nil {
			return fmt.Errorf("stop the server: %w", err)
		}
		if err := r.stack.startServer(); err != nil {
			return err
		}
		r.load.more()
		return r.stack.ready(ctx)
	case 1:
		r.tell("5 s of load first")
		pause(ctx, 5*time.Second)
	}
	return nil
}

// strike kills now, starts again what nobody else does, and waits until the server answers.
func (r *round) strike(ctx context.Context, v victim, m moment) error {
	switch v {
	case killServer:
		both := r.rng.IntN(2) == 0
		r.tell("server killed %s (engine too: %t)", m, both)
		r.stack.killServer(both)
		for again := r.rng.IntN(3) == 0; ; again = false {
			if err := r.stack.startServer(); err != nil {
				return err
			}
			if !again {
				break
			}
			early := time.Duration(r.rng.IntN(1000)) * time.Millisecond
			pause(ctx, early)
			r.tell("again %s into its start", early)
			r.stack.killServer(both)
		}
	case killEngine:
		parent := r.rng.IntN(2) == 0
		hit := r.stack.killEngine(parent)
		r.tell("engine killed %s (%d children, its parent too: %t)", m, hit, parent && r.stack.engineApart)
		if parent && r.stack.engineApart {
			pause(ctx, time.Duration(r.rng.IntN(800))*time.Millisecond)
			if err := r.stack.startEngine(ctx); err != nil {
				return err
			}
		}
	case killNATS:
		r.tell("nats killed %s", m)
		r.stack.nats.kill()
		pause(ctx, time.Duration(r.rng.IntN(800))*time.Millisecond)
		if err := r.stack.startNATS(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s is not a process", v)
	}
	return r.back(ctx)
}

// back waits until the server answers reads, and ClickHouse with it.
func (r *round) back(ctx context.Context) error {
	from := time.Now()
	if err := r.stack.ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var last error
	if !until(ctx, 10*time.Millisecond, func() bool {
		_, last = r.stack.api().SQL(ctx, "SELECT count() FROM watermarks")
		return last == nil
	}) {
		return fmt.Errorf("ClickHouse does not answer a minute after the kill: %w", last)
	}
	r.backs = append(r.backs, time.Since(from))
	return nil
}

// command starts a command of the command line against the server. It has a log of its own.
func (r *round) command(args ...string) (*process, error) {
	url, err := r.stack.url()
	if err != nil {
		return nil, err
	}
	r.started++
	return spawn(filepath.Join(r.stack.dir, fmt.Sprintf("command-%d.log", r.started)), nil, append([]string{r.stack.bin, "--server", url}, args...)...)
}

// accomplice draws what to kill while a command runs, besides the command itself: "".
func (r *round) accomplice() victim {
	return []victim{killServer, killServer, killEngine, ""}[r.rng.IntN(4)]
}

// strikeOr kills the command, or one of those it speaks to.
func (r *round) strikeOr(ctx context.Context, command *process, m moment) error {
	if v := r.accomplice(); v != "" {
		return r.strike(ctx, v, m)
	}
	r.tell("client killed %s", m)
	command.kill()
	return nil
}

// duringImport kills while a file is imported. Most interrupted imports are repeated, which must succeed.
func (r *round) duringImport(ctx context.Context, m moment) error {
	x := r.book.begin(sources()[r.rng.IntN(2)], 2000+r.rng.IntN(20_000))
	x.file = true
	path := filepath.Join(r.stack.dir, fmt.Sprintf("import-%d.csv", x.id))
	if err := writeFile(path, x); err != nil {
		return err
	}
	m.table = "events_" + x.source
	if m.kind == atAck {
		m.kind = atTime
	}
	command, err := r.command("import", x.source, path)
	if err != nil {
		return err
	}
	defer command.kill()
	m.wait(ctx, r.book, r.folders)
	r.tell("%d rows of %s imported meanwhile", x.rows, x.source)
	if err := r.strikeOr(ctx, command, m); err != nil {
		return err
	}
	if err := ended(ctx, command); err == nil {
		r.book.ack(x, 0)
		return nil
	}
	if r.rng.IntN(4) == 0 {
		r.tell("the import is left interrupted")
		return nil
	}
	command, err = r.command("import", x.source, path)
	if err != nil {
		return err
	}
	if err := ended(ctx, command); err != nil {
		return fmt.Errorf("import %s once more: %w", path, err)
	}
	r.book.ack(x, 0)
	return nil
}

func writeFile(path string, x *batch) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if _, err := w.WriteString(csvHead); err != nil {
		return err
	}
	for i := range x.rows {
		row := rowOf(number(x.id, i))
		if _, err := w.WriteString(row.csv()); err != nil {
			return err
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// heldByTheDead reports whether a command was refused because a process that was killed has not been forgotten yet: what it
// held is free after some seconds.
func heldByTheDead(command *process) bool {
	return strings.Contains(command.tail(), "is under way already")
}

// ended waits for the end of a command, which is to be good.
func ended(ctx context.Context, command *process) error {
	select {
	case <-command.done:
	case <-time.After(patience):
		command.kill()
		return fmt.Errorf("it does not end within %s\n%s", patience, command.tail())
	case <-ctx.Done():
		return ctx.Err()
	}
	if command.err != nil {
		return fmt.Errorf("%w\n%s", command.err, command.tail())
	}
	return nil
}

// duringMaterialize kills while the replica loads the history of its views, again and again until the moment comes.
func (r *round) duringMaterialize(ctx context.Context, m moment) error {
	pause(ctx, 500*time.Millisecond) // for some history
	if r.orders {
		if err := r.order(ctx, 1000+r.rng.IntN(5000)); err != nil {
			return err
		}
		m.table = []string{m.table, "events_orders"}[r.rng.IntN(2)]
	}
	args := [][]string{{"materialize", "--full"}, {"materialize"}}[r.rng.IntN(2)]
	come := make(chan struct{})
	go func() {
		defer close(come)
		m.wait(ctx, r.book, r.folders)
	}()
	times := 0
	for {
		command, err := r.command(args...)
		if err != nil {
			<-come
			return err
		}
		times++
		select {
		case <-command.done:
			if command.err != nil && !heldByTheDead(command) {
				<-come
				return fmt.Errorf("materialize: %w\n%s", command.err, command.tail())
			}
			continue
		case <-come:
		}
		r.tell("%q %d times", args, times)
		err = r.strikeOr(ctx, command, m)
		if err == nil {
			_ = ended(ctx, command) // it fails, or not
		}
		command.kill()
		return err
	}
}
