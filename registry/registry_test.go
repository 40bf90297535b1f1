package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/registry"
)

// entity returns a folder that defines one entity.
func entity(t *testing.T, name string) *registry.Definitions {
	t.Helper()
	return parse(t, fmt.Sprintf("kind: entity\nname: %s\nkey: [{name: a, type: string}]", name))
}

func TestEmpty(t *testing.T) {
	r := open(t, embedded(t))
	if cat := r.Catalog(); cat == nil || cat.Revision != 0 || cat.Entities != nil {
		t.Errorf("Catalog of an empty registry = %+v, want one of revision 0", cat)
	}
	if _, err := r.Describe("x"); feature.CodeOf(err) != feature.CodeNotFound {
		t.Errorf("Describe(x) = %v, want %s", err, feature.CodeNotFound)
	}
	if err := r.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait(0) = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait(1) with an ended context = %v, want %v", err, context.Canceled)
	}
}

func TestReopen(t *testing.T) {
	s := embedded(t)
	plan, err := open(t, s).Apply(t.Context(), parse(t, base), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cat := open(t, s).Catalog()
	if cat.Revision != plan.Revision || len(cat.Views) != 3 || cat.View("departures", 1).Features[0].Default.Int64() != 0 {
		t.Errorf("Catalog after reopening = %+v, want what was applied at revision %d", cat, plan.Revision)
	}
}

func TestFollowWithinASecond(t *testing.T) {
	s := embedded(t)
	writer, reader := open(t, s), open(t, s)
	run(t, reader)
	var took []time.Duration
	for i := range 5 {
		plan, err := writer.Apply(t.Context(), entity(t, fmt.Sprintf("e%d", i)), registry.Options{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := reader.Wait(ctx, plan.Revision); err != nil {
			t.Errorf("apply %d: %v", i, err)
		}
		cancel()
		took = append(took, time.Since(began))
		if reader.Catalog().Entity(fmt.Sprintf("e%d", i)) == nil {
			t.Errorf("apply %d: the reader is at revision %d without the entity", i, reader.Catalog().Revision)
		}
	}
	if slices.Sort(took); took[2] > time.Second { // a busy machine may hold up one of them
		t.Errorf("followed after %v, want a median within a second", took)
	}
}

func TestUpdates(t *testing.T) {
	s := embedded(t)
	writer, reader := open(t, s), open(t, s)
	run(t, reader)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const last = 20
	applied := make(chan error, 1)
	go func() {
		for i := range last {
			if _, err := writer.Apply(ctx, entity(t, fmt.Sprintf("e%d", i)), registry.Options{}); err != nil {
				applied <- err
				return
			}
		}
		applied <- nil
	}()
	previous := -1
	for cat := range reader.Updates(ctx) {
		if int(cat.Revision) <= previous {
			t.Errorf("Updates yields revision %d after %d", cat.Revision, previous)
		}
		if len(cat.Entities) != int(cat.Revision) {
			t.Errorf("revision %d has %d entities", cat.Revision, len(cat.Entities))
		}
		if previous = int(cat.Revision); previous == last {
			break
		}
	}
	if err := <-applied; err != nil || previous != last {
		t.Errorf("Updates ended at revision %d, Apply with %v", previous, err)
	}
	if n := slices.Collect(reader.Updates(canceled())); n != nil {
		t.Errorf("Updates of an ended context yields %v", n)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestConcurrentApply(t *testing.T) {
	s := embedded(t)
	const writers, rounds = 8, 5
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		r := open(t, s)
		wg.Go(func() {
			for i := range rounds {
				name := fmt.Sprintf("e%d_%d", w, i)
				plan, err := r.Apply(t.Context(), entity(t, name), registry.Options{})
				if err != nil {
					errs[w] = err
					return
				}
				if r.Catalog().Revision < plan.Revision || r.Catalog().Entity(name) == nil {
					errs[w] = fmt.Errorf("after Apply of %s at revision %d the catalog is at %d", name, plan.Revision, r.Catalog().Revision)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	cat := open(t, s).Catalog()
	if len(cat.Entities) != writers*rounds || cat.Revision != writers*rounds {
		t.Errorf("%d entities at revision %d, want %d of each: an update was lost", len(cat.Entities), cat.Revision, writers*rounds)
	}
}

// TestConcurrentSame says that of many who open an empty registry and apply one folder one changes it.
func TestConcurrentSame(t *testing.T) {
	s := embedded(t)
	var wg sync.WaitGroup
	changed := make(chan bool, 8)
	for range 8 {
		js, defs := connect(t, "", nats.InProcessServer(s)), parse(t, base)
		wg.Go(func() {
			r, err := registry.Open(t.Context(), js, quiet)
			if err != nil {
				t.Error(err)
				return
			}
			plan, err := r.Apply(t.Context(), defs, registry.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			changed <- plan.Changed()
		})
	}
	wg.Wait()
	close(changed)
	n := 0
	for c := range changed {
		if c {
			n++
		}
	}
	if cat := open(t, s).Catalog(); n != 1 || cat.Revision != 1 {
		t.Errorf("%d applies changed something, the registry is at revision %d; want 1 and 1", n, cat.Revision)
	}
}

// TestServerAway stops the NATS server below a follower and starts it again.
func TestServerAway(t *testing.T) {
	o := server.Options{StoreDir: t.TempDir(), Host: "127.0.0.1", Port: -1}
	first, stop := startServer(t, o)
	url := first.ClientURL()
	port := first.Addr().(*net.TCPAddr).Port
	js := connect(t, url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	r, err := registry.Open(t.Context(), js, quiet)
	if err != nil {
		t.Fatal(err)
	}
	stopRun := run(t, r)
	if _, err := r.Apply(t.Context(), entity(t, "before"), registry.Options{}); err != nil {
		t.Fatal(err)
	}

	down := js.Conn().StatusChanged(nats.RECONNECTING)
	stop()
	<-down
	if r.Catalog().Entity("before") == nil {
		t.Error("the catalog is gone with the server")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	if _, err := r.Apply(ctx, entity(t, "meanwhile"), registry.Options{}); feature.CodeOf(err) != feature.CodeUnavailable {
		t.Errorf("Apply without a server = %v, want %s", err, feature.CodeUnavailable)
	}
	cancel()

	o.Port = port
	startServer(t, o)
	writer, err := registry.Open(t.Context(), connect(t, url), quiet)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := writer.Apply(t.Context(), entity(t, "after"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := r.Wait(ctx, plan.Revision); err != nil {
		t.Fatal(err)
	}
	t.Logf("followed %v after the first change on the new server", time.Since(began))
	if cat := r.Catalog(); cat.Entity("before") == nil || cat.Entity("after") == nil {
		t.Errorf("entities after the restart: %v", cat.Entities)
	}
	stopRun() // while the server is there to be told: else it waits for an answer
}

func TestNewerFormat(t *testing.T) {
	s := embedded(t)
	r := open(t, s)
	run(t, r)
	if _, err := r.Apply(t.Context(), entity(t, "a"), registry.Options{}); err != nil {
		t.Fatal(err)
	}
	kv, err := connect(t, "", nats.InProcessServer(s)).KeyValue(t.Context(), "LOCKSTEP_REGISTRY")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "catalog", []byte(`{"format": 2}`)); err != nil {
		t.Fatal(err)
	}
	_, err = registry.Open(t.Context(), connect(t, "", nats.InProcessServer(s)), quiet)
	if err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("Open of a newer record = %v, want an error that says so", err)
	}
	if _, err := r.Apply(t.Context(), entity(t, "b"), registry.Options{}); err == nil {
		t.Error("Apply replaced a record that it cannot read")
	}
	if r.Catalog().Entity("a") == nil {
		t.Error("the last catalog did not stay")
	}
}

func TestTooLarge(t *testing.T) {
	s, _ := startServer(t, server.Options{StoreDir: t.TempDir(), DontListen: true, MaxPayload: 4096})
	r := open(t, s)
	defs := parse(t, "kind: entity\nname: a\nkey: [{name: a, type: string}]\ndescription: "+strings.Repeat("x", 5000))
	if _, err := r.Apply(t.Context(), defs, registry.Options{}); feature.CodeOf(err) != feature.CodeTooLarge {
		t.Errorf("Apply of more than a message takes = %v, want %s", err, feature.CodeTooLarge)
	}
}
