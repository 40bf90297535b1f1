package board

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// Replica is how far a replica is.
type Replica struct {
	Name     string      `json:"name"` // of its process
	Position feature.Cut `json:"position"`
	Revision uint64      `json:"revision"` // of the definitions that it follows; 0 before it has reached the log
	Loading  int         `json:"loading"`  // views whose history it is loading
}

// Replicas returns the replicas that are alive: those that said so in the last seconds.
func (b *Board) Replicas(ctx context.Context) ([]Replica, error) {
	var out []Replica
	err := b.alive.list(ctx, "replica", func(data []byte) error {
		var r Replica
		err := json.Unmarshal(data, &r)
		out = append(out, r)
		return err
	})
	return out, err
}

// Report tells how far the replica of this process is, whenever that has changed and often enough to stay alive, until ctx
// ends; then it takes it off the board and returns nil.
func (b *Board) Report(ctx context.Context, now func() Replica) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	key := "replica." + b.name
	var said Replica
	var at time.Time
	warned := false
	for {
		r := now()
		r.Name = b.name
		if r != said || time.Since(at) > b.forgotten/4 {
			err := put(ctx, b.alive, key, r)
			if err == nil {
				said, at = r, time.Now()
			} else if !warned && ctx.Err() == nil {
				b.logger.Warn("the replica cannot tell how far it is", slog.Any("error", err))
			}
			warned = err != nil
		}
		select {
		case <-ctx.Done():
			leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = b.alive.Delete(leaving, key) // else it is forgotten
			cancel()
			return nil
		case <-tick.C:
		}
	}
}

// Wait returns when every replica that is alive is as far as want: it has applied the log up to there, follows these
// definitions or later ones, and loads no view's history. When ctx ends first it returns an error that names one that is not.
// seen is called with what it saw, each time it looked.
func (b *Board) Wait(ctx context.Context, want Replica, seen func([]Replica)) ([]Replica, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		replicas, err := b.Replicas(ctx)
		if err == nil {
			seen(replicas)
			if !slices.ContainsFunc(replicas, func(r Replica) bool { return !r.has(want) }) {
				return replicas, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err != nil {
				return nil, err
			}
			late := slices.DeleteFunc(replicas, func(r Replica) bool { return r.has(want) })
			return nil, feature.Errorf(feature.CodeUnavailable, "%d replicas are not at sequence %d yet, such as %s at %d with %d views loading: %w",
				len(late), want.Position.Seq, late[0].Name, late[0].Position.Seq, late[0].Loading, ctx.Err())
		}
	}
}

func (r Replica) has(want Replica) bool {
	return r.Position.Log == want.Position.Log && r.Position.Seq >= want.Position.Seq && r.Revision >= want.Revision && r.Loading == 0
}
