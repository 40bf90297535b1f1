package board

import (
	"context"
	"encoding/json"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Outcome is how the last copy of a source went.
type Outcome struct {
	Source string         `json:"source"`
	At     time.Time      `json:"at"`   // when it ended
	Took   time.Duration  `json:"took"` // nanoseconds
	Copied feature.Copied `json:"copied"`
	Error  string         `json:"error,omitempty"` // "" when it went well
	Good   time.Time      `json:"good"`            // when one went well last; zero for never
}

// Tell keeps the outcome as the last of its source.
func (b *Board) Tell(ctx context.Context, o Outcome) error {
	o.Copied.Examples = nil // they are dead letters
	if o.Error == "" {
		o.Good = o.At
	} else if entry, err := b.kept.Get(ctx, "copy."+o.Source); err == nil {
		var before Outcome
		if json.Unmarshal(entry.Value(), &before) == nil {
			o.Good = before.Good
		}
	}
	return put(ctx, b.kept, "copy."+o.Source, o)
}

// Outcomes returns the last outcome of each source that was ever copied.
func (b *Board) Outcomes(ctx context.Context) ([]Outcome, error) {
	var out []Outcome
	err := b.kept.list(ctx, "copy", func(data []byte) error {
		var o Outcome
		err := json.Unmarshal(data, &o)
		out = append(out, o)
		return err
	})
	return out, err
}
