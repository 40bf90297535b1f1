package materialize_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/materialize"
)

// diary is what a scheduler did and when, and a catalog that changes.
type diary struct {
	mu      sync.Mutex
	start   time.Time
	catalog *feature.Catalog
	changed chan struct{}
	entries []string
	copy    func(ctx context.Context, source string) error
}

func newDiary(catalog *feature.Catalog, copies func(context.Context, string) error) *diary {
	return &diary{start: time.Now(), catalog: catalog, changed: make(chan struct{}), copy: copies}
}

func (d *diary) write(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, time.Since(d.start).String()+" "+what)
}

func (d *diary) apply(catalog *feature.Catalog) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.catalog = catalog
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *diary) scheduler() *materialize.Scheduler {
	return &materialize.Scheduler{
		Catalog: func() *feature.Catalog { d.mu.Lock(); defer d.mu.Unlock(); return d.catalog },
		Changed: func() <-chan struct{} { d.mu.Lock(); defer d.mu.Unlock(); return d.changed },
		Copy: func(ctx context.Context, src *feature.Source) error {
			d.write("begin " + src.Name)
			err := d.copy(ctx, src.Name)
			d.write("end " + src.Name)
			return err
		},
		Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	}
}

func scheduled(lines map[string]string) *feature.Catalog {
	c := &feature.Catalog{Sources: []*feature.Source{{Name: "pushed"}, {Name: "asked", From: &feature.From{Table: "db.t"}}}}
	for name, line := range lines {
		c.Sources = append(c.Sources, &feature.Source{Name: name, From: &feature.From{Table: "db.t", Schedule: line}})
	}
	return c
}

// TestScheduler: a copy that takes longer than its period is not begun twice, one that fails is tried when it is due, and
// the schedules are those of the catalog.
func TestScheduler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(scheduled(map[string]string{"slow": "@every 10s"}), func(ctx context.Context, source string) error {
			if source == "bad" {
				return errors.New("no")
			}
			select {
			case <-time.After(25 * time.Second):
			case <-ctx.Done():
			}
			return ctx.Err()
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.scheduler().Run(ctx) }()
		<-time.After(40 * time.Second)
		d.apply(scheduled(map[string]string{"bad": "@every 4s"}))
		<-time.After(29 * time.Second)
		d.apply(scheduled(map[string]string{"bad": "@every 1h"}))
		<-time.After(10 * time.Second)
		d.apply(scheduled(map[string]string{"slow": "@every 1s"}))
		<-time.After(3500 * time.Millisecond)
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		want := []string{
			"10s begin slow", "35s end slow", "44s begin bad", "44s end bad", "48s begin bad", "48s end bad", "52s begin bad", "52s end bad", "56s begin bad", "56s end bad",
			"1m0s begin bad", "1m0s end bad", "1m4s begin bad", "1m4s end bad", "1m8s begin bad", "1m8s end bad", "1m20s begin slow", "1m22.5s end slow",
		}
		if diff := cmp.Diff(want, d.entries); diff != "" {
			t.Errorf("what happened (-want +got):\n%s", diff)
		}
	})
}
