// Command bench measures what the README and the design promise, on the engines themselves, and prints a table.
// Run it with `make bench`; machines are noisy, so compare lines of one run.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lockstepfs/lockstep/internal/chdb"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/offline"
)

// line is one row of the table.
type line struct{ what, result, how string }

// lab is what the measurements share: an engine, a log and an offline store in a temporary folder.
type lab struct {
	dir    string
	engine *chdb.Engine
	log    *eventlog.Log
	store  *offline.Store
	size   size
	table  []line
}

// size says how much is measured.
type size struct {
	rows          int // to import and to stream
	events, spine int // of the training benchmark; the hot key has a tenth of the events and three times the spine
	pushes        int
	rounds        int // of what runs beside queries by hand; they take turns, so that noise meets all of them
}

func main() {
	chdb.ChildMain()
	s := size{pushes: 2000, rounds: 3}
	flag.IntVar(&s.rows, "rows", 3_000_000, "rows to import and to stream")
	flag.IntVar(&s.events, "events", 10_000_000, "events of the training benchmark; the hot key has a tenth of them")
	flag.IntVar(&s.spine, "spine", 1_000_000, "spine rows of the training benchmark; the hot key has three times as many")
	only := flag.String("only", "", "one of import, stream, training, cards, hot and push, alone")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *only, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, only string, s size) error {
	dir, err := os.MkdirTemp("", "lockstep-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{dir: dir, size: s}
	stop, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for _, m := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"import", l.importing},
		{"stream", l.streaming},
		{"training", l.training},
		{"cards", l.cards},
		{"hot", l.hot},
		{"push", l.pushing},
	} {
		if only != "" && m.name != only {
			continue
		}
		if err := m.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	w := tabwriter.NewWriter(out, 0, 4, 3, ' ', 0)
	fmt.Fprintln(w, "\nmeasured\tresult\thow")
	for _, x := range l.table {
		fmt.Fprintf(w, "%s\t%s\t%s\n", x.what, x.result, x.how)
	}
	return w.Flush()
}

// open starts the parts; stop ends them.
func (l *lab) open(ctx context.Context) (stop func(), err error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if l.engine, err = chdb.Open(chdb.Config{Dir: filepath.Join(l.dir, "clickhouse"), Logger: logger}); err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.engine.Run(running) }()
	stop = func() {
		if l.store != nil {
			l.store.Close()
		}
		if l.log != nil {
			l.log.Close()
		}
		cancel()
		<-ended
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	if err = l.engine.Ready(ctx); err != nil {
		return nil, err
	}
	if l.log, err = eventlog.Open(ctx, eventlog.Config{Dir: filepath.Join(l.dir, "log"), Logger: logger}); err != nil {
		return nil, err
	}
	if l.store, err = offline.Open(ctx, offline.Config{Dial: l.engine.DialContext, Logger: logger}); err != nil {
		return nil, err
	}
	return stop, l.store.Migrate(ctx)
}

func (l *lab) add(what, result, how string, args ...any) {
	l.table = append(l.table, line{what, result, fmt.Sprintf(how, args...)})
	fmt.Fprintf(os.Stderr, "%s: %s\n", what, result)
}

func perSecond(rows int, d time.Duration) string {
	return fmt.Sprintf("%.0f rows/s", float64(rows)/d.Seconds())
}

// peakMemory returns the largest resident size so far of this process and of the engine, in MiB.
func (l *lab) peakMemory() (self, engine int) {
	return highWater("self"), highWater(fmt.Sprint(l.engine.Pid()))
}

func highWater(pid string) int {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for _, s := range strings.Split(string(status), "\n") {
		kib := 0
		if n, _ := fmt.Sscanf(s, "VmHWM: %d kB", &kib); n == 1 {
			return kib >> 10
		}
	}
	return 0
}
