package eventlog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
)

// The streams and their subjects.
const (
	logName   = "LOCKSTEP_LOG"
	deadName  = "LOCKSTEP_DEAD"
	inboxName = "LOCKSTEP_IN"

	logPrefix    = "lockstep.log."
	recordPrefix = "lockstep.log.$record."
	inboxSubject = "lockstep.log.$inbox"   // row groups that came through the inbox, of any source
	letterPrefix = "lockstep.log.$letter." // rows that were refused and taken later, one message a letter
	deadPrefix   = "lockstep.dead."
	inboxPrefix  = "lockstep.in."
)

// noStorage is JetStream's refusal of a stream that may become larger than what the server has left.
const noStorage jetstream.ErrorCode = 10047

func (l *Log) logStream() jetstream.StreamConfig {
	return l.stream(jetstream.StreamConfig{
		Name: logName, Subjects: []string{logPrefix + ">"}, Description: "Lockstep: the log of events",
		MaxBytes: l.cfg.MaxBytes, Discard: jetstream.DiscardNew, FirstSeq: l.cfg.Covered.firstSeq(),
	})
}

func (l *Log) deadStream() jetstream.StreamConfig {
	return l.stream(jetstream.StreamConfig{
		Name: deadName, Subjects: []string{deadPrefix + ">"}, Description: "Lockstep: refused rows",
		MaxBytes: l.cfg.DeadBytes, Discard: jetstream.DiscardOld,
	})
}

func (l *Log) inboxStream() jetstream.StreamConfig {
	return l.stream(jetstream.StreamConfig{
		Name: inboxName, Subjects: []string{inboxPrefix + "*"}, Description: "Lockstep: JSON events of other producers",
		MaxBytes: l.cfg.InboxBytes, Discard: jetstream.DiscardNew,
	})
}

// stream completes a configuration with what all streams share.
func (l *Log) stream(c jetstream.StreamConfig) jetstream.StreamConfig {
	c.Storage = jetstream.FileStorage
	c.Replicas = l.cfg.Replicas
	c.AllowDirect = true
	c.AllowAtomicPublish = true
	c.Duplicates = dedup
	return c
}

// checkServer refuses servers that cannot do what the log needs, and says what cannot be checked.
func (l *Log) checkServer(ctx context.Context) error {
	info, err := l.js.AccountInfo(ctx)
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "NATS at %s has no JetStream for this account: start nats-server with -js: %w", l.where(), err)
	}
	const atomicPublish = 2 // API level of nats-server 2.12
	if info.API.Level < atomicPublish {
		return feature.Errorf(feature.CodeInvalid, "NATS at %s is too old: nats-server 2.12 or newer is needed, which publishes batches atomically", l.where())
	}
	if l.server == nil && l.cfg.Durability == Fsync {
		l.cfg.Logger.Warn("durability of nats cannot be checked from here: set sync_interval: always in the servers' jetstream block",
			slog.String("url", l.where()), slog.String("durability", string(l.cfg.Durability)))
	}
	return nil
}

// ensure makes the stream or checks the one there is, and returns its metadata.
func (l *Log) ensure(ctx context.Context, want jetstream.StreamConfig) (map[string]string, error) {
	s, err := l.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		want.Metadata = map[string]string{idKey: rand.Text()}
		s, err = l.js.CreateStream(ctx, want)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
			s, err = l.js.Stream(ctx, want.Name)
		}
	}
	if e, ok := errors.AsType[*jetstream.APIError](err); ok && e.ErrorCode == noStorage {
		return nil, feature.Errorf(feature.CodeInvalid, "stream %s may take %d GiB, for which NATS at %s has no room: lower log-bytes, or raise max_file_store in the servers' jetstream block (without it they lend out three quarters of the free disk): %w",
			want.Name, want.MaxBytes/gib, l.where(), err)
	}
	if err != nil {
		return nil, feature.Errorf(feature.CodeUnavailable, "open stream %s at %s: %w", want.Name, l.where(), err)
	}
	have := s.CachedInfo().Config
	if err := checkStream(have, want); err != nil {
		return nil, err
	}
	if have, err = l.limits(ctx, have, want); err != nil {
		return nil, err
	}
	if want.Name == logName {
		have, err = l.identify(ctx, have, s.CachedInfo().State)
	} else if have.Metadata[idKey] == "" {
		have, err = l.stamp(ctx, have, map[string]string{idKey: rand.Text()})
	}
	return have.Metadata, err
}

// checkStream fails if a stream that somebody else may have made does not keep what the log promises.
func checkStream(have, want jetstream.StreamConfig) error {
	var wrong []string
	expect := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	expect(slices.Equal(have.Subjects, want.Subjects), "subjects "+strings.Join(want.Subjects, ", "))
	expect(have.AllowAtomicPublish, "allow_atomic: true")
	expect(have.Discard == want.Discard, "discard: "+want.Discard.String())
	expect(have.Storage == jetstream.FileStorage, "storage: file")
	expect(have.Retention == jetstream.LimitsPolicy, "retention: limits")
	expect(have.AllowDirect, "allow_direct: true")
	expect(have.PersistMode != jetstream.AsyncPersistMode, "persist_mode: default")
	expect(have.MaxMsgsPerSubject <= 0 && have.MaxMsgs <= 0, "no limit on the number of messages")
	expect(have.MaxMsgSize <= 0 || have.MaxMsgSize >= 2*groupBytes, "no max_msg_size")
	expect(!have.Sealed && !have.NoAck && have.Mirror == nil && len(have.Sources) == 0, "a stream of its own that acknowledges")
	expect(have.MaxAge <= 0 || want.Name != logName, "no max_age: what the offline store has is trimmed")
	expect(have.Duplicates >= min(want.Duplicates, dedup), "duplicate_window: "+want.Duplicates.String())
	if len(wrong) == 0 {
		return nil
	}
	return feature.Errorf(feature.CodeInvalid, "stream %s is not as the log needs it, expected %s", want.Name, strings.Join(wrong, "; "))
}

// limits gives a stream the limits of the configuration if it is ours alone.
func (l *Log) limits(ctx context.Context, have, want jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	if l.server == nil || have.MaxBytes == want.MaxBytes {
		return have, nil
	}
	have.MaxBytes = want.MaxBytes
	s, err := l.js.UpdateStream(ctx, have)
	if err != nil {
		return have, fmt.Errorf("set the limit of stream %s: %w", want.Name, err)
	}
	return s.CachedInfo().Config, nil
}

// token reports whether a name is one token of a subject as it is.
func token(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
