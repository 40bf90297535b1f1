package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Entry is one message of the log: a row group, a record, or neither: a row group of no rows, which only says that its
// place is taken.
type Entry struct {
	Seq    uint64
	Taken  feature.Time   // when the log took it: available_at of its rows (rule T2)
	Batch  *feature.Batch // its rows, idx 0 first; nil if there are none
	Record *Record        // nil unless it is one
}

// Tail calls fn for every entry of the log from a sequence on (0 and 1 are the start), in order, each once, and
// goes on as entries are appended. It returns fn's error as it is, the context's when ctx ends, ErrTruncated,
// ErrAhead, ErrReplaced or a CorruptError; it does not return because a connection was lost. The entry and all in it are
// fn's to keep; fn may take its time.
func (l *Log) Tail(ctx context.Context, from uint64, fn func(Entry) error) error {
	return l.follow(ctx, logName, from, func(m message) error {
		e, err := readEntry(m)
		switch {
		case feature.CodeOf(err) == feature.CodeConflict: // the entry is well, but not for us
			return fmt.Errorf("read entry %d: %w", m.seq(), err)
		case err != nil:
			return &CorruptError{Seq: m.seq(), Upto: m.seq(), Err: err, Subject: m.Subject(), Raw: m.Data()}
		}
		return fn(e)
	})
}

func readEntry(m message) (Entry, error) {
	taken, err := feature.TimeOf(m.meta.Timestamp)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Seq: m.seq(), Taken: taken}
	subject := m.Subject()
	if strings.HasPrefix(subject, recordPrefix) {
		e.Record = new(Record)
		if err := json.Unmarshal(m.Data(), e.Record); err != nil {
			return Entry{}, fmt.Errorf("read record: %w", err)
		}
		return e, nil
	}
	if e.Batch, err = wire.ParseGroup(m.Data()); err != nil {
		if broken, ok := errors.AsType[*wire.Error](err); ok && broken.Newer {
			return Entry{}, feature.Errorf(feature.CodeConflict, "%w: upgrade this process", err)
		}
		return Entry{}, err
	}
	if subject != inboxSubject && !strings.HasPrefix(subject, letterPrefix) && !strings.HasPrefix(subject, logPrefix+e.Batch.Source+".") {
		return Entry{}, fmt.Errorf("rows of %s on subject %s", e.Batch.Source, subject)
	}
	if e.Batch.Rows == 0 {
		e.Batch = nil
	}
	return e, nil
}
