package online

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/lockstepfs/lockstep/feature"
)

// Config configures a Store. Its zero value is a replica in memory.
type Config struct {
	Dir           string        // folder of the replica's copy; "" keeps it in memory only
	CacheBytes    int64         // memory for decoded states that were read; default 256 MiB
	DirtyBytes    int64         // memory for states not flushed yet: above it Apply and Merge flush themselves; default 256 MiB
	StageBytes    int64         // memory for a generation that is merged at once; default 128 MiB
	FlushInterval time.Duration // how often Run flushes and syncs: how much of the log a crash makes it apply again; default 5 s
	Logger        *slog.Logger  // default: discard
	FS            vfs.FS        // file system of Dir; default the operating system's, or memory without Dir

	LeafEvents int // how many events of a key lie in a leaf of its tree; default 128. Tests have few events
}

func (c Config) withDefaults() Config {
	c.CacheBytes = cmp.Or(c.CacheBytes, 256<<20)
	c.DirtyBytes = cmp.Or(c.DirtyBytes, 256<<20)
	c.StageBytes = cmp.Or(c.StageBytes, 128<<20)
	c.FlushInterval = cmp.Or(c.FlushInterval, 5*time.Second)
	c.LeafEvents = cmp.Or(c.LeafEvents, leafEvents)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.FS == nil {
		c.FS = vfs.Default
		if c.Dir == "" {
			c.FS = vfs.NewMem()
		}
	}
	c.Dir = cmp.Or(c.Dir, "replica")
	return c
}

func (c Config) validate() error {
	if c.CacheBytes < 0 || c.DirtyBytes < 0 || c.StageBytes < 0 || c.FlushInterval < 0 || c.LeafEvents < 0 {
		return feature.Errorf(feature.CodeInvalid, "replica: sizes and intervals must not be negative")
	}
	return nil
}
