package materialize

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
)

// Tables is the offline store as copies of tables that others keep use it.
type Tables interface {
	// RecoverCopies removes what copies left that did not come to their end, and returns those that did and that the
	// log does not name, as far as the offline store covers the log.
	RecoverCopies(ctx context.Context, src *feature.Source) ([]feature.Copied, error)
	// Copy copies what is new into a generation that nobody sees before its record; its number is 0 when nothing is.
	Copy(ctx context.Context, req feature.CopyRequest, read func(rows int64)) (feature.Copied, error)
	// AbortCopy removes the generation's rows.
	AbortCopy(ctx context.Context, src *feature.Source, generation uint64) error
	// Copies returns how many rows of a generation are no events because they are copies, and how many of these
	// differ from their event (rule E1). It is known when the offline store covers the generation's record.
	Copies(ctx context.Context, source string, generation uint64) (duplicates, conflicts int64, err error)
}

// CopyLog is the part of the log that copies write.
type CopyLog interface {
	Recorder
	Bounds(ctx context.Context) (first, last uint64, err error)
	// Recorded returns the record that the log holds under an id.
	Recorded(ctx context.Context, id string) (eventlog.Record, uint64, error)
	Refuse(ctx context.Context, letters ...eventlog.Letter) error
}

// Copier copies tables that others keep into the history (decision 6 of docs/architecture.md): each copy is a generation,
// and its record in the log is what makes it, and the cursor behind it, count.
type Copier struct {
	Tables  Tables
	Log     CopyLog
	Covered interface {
		Wait(ctx context.Context, seq uint64) error
	}
	// Hold calls do while nobody else in the deployment holds the task.
	Hold   func(ctx context.Context, task string, do func(ctx context.Context) error) error
	Logger *slog.Logger
	Now    func() time.Time
}

// CopyResult says what a copy did.
type CopyResult struct {
	feature.Copied
	Seq uint64 // of its record in the log; 0 where there was nothing to record
}

// CopyOptions says how to copy.
type CopyOptions struct {
	Full   bool             // look at every row, wherever the cursor is
	DryRun bool             // only count
	Read   func(rows int64) // called with the number of rows read so far, from another goroutine; may be nil
}

// Copy brings what is new in the table of src into the history, and returns when training sets see it; replicas follow on
// their own. A copy that was interrupted earlier is finished or taken back first. While another one of the source is under
// way, in whatever process, it is a CodeConflict error.
func (c *Copier) Copy(ctx context.Context, src *feature.Source, o CopyOptions) (CopyResult, error) {
	var result CopyResult
	if src.From == nil {
		return result, feature.Errorf(feature.CodeInvalid, "source %s has no from: its events are pushed or imported", src.Name)
	}
	err := c.Hold(ctx, "copy."+src.Name, func(ctx context.Context) error {
		if err := c.recover(ctx, src); err != nil {
			return err
		}
		var err error
		result, err = c.copy(ctx, src, o)
		return err
	})
	if err != nil {
		return CopyResult{}, fmt.Errorf("copy %s into source %s: %w", src.From.Name(), src.Name, err)
	}
	return result, nil
}

// recover records copies whose process died after their last row and before their record.
func (c *Copier) recover(ctx context.Context, src *feature.Source) error {
	whole, err := c.Tables.RecoverCopies(ctx, src)
	if err != nil {
		return err
	}
	for _, did := range whole {
		if _, err := c.record(ctx, src, did); err != nil && !errors.Is(err, errOvertaken) {
			return err
		}
		c.Logger.Info("a copy that was interrupted is finished", slog.String("source", src.Name), slog.Int64("rows", did.Rows))
	}
	return nil
}

func (c *Copier) copy(ctx context.Context, src *feature.Source, o CopyOptions) (CopyResult, error) {
	// What was pushed before must be there to be recognized (rule E1).
	_, head, err := c.Log.Bounds(ctx)
	if err != nil {
		return CopyResult{}, err
	}
	if err := c.Covered.Wait(ctx, head); err != nil {
		return CopyResult{}, err
	}
	arrival, err := feature.TimeOf(c.Now())
	if err != nil {
		return CopyResult{}, err
	}
	did, err := c.Tables.Copy(ctx, feature.CopyRequest{Source: src, Arrival: arrival, Full: o.Full, DryRun: o.DryRun}, o.Read)
	if err != nil || o.DryRun {
		return CopyResult{Copied: did}, err
	}
	c.tell(ctx, src, did)
	if did.Generation == 0 {
		return CopyResult{Copied: did}, nil
	}
	seq, err := c.record(ctx, src, did)
	if err != nil {
		return CopyResult{Copied: did}, err
	}
	// What only the place of the record could tell: copies of each other, and of what arrived meanwhile.
	duplicates, conflicts, err := c.Tables.Copies(ctx, src.Name, did.Generation)
	did.Rows -= duplicates
	did.Duplicates += duplicates
	did.Conflicts += conflicts
	return CopyResult{Copied: did, Seq: seq}, err
}

// errOvertaken says that another process recorded a copy from the same cursor.
var errOvertaken = feature.Errorf(feature.CodeConflict, "another process has copied from the same place meanwhile: nothing was added twice")

// record makes the generation count, if it is the first to go on from its predecessor: the id of its record says from
// which. So two copies from one cursor cannot both count, whoever thought to hold the task.
func (c *Copier) record(ctx context.Context, src *feature.Source, did feature.Copied) (uint64, error) {
	r := eventlog.Record{Kind: eventlog.RecordImport, Source: src.Name, Generation: did.Generation, Edition: src.Edition.Number, Rows: did.Rows, Note: "copied", Barrier: true}
	if did.Previous != 0 {
		r.ID = "copy-" + src.Name + "-" + strconv.FormatUint(did.Previous, 10)
	}
	seq, err := c.Log.PublishRecord(ctx, r)
	if err != nil {
		return 0, fmt.Errorf("record the copy: %w", err)
	}
	if r.ID != "" {
		first, _, err := c.Log.Recorded(ctx, r.ID)
		if err != nil {
			return 0, err
		}
		if first.Generation != did.Generation {
			return 0, errors.Join(errOvertaken, c.Tables.AbortCopy(ctx, src, did.Generation))
		}
	}
	if err := c.Covered.Wait(ctx, seq); err != nil {
		return 0, fmt.Errorf("the rows are copied, the offline store does not show them yet: %w", err)
	}
	return seq, nil
}

// tell makes dead letters of refused rows that no earlier copy has met.
func (c *Copier) tell(ctx context.Context, src *feature.Source, did feature.Copied) {
	var letters []eventlog.Letter
	for _, e := range did.Examples {
		if e.New {
			letters = append(letters, eventlog.Letter{Source: src.Name, Reason: e.Field + ": " + e.Reason, Field: e.Field, Raw: []byte(e.Raw)})
		}
	}
	if len(letters) == 0 {
		return
	}
	if err := c.Log.Refuse(ctx, letters...); err != nil {
		c.Logger.Warn("rows that a copy refused could not be kept as dead letters", slog.String("source", src.Name), slog.Any("error", err))
	}
}
