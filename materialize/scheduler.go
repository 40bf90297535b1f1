package materialize

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/schedule"
)

// Scheduler copies the sources that have a schedule when they are due. A source is not copied twice at a time: what comes
// due while its copy is under way is left out.
type Scheduler struct {
	Catalog func() *feature.Catalog
	Changed func() <-chan struct{} // a channel that is closed when Catalog will next return another catalog
	Copy    func(ctx context.Context, src *feature.Source) error
	Logger  *slog.Logger
	Now     func() time.Time
}

// timetable is when each source is due.
type timetable map[string]appointment

type appointment struct {
	line    string // of the definition
	due     time.Time
	running bool
}

// Run copies until ctx ends, waits for the copies under way to stop, and returns nil.
func (s *Scheduler) Run(ctx context.Context) error {
	var copies sync.WaitGroup
	defer copies.Wait()
	finished := make(chan string)
	times := timetable{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		changed := s.Changed()
		catalog := s.Catalog()
		s.arrange(times, catalog)
		wait := time.Hour
		for name, a := range times {
			if a.running {
				continue
			}
			if left := a.due.Sub(s.Now()); left > 0 {
				wait = min(wait, left)
				continue
			}
			a.running = true
			times[name] = a
			copies.Go(func() {
				s.copy(ctx, catalog.Source(name))
				select {
				case finished <- name:
				case <-ctx.Done():
				}
			})
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-timer.C:
		case name := <-finished:
			delete(times, name) // its next time is counted from now
		}
	}
}

// arrange makes the timetable that of the catalog.
func (s *Scheduler) arrange(times timetable, catalog *feature.Catalog) {
	lines := map[string]string{}
	for _, src := range catalog.Sources {
		if src.From != nil && src.From.Schedule != "" {
			lines[src.Name] = src.From.Schedule
		}
	}
	for name, a := range times {
		if !a.running && lines[name] != a.line {
			delete(times, name)
		}
	}
	for name, line := range lines {
		if _, ok := times[name]; ok {
			continue
		}
		due, err := schedule.Parse(line)
		if err != nil { // the registry has checked it; a later program may read more
			s.Logger.Warn("a schedule cannot be read", slog.String("source", name), slog.Any("error", err))
			continue
		}
		times[name] = appointment{line: line, due: due.Next(s.Now())}
	}
}

func (s *Scheduler) copy(ctx context.Context, src *feature.Source) {
	err := s.Copy(ctx, src)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, feature.ErrConflict):
		s.Logger.Info("a copy was left out", slog.String("source", src.Name), slog.Any("error", err))
	default:
		s.Logger.Warn("a copy failed; the next one is tried when it is due", slog.String("source", src.Name), slog.Any("error", err))
	}
}
