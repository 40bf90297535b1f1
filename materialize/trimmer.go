package materialize

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// TrimmedLog is the log as a Trimmer uses it.
type TrimmedLog interface {
	ID() string
	Extent(ctx context.Context) (eventlog.Extent, error)
	// Since returns the sequence of the first entry taken at an instant or later.
	Since(ctx context.Context, at time.Time) (uint64, error)
	// Trim removes the entries before seq.
	Trim(ctx context.Context, seq uint64) error
}

// TrimmerConfig configures a Trimmer. Log, Watermark and Logger are needed.
type TrimmerConfig struct {
	Log       TrimmedLog
	Watermark func() feature.Cut // what the offline store covers
	Age       time.Duration      // entries older than this go; 0: only when room is needed
	Every     time.Duration      // default 10 s
	Now       func() time.Time   // default time.Now
	Logger    *slog.Logger
}

// Trimmer makes room in the log: when more than three quarters of it are full it removes the oldest entries, down to a
// half, and it removes what is older than Age. It never removes an entry that the offline store does not have, and to make
// room not the newest that it has, an eighth of the log, from which a replica that was away for a while goes on. A replica
// that was away for longer begins anew.
type Trimmer struct{ cfg TrimmerConfig }

// Shares of the log's limit.
const (
	fullAt  = 0.75  // from which on it is trimmed
	fullTo  = 0.5   // to which
	reserve = 0.125 // of what the offline store has, kept
)

// NewTrimmer returns a trimmer that Run drives.
func NewTrimmer(cfg TrimmerConfig) *Trimmer {
	cfg.Every = cmp.Or(cfg.Every, 10*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Trimmer{cfg}
}

// Run looks at the log now and then until ctx ends; then it returns nil.
func (t *Trimmer) Run(ctx context.Context) error {
	tick := time.NewTicker(t.cfg.Every)
	defer tick.Stop()
	for {
		if err := t.trim(ctx); err != nil && ctx.Err() == nil {
			t.cfg.Logger.Warn("the log was not trimmed", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (t *Trimmer) trim(ctx context.Context) error {
	log, err := t.cfg.Log.Extent(ctx)
	if err != nil {
		return err
	}
	covered := t.cfg.Watermark()
	if covered.Log != t.cfg.Log.ID() || log.Last < log.First {
		return nil
	}
	upto := min(t.excess(log), covered.Seq+1-min(covered.Seq, t.kept(log))) // entries before it go
	if t.cfg.Age > 0 {
		young, err := t.cfg.Log.Since(ctx, t.cfg.Now().Add(-t.cfg.Age))
		if err != nil {
			return err
		}
		upto = max(upto, min(young, covered.Seq+1))
	}
	if upto <= log.First {
		return nil
	}
	if err := t.cfg.Log.Trim(ctx, upto); err != nil {
		return err
	}
	t.cfg.Logger.Info("the log was trimmed", slog.Uint64("first_was", log.First), slog.Uint64("first", upto), slog.Uint64("last", log.Last),
		slog.Uint64("bytes_were", log.Bytes), slog.Int64("max_bytes", log.MaxBytes))
	return nil
}

// excess returns the first sequence to keep so that the log becomes half empty, supposing that entries are of one size.
func (t *Trimmer) excess(log eventlog.Extent) uint64 {
	limit := float64(log.MaxBytes)
	if limit <= 0 || float64(log.Bytes) <= fullAt*limit {
		return 0
	}
	return log.First + uint64((float64(log.Bytes)-fullTo*limit)/size(log))
}

// kept returns how many entries are kept of those that the offline store has.
func (t *Trimmer) kept(log eventlog.Extent) uint64 {
	if log.MaxBytes <= 0 {
		return 0
	}
	return uint64(reserve * float64(log.MaxBytes) / size(log))
}

// size is the mean size of an entry in bytes; the log has some.
func size(log eventlog.Extent) float64 {
	return max(float64(log.Bytes), 1) / float64(log.Last-log.First+1)
}
