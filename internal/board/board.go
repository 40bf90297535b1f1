// Package board is what the processes of a deployment tell each other besides the log, in JetStream: how far each replica
// is, who holds a task that one process at a time may do, and how the last copy of each source went.
package board

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// The buckets: what is forgotten unless it is said again, and what stays.
const (
	aliveBucket = "LOCKSTEP_ALIVE"
	keptBucket  = "LOCKSTEP_COPIES"
)

// forgotten is how long after it was said last something in aliveBucket counts.
const forgotten = 10 * time.Second

// look is how often changes are looked for.
const look = 100 * time.Millisecond

// Board is the two buckets. Its methods are safe for concurrent use; their errors have CodeUnavailable when NATS cannot be
// reached.
type Board struct {
	alive, kept bucket
	logger      *slog.Logger
	name        string // of this process
	forgotten   time.Duration
}

// bucket is a bucket and the stream that it is kept in.
type bucket struct {
	jetstream.KeyValue
	stream jetstream.Stream
}

// Open opens the buckets, and makes them where they are not there. The caller keeps js and closes its connection after the
// board is no longer used.
func Open(ctx context.Context, js jetstream.JetStream, logger *slog.Logger) (*Board, error) {
	return open(ctx, js, logger, forgotten)
}

func open(ctx context.Context, js jetstream.JetStream, logger *slog.Logger, forgotten time.Duration) (*Board, error) {
	b := &Board{logger: logger, name: rand.Text()[:13], forgotten: forgotten}
	var err error
	b.alive, err = openBucket(ctx, js, jetstream.KeyValueConfig{
		Bucket: aliveBucket, Description: "Lockstep processes: replicas and tasks", TTL: forgotten, Storage: jetstream.MemoryStorage,
	})
	if err == nil {
		b.kept, err = openBucket(ctx, js, jetstream.KeyValueConfig{Bucket: keptBucket, Description: "Lockstep: the last copy of each source", Storage: jetstream.FileStorage})
	}
	return b, unavailable("open the board", err)
}

func openBucket(ctx context.Context, js jetstream.JetStream, cfg jetstream.KeyValueConfig) (bucket, error) {
	kv, err := js.KeyValue(ctx, cfg.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, cfg)
	}
	if errors.Is(err, jetstream.ErrBucketExists) { // somebody else made it just now
		kv, err = js.KeyValue(ctx, cfg.Bucket)
	}
	if err != nil {
		return bucket{}, err
	}
	stream, err := js.Stream(ctx, "KV_"+cfg.Bucket)
	return bucket{kv, stream}, err
}

func unavailable(doing string, err error) error {
	if err == nil {
		return nil
	}
	return feature.Errorf(feature.CodeUnavailable, "%s: %w", doing, err)
}

// Name is how this process is called on the board.
func (b *Board) Name() string { return b.name }

// put writes v as JSON under key.
func put(ctx context.Context, kv jetstream.KeyValue, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	_, err = kv.Put(ctx, key, data)
	return unavailable("write "+key+" on the board", err)
}

// list calls each with the value of every key of the bucket that begins with prefix and a dot. It asks for the keys and then for
// each one, since a watcher's first values lack keys that are written meanwhile.
func (b bucket) list(ctx context.Context, prefix string, each func(data []byte) error) error {
	subjects := "$KV." + b.Bucket() + "."
	info, err := b.stream.Info(ctx, jetstream.WithSubjectFilter(subjects+prefix+".>"))
	if err != nil {
		return unavailable("read the board", err)
	}
	for _, subject := range slices.Sorted(maps.Keys(info.State.Subjects)) {
		key := strings.TrimPrefix(subject, subjects)
		entry, err := b.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) { // taken off the board
			continue
		}
		if err != nil {
			return unavailable("read "+key+" on the board", err)
		}
		if err := each(entry.Value()); err != nil {
			return fmt.Errorf("read %s on the board: %w", key, err)
		}
	}
	return nil
}
