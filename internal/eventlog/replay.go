package eventlog

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// PublishLetter appends what became of a letter's row now that it is taken, and discards the letter. However often
// and by however many it is called, with whatever becomes of the process in between, the log has the rows once:
// they have a subject of their own there. It returns their sequence, and whether the log had them before. Errors
// are as Publish's; the letter is still there then.
func (l *Log) PublishLetter(ctx context.Context, x Letter, b *feature.Batch) (seq uint64, known bool, err error) {
	if err := checkBatch(b); err != nil {
		return 0, false, err
	}
	if bound, limit := wire.GroupBound(b), l.rowLimit(); bound > limit {
		return 0, false, feature.Errorf(feature.CodeTooLarge, "a row of %s takes %d bytes: the log takes rows of up to %d", b.Source, bound, limit)
	}
	m := l.message(letterPrefix+x.origin, wire.AppendGroup(nil, b))
	m.Header.Set(nats.ExpectedLastSubjSeqHdr, "0")
	seq, err = l.send(ctx, logName, []*nats.Msg{m})
	if feature.CodeOf(err) == feature.CodeConflict {
		known = true
		seq, err = l.recordAt(ctx, m.Subject)
	}
	if err != nil {
		return 0, false, err
	}
	return seq, known, l.Discard(ctx, x.Seq)
}

// RefuseAgain puts a letter with the reasons of today in place of x.
func (l *Log) RefuseAgain(ctx context.Context, x Letter, reason, field string) error {
	if x.Reason == reason && x.Field == field {
		return nil
	}
	seq := x.Seq
	x.Reason, x.Field, x.id = reason, field, fmt.Sprintf("%s-%s-%d", x.origin, l.ids[deadName], seq)
	if err := l.Refuse(ctx, x); err != nil {
		return err
	}
	return l.Discard(ctx, seq)
}

// settleLetters discards the letters whose rows the log has and is about to forget: a replay that ended between
// publishing and discarding must not be repeated then.
func (l *Log) settleLetters(ctx context.Context, before uint64) error {
	info, err := l.info(ctx, logName, jetstream.WithSubjectFilter(letterPrefix+">"))
	if err != nil || len(info.State.Subjects) == 0 || info.State.FirstSeq >= before {
		return err
	}
	for x, err := range l.EachLetter(ctx, LetterQuery{}) {
		if err != nil {
			return err
		}
		if info.State.Subjects[letterPrefix+x.origin] > 0 {
			if err := l.Discard(ctx, x.Seq); err != nil {
				return err
			}
		}
	}
	return nil
}
