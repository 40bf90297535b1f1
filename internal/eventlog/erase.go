package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// EraseEntries deletes the entries before a sequence that holds says to, their bytes overwritten, and returns how
// many. What is in them has to be in the offline store: a reader that has not come to such an entry finds it lost
// and begins anew from there. each is called with the sequence of every entry; it may be nil.
func (l *Log) EraseEntries(ctx context.Context, before uint64, holds func(Entry) bool, each func(seq uint64)) (int, error) {
	seqs, err := l.find(ctx, before, holds, each)
	if err != nil || len(seqs) == 0 {
		return 0, err
	}
	if err := l.settleInbox(ctx); err != nil {
		return 0, err
	}
	s, err := l.js.Stream(ctx, logName)
	if err != nil {
		return 0, feature.Errorf(feature.CodeUnavailable, "erase entries of the log: %w", err)
	}
	for i, seq := range seqs {
		if err := s.SecureDeleteMsg(ctx, seq); err != nil && !gone(err) {
			return i, feature.Errorf(feature.CodeUnavailable, "erase entry %d of the log: %w", seq, err)
		}
	}
	return len(seqs), nil
}

func gone(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful)
}

// find returns the sequences of the entries before a sequence that holds says yes to. What the log has lost it passes
// over.
func (l *Log) find(ctx context.Context, before uint64, holds func(Entry) bool, each func(seq uint64)) ([]uint64, error) {
	enough := errors.New("enough")
	var seqs []uint64
	from, _, err := l.Bounds(ctx)
	for err == nil && from < before {
		err = l.Tail(ctx, from, func(e Entry) error {
			from = e.Seq + 1
			if e.Seq >= before {
				return enough
			}
			if holds(e) {
				seqs = append(seqs, e.Seq)
			}
			if each != nil {
				each(e.Seq)
			}
			if from == before {
				return enough
			}
			return nil
		})
		if corrupt, ok := errors.AsType[*CorruptError](err); ok {
			from, err = max(corrupt.Seq, corrupt.Upto)+1, nil
		} else if errors.Is(err, ErrTruncated) {
			from, _, err = l.Bounds(ctx)
		}
	}
	if errors.Is(err, enough) {
		err = nil
	}
	return seqs, err
}

// PublishBarrier appends a row group without rows, with the columns of b. Whoever publishes with PublishNext has to have
// read the log up to it, also when the messages of the source before it are deleted.
func (l *Log) PublishBarrier(ctx context.Context, b *feature.Batch) error {
	if err := checkBatch(b); err != nil {
		return err
	}
	_, err := l.send(ctx, logName, []*nats.Msg{l.message(rowSubject(b.Source), wire.AppendGroup(nil, b.Slice(0, 0)))})
	return err
}

// settleInbox forgets of the inbox what is in the log: the last message that says how far that is may be deleted.
func (l *Log) settleInbox(ctx context.Context) error {
	m, err := l.lastOf(ctx, inboxSubject)
	if err != nil || m == nil {
		return err
	}
	id, seq, _ := strings.Cut(m.Header.Get(headerInbox), " ")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return &CorruptError{Seq: m.Sequence, Err: fmt.Errorf("header %s: %w", headerInbox, err)}
	}
	if id != l.ids[inboxName] {
		return nil
	}
	return l.purge(ctx, inboxName, n+1)
}

// EraseLetters deletes letters by Seq, their bytes overwritten. One that is not there is passed over.
func (l *Log) EraseLetters(ctx context.Context, seqs ...uint64) error {
	s, err := l.js.Stream(ctx, deadName)
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "erase refused rows: %w", err)
	}
	for _, seq := range slices.Compact(seqs) {
		if err := s.SecureDeleteMsg(ctx, seq); err != nil && !gone(err) {
			return feature.Errorf(feature.CodeUnavailable, "erase refused row %d: %w", seq, err)
		}
	}
	return nil
}
