package online

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// mergerName is written into the database, which cannot be opened under another.
const mergerName = "lockstep.state.1"

// appendState appends a state, or a part of one, as it is stored: the instant from which it keeps events, and them.
func appendState(dst []byte, state []asof.Event, keep feature.Time) []byte {
	return wire.AppendEvents(binary.AppendVarint(dst, int64(keep)), asof.Prune(state, keep))
}

// parseState reads what appendState wrote, and shares no memory with it.
func parseState(b []byte) (keep feature.Time, state []asof.Event, err error) {
	at, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, errors.New("a stored state does not begin with an instant")
	}
	state, err = wire.ParseEvents(b[n:])
	return feature.Time(at), state, err
}

// stateMerger returns how Pebble puts the parts of a state together: a state is a function of a set of events, so the
// order of the parts does not matter.
func stateMerger() *pebble.Merger {
	return &pebble.Merger{
		Name: mergerName,
		Merge: func(_, value []byte) (pebble.ValueMerger, error) {
			return &merging{only: slices.Clone(value)}, nil
		},
	}
}

// merging is a state that Pebble puts together.
type merging struct {
	only  []byte // the first part, as long as there is no other: most often there is none
	keep  feature.Time
	state []asof.Event
}

func (m *merging) add(value []byte) error {
	if m.only != nil {
		var err error
		if m.keep, m.state, err = parseState(m.only); err != nil {
			return err
		}
		m.only = nil
	}
	keep, part, err := parseState(value)
	if err != nil {
		return err
	}
	m.keep = max(m.keep, keep)
	m.state = union(m.state, part, m.keep)
	return nil
}

// MergeNewer adds a part.
func (m *merging) MergeNewer(value []byte) error { return m.add(value) }

// MergeOlder adds a part.
func (m *merging) MergeOlder(value []byte) error { return m.add(value) }

// Finish returns all parts as one.
func (m *merging) Finish(bool) ([]byte, io.Closer, error) {
	if m.only != nil {
		return m.only, nil, nil
	}
	return appendState(nil, m.state, m.keep), nil, nil
}
