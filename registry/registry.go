package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// The bucket and the key that hold everything, and how many revisions the bucket keeps.
const (
	bucket    = "LOCKSTEP_REGISTRY"
	recordKey = "catalog"
	history   = 64
)

// patience is how long NATS may take for an answer.
const patience = 5 * time.Second

// attempts is how often Apply plans again after somebody else was faster. Each time somebody else succeeded,
// so this many competitors are served at once.
const attempts = 16

// Registry is the registered definitions and a local copy of them that Run keeps new. Its methods are safe for
// concurrent use.
type Registry struct {
	js  jetstream.JetStream
	kv  jetstream.KeyValue
	log *slog.Logger

	state atomic.Pointer[state]

	mu      sync.Mutex    // held to replace state
	changed chan struct{} // closed when state has been replaced
}

// state is one revision; it is immutable.
type state struct {
	record  *record
	catalog *feature.Catalog
}

// Open opens the registry in the bucket LOCKSTEP_REGISTRY, which it creates if it is not there, and reads it
// once. The caller keeps js and closes its connection after the registry is no longer used.
func Open(ctx context.Context, js jetstream.JetStream, log *slog.Logger) (*Registry, error) {
	kv, err := js.KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bucket, Description: "Lockstep definitions", History: history, Storage: jetstream.FileStorage,
		})
	}
	if errors.Is(err, jetstream.ErrBucketExists) { // somebody else made it just now
		kv, err = js.KeyValue(ctx, bucket)
	}
	if err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "open the registry: %w", err)
	}
	r := &Registry{js: js, kv: kv, log: log, changed: make(chan struct{})}
	r.state.Store(&state{&record{Format: format}, &feature.Catalog{}})
	if _, _, err := r.load(ctx); err != nil {
		return nil, fmt.Errorf("open the registry: %w", err)
	}
	return r, nil
}

// Catalog returns the newest catalog that is known here. It is never nil and never changes.
func (r *Registry) Catalog() *feature.Catalog { return r.state.Load().catalog }

// Changed returns a channel that is closed when Catalog will next return another catalog. Who asks for it
// before reading Catalog misses nothing.
func (r *Registry) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// Updates yields the catalog now and then each newer one, until ctx ends. A slow reader skips to the newest.
func (r *Registry) Updates(ctx context.Context) iter.Seq[*feature.Catalog] {
	return func(yield func(*feature.Catalog) bool) {
		for {
			changed := r.Changed()
			if ctx.Err() != nil || !yield(r.Catalog()) {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}
}

// Wait returns when Catalog has come to the revision or further, or with the error of ctx. It needs Run, unless
// the revision comes from this Registry's own Apply.
func (r *Registry) Wait(ctx context.Context, revision uint64) error {
	for {
		changed := r.Changed()
		if r.Catalog().Revision >= revision {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for revision %d of the registry: %w", revision, ctx.Err())
		case <-changed:
		}
	}
}

// load reads the newest record and its revision, and adopts it. An empty registry has revision 0.
func (r *Registry) load(ctx context.Context) (*record, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	entry, err := r.kv.Get(ctx, recordKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return &record{Format: format, ID: rand.Text()}, 0, nil
	}
	if err != nil {
		return nil, 0, feature.Errorf(feature.CodeUnavailable, "read the registry: %w", err)
	}
	rec, err := r.adopt(entry.Value(), entry.Revision())
	return rec, entry.Revision(), err
}

// adopt makes a record the current one, unless a newer one already is, and returns it.
func (r *Registry) adopt(data []byte, revision uint64) (*record, error) {
	rec, err := decodeRecord(data)
	if err != nil {
		return nil, err
	}
	cat, err := rec.catalog(revision)
	if err != nil {
		return nil, fmt.Errorf("read the registry's record: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Revisions of another bucket, made after this one was lost, do not compare.
	if was := r.state.Load(); was.record.ID == rec.ID && was.catalog.Revision >= revision {
		return rec, nil
	}
	r.state.Store(&state{rec, cat})
	close(r.changed)
	r.changed = make(chan struct{})
	return rec, nil
}

// Run follows the registry until ctx ends, then returns nil. While NATS cannot be reached the last catalog stays.
func (r *Registry) Run(ctx context.Context) error {
	const least, most = 50 * time.Millisecond, 2 * time.Second
	wait := least
	for ctx.Err() == nil {
		began := time.Now()
		if err := r.follow(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("the registry cannot be followed; the last definitions stay", slog.Any("error", err))
		}
		if wait *= 2; time.Since(began) > most {
			wait = least
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(wait, most)):
		}
	}
	return nil
}

// pollInterval bounds how long a watch that died unnoticed goes unnoticed.
const pollInterval = 5 * time.Second

// follow watches the record until the watch ends or the connection was lost and is there again.
func (r *Registry) follow(ctx context.Context) error {
	conn := r.js.Conn()
	connected := conn.StatusChanged(nats.CONNECTED)
	defer conn.RemoveStatusListener(connected)
	watch, err := r.kv.Watch(ctx, recordKey)
	if err != nil {
		return fmt.Errorf("watch the registry: %w", err)
	}
	defer func() {
		// Stopping a watch whose connection or consumer is gone fails; there is nothing left to stop then.
		_ = watch.Stop()
	}()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-connected:
			return nil // a server that restarted has forgotten the consumer behind the watch
		case <-poll.C:
			if conn.IsConnected() {
				r.refresh(ctx)
			}
		case entry, ok := <-watch.Updates():
			if !ok {
				return errors.New("watch the registry: the watch ended")
			}
			if entry == nil || entry.Operation() != jetstream.KeyValuePut {
				continue
			}
			if _, err := r.adopt(entry.Value(), entry.Revision()); err != nil {
				r.log.Error("a revision of the registry cannot be used; the last definitions stay", slog.Uint64("revision", entry.Revision()), slog.Any("error", err))
			}
		}
	}
}

// refresh reads the record once. Its errors are those that the watch will meet too.
func (r *Registry) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, _, err := r.load(ctx); err != nil {
		r.log.Warn("the registry cannot be read; the last definitions stay", slog.Any("error", err))
	}
}
