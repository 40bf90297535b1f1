package materialize

import (
	"context"
	"sync"

	"github.com/lockstepfs/lockstep/feature"
)

// Covered is how far the offline store covers the log, for those who wait for it.
type Covered struct {
	mu      sync.Mutex
	cut     feature.Cut
	moved   chan struct{} // closed and replaced when cut moves; nil until somebody waits
	failure error
}

// Watermark returns the cut that the offline store covers; its Log is "" while that is not known.
func (c *Covered) Watermark() feature.Cut {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// Failure returns why the watermark does not move, or nil.
func (c *Covered) Failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// Wait returns when the offline store covers seq; when ctx ends first, an error that says how far it came.
func (c *Covered) Wait(ctx context.Context, seq uint64) error {
	for {
		c.mu.Lock()
		if c.moved == nil {
			c.moved = make(chan struct{})
		}
		cut, moved, failure := c.cut, c.moved, c.failure
		c.mu.Unlock()
		if cut.Log != "" && cut.Seq >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			if failure == nil {
				failure = ctx.Err()
			}
			return feature.Errorf(feature.CodeUnavailable, "the offline store covers sequence %d, not yet %d: %w", cut.Seq, seq, failure)
		}
	}
}

func (c *Covered) advance(cut feature.Cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.failure = cut, nil
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

func (c *Covered) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
}
