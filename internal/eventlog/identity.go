package eventlog

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// Places in a stream's metadata.
const (
	idKey     = "lockstep_id"     // its identity
	beforeKey = "lockstep_before" // the identity that it had until it lost its end
	afterKey  = "lockstep_after"  // the sequence that it is to go on behind
)

// Covered is what the offline store has of a log. A log that is made, or that has lost its end, goes on behind it: in one
// history a sequence is used once (docs/adr/0007-logs-of-one-history.md). The zero Covered is that of a new history.
type Covered struct {
	Log   string    // the log's identity
	Seq   uint64    // all entries up to here are in the offline store
	Begun uint64    // the log was seen to reach this far; 0 means Seq
	At    time.Time // when the offline store came to Seq
}

// firstSeq is the first sequence of a log that is made for the history.
func (c Covered) firstSeq() uint64 {
	if reach := max(c.Seq, c.Begun); reach > 0 {
		return reach + 1
	}
	return 0
}

// identify gives the log's stream an identity: the one that it has, or a new one when it has none or has lost its end since
// that identity was given.
func (l *Log) identify(ctx context.Context, have jetstream.StreamConfig, state jetstream.StreamState) (jetstream.StreamConfig, error) {
	covered, id := l.cfg.Covered, have.Metadata[idKey]
	change := map[string]string{}
	switch reach := max(covered.Seq, covered.Begun); {
	case id == "":
		change[idKey] = rand.Text()
		if state.Msgs == 0 && state.LastSeq < reach {
			change[afterKey] = strconv.FormatUint(reach, 10)
		}
	case id == covered.Log && state.LastSeq < reach:
		if err := l.lostEnd(state); err != nil {
			return have, err
		}
		change[idKey], change[beforeKey] = rand.Text(), id
		if state.LastSeq < covered.Seq {
			change[afterKey] = strconv.FormatUint(reach, 10)
		}
		l.cfg.Logger.Error("the log has lost its end and goes on as a new log: replicas begin anew", slog.Uint64("last", state.LastSeq),
			slog.Uint64("covered", covered.Seq), slog.String("was", id), slog.String("is", change[idKey]))
	}
	have, err := l.stamp(ctx, have, change)
	if err != nil {
		return have, err
	}
	return have, l.skip(ctx, have.Metadata[afterKey], state.LastSeq)
}

// lostEnd fails if the log holds entries that are younger than what the offline store has: their sequences were used before.
func (l *Log) lostEnd(state jetstream.StreamState) error {
	covered := l.cfg.Covered
	if state.Msgs == 0 || state.LastSeq >= covered.Seq || !state.LastTime.After(covered.At) {
		return nil
	}
	return feature.Errorf(feature.CodeConflict,
		"the log ends at %d (%s), but ClickHouse covers it up to %d (%s): it lost its end, as when an old copy is restored, and was written to since, under sequences that the history has used. "+
			"Take out what is to be kept and publish it again later; nats stream purge %s --seq %d lets the log go on behind the history",
		state.LastSeq, state.LastTime.UTC().Format(time.RFC3339), covered.Seq, covered.At.UTC().Format(time.RFC3339), logName, max(covered.Seq, covered.Begun)+1)
}

// stamp adds to the stream's metadata.
func (l *Log) stamp(ctx context.Context, have jetstream.StreamConfig, change map[string]string) (jetstream.StreamConfig, error) {
	if len(change) == 0 {
		return have, nil
	}
	metadata := maps.Clone(have.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	maps.Copy(metadata, change)
	have.Metadata = metadata
	s, err := l.js.UpdateStream(ctx, have)
	if err != nil {
		return have, fmt.Errorf("give stream %s an identity: %w", have.Name, err)
	}
	return s.CachedInfo().Config, nil
}

// skip makes the log go on behind a sequence. A process that ended before it did is made up for by the next.
func (l *Log) skip(ctx context.Context, after string, last uint64) error {
	seq, err := strconv.ParseUint(cmp.Or(after, "0"), 10, 64)
	if err != nil {
		return fmt.Errorf("read %s of stream %s: %w", afterKey, logName, err)
	}
	if last >= seq {
		return nil
	}
	return l.purge(ctx, logName, seq+1)
}
