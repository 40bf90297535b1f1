package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// arrival is how long a read waits for a path to have an event that the log has and the request brings again.
const arrival = 5 * time.Second

// Asked returns rows of a source that a read brings as a push of them would take them (rule D4).
func (n *Node) Asked(source string, rows []json.RawMessage) (*feature.Batch, error) {
	return n.gate.Asked(source, rows)
}

// brought is a lookup without those of its events that are copies (rule E1).
type brought struct {
	*feature.Lookup
	since uint64 // what they are copies of is in the log up to here
	stale []string
}

// distinct leaves out the events of a lookup that are copies of events that this process knows, or of others in the lookup.
// A process without the role ingest knows no ids: to it all are events.
func (n *Node) distinct(l *feature.Lookup) (brought, error) {
	if len(l.Events) == 0 || n.ids == nil {
		return brought{Lookup: l}, nil
	}
	out, alone := brought{}, *l
	alone.Events = nil
	for _, b := range l.Events {
		src := n.registry.Catalog().Source(b.Source)
		switch {
		case src == nil || len(src.ID) == 0:
		case !n.ids.Knows(src):
			out.stale = append(out.stale, fmt.Sprintf("the ids of source %s are not loaded yet: events of the request count even if they are copies", b.Source))
		default:
			v, err := n.ids.Judge(src, b)
			if err != nil {
				return out, err
			}
			for _, c := range v.Copies {
				out.since = max(out.since, c.Of.Seq)
			}
			b = v.Fresh
		}
		alone.Events = append(alone.Events, b)
	}
	out.Lookup = &alone
	return out, nil
}

// applied returns when the replica has the log up to a sequence, which is as good as always at once.
func (n *Node) applied(ctx context.Context, seq uint64) error {
	if n.online.Position().Seq >= seq {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n.online.Position().Seq < seq {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return feature.Errorf(feature.CodeUnavailable, "an event of the request is in the log at sequence %d, to which the replica has not come yet: %w", seq, ctx.Err())
		}
	}
	return nil
}

// covers returns when ClickHouse has the log up to a sequence.
func (n *Node) covers(ctx context.Context, seq uint64) error {
	if seq == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	return n.covered.Wait(ctx, seq)
}
