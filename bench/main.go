// Command bench measures what the README and the design promise, on the engines themselves, and prints a table.
// Run it with `make bench`; machines are noisy, so compare lines of one run.
package main

import (
	"context"
	"flag"
	"fmt"
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
	rows   int
	table  []line
}

func main() {
	chdb.ChildMain()
	rows := flag.Int("rows", 3_000_000, "rows to import and to stream")
	events := flag.Int("events", 10_000_000, "events of the training benchmark")
	spine := flag.Int("spine", 1_000_000, "spine rows of the training benchmark")
	only := flag.String("only", "", "one of import, stream, training, cards, hot and push, alone")
	flag.Parse()
	if err := run(context.Background(), *only, *rows, *events, *spine); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, rows, events, spine int) error {
	dir, err := os.MkdirTemp("", "lockstep-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{dir: dir, rows: rows}
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
		{"training", func(ctx context.Context) error { return l.training(ctx, events, spine) }},
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
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', 0)
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
