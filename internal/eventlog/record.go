package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// RecordKind says what a Record tells.
type RecordKind string

// The kinds of records. Readers pass over kinds they do not know.
const (
	RecordImport  RecordKind = "import"  // a generation of a source is complete in the offline store (rule C3)
	RecordRebuild RecordKind = "rebuild" // replicas are to load views from the offline store again
	RecordErase   RecordKind = "erase"   // events before it do not exist any more (rule E3)
	RecordForget  RecordKind = "forget"  // events that an erase took away, of a source with an id: they may come again
	RecordErased  RecordKind = "erased"  // an erase is done, everywhere that can be known
)

// Record is an entry that is not rows: something that happened to the state of the world at its place in the log.
type Record struct {
	ID         string     `json:"id,omitempty"` // letters, digits, - and _; default KIND-SOURCE-GENERATION
	Kind       RecordKind `json:"kind"`
	Source     string     `json:"source,omitempty"`
	Generation uint64     `json:"generation,omitempty"`
	Edition    uint64     `json:"edition,omitempty"` // of the source that the generation belongs to (rule E2)
	Views      []string   `json:"views,omitempty"`
	Rows       int64      `json:"rows,omitempty"` // of the generation, for people
	Erase      []Erasure  `json:"erase,omitempty"`
	Forget     *Forgotten `json:"forget,omitempty"`
	Note       string     `json:"note,omitempty"` // for people

	// Barrier makes an empty row group of the source follow at once, so that PublishNext finds that something was
	// appended: the record says something about which rows are events.
	Barrier bool `json:"-"`
}

// Forgotten is events of a source with an id that an erase took away.
type Forgotten struct {
	Before uint64 // the place of the erase in the log
	Events *feature.Batch
}

type forgottenText struct {
	Before uint64 `json:"before"`
	Events []byte `json:"events"` // a row group: the columns of the id and the event time
}

// MarshalJSON writes the events as a row group.
func (f Forgotten) MarshalJSON() ([]byte, error) {
	return json.Marshal(forgottenText{f.Before, wire.AppendGroup(nil, f.Events)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (f *Forgotten) UnmarshalJSON(data []byte) error {
	var t forgottenText
	if err := json.Unmarshal(data, &t); err != nil {
		return err
	}
	events, err := wire.ParseGroup(t.Events)
	if err != nil {
		return fmt.Errorf("read the events that are forgotten: %w", err)
	}
	*f = Forgotten{t.Before, events}
	return nil
}

// Erasure is a feature.Erasure in a record.
type Erasure struct {
	feature.Erasure
}

type erasureText struct {
	Source  string   `json:"source"`
	Columns []string `json:"columns"`
	Keys    [][]byte `json:"keys"` // as wire.AppendKey writes them
}

// MarshalJSON writes the erasure with its keys as bytes, which keep their types.
func (e Erasure) MarshalJSON() ([]byte, error) {
	t := erasureText{Source: e.Source, Columns: e.Columns}
	for _, k := range e.Keys {
		t.Keys = append(t.Keys, wire.AppendKey(nil, k))
	}
	return json.Marshal(t)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *Erasure) UnmarshalJSON(data []byte) error {
	var t erasureText
	if err := json.Unmarshal(data, &t); err != nil {
		return err
	}
	e.Erasure = feature.Erasure{Source: t.Source, Columns: t.Columns}
	for _, b := range t.Keys {
		k, err := wire.ParseKey(b, len(t.Columns))
		if err != nil {
			return fmt.Errorf("read the key of an erasure: %w", err)
		}
		e.Keys = append(e.Keys, k)
	}
	return nil
}

// PublishRecord appends a record behind everything that was published before, and returns its sequence. A record
// whose ID the log holds is not appended again: the sequence it has is returned. Errors are as Publish's.
func (l *Log) PublishRecord(ctx context.Context, r Record) (seq uint64, err error) {
	if r.ID == "" {
		r.ID = string(r.Kind) + "-" + r.Source + "-" + strconv.FormatUint(r.Generation, 10)
	}
	if r.Kind == "" || !token(r.ID) {
		return 0, feature.Errorf(feature.CodeInvalid, "record %q of kind %q: expected a kind, and an id of up to 128 letters, digits, - and _", r.ID, r.Kind)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("write record: %w", err)
	}
	// Not by the queue: a record has a place of its own, and the id is its subject, which may hold one message.
	m := l.message(recordPrefix+r.ID, data)
	m.Header.Set(nats.ExpectedLastSubjSeqHdr, "0")
	msgs := []*nats.Msg{m}
	if r.Barrier {
		if !token(r.Source) {
			return 0, feature.Errorf(feature.CodeInvalid, "record %q: expected the name of a source", r.ID)
		}
		msgs = append(msgs, l.message(rowSubject(r.Source), wire.AppendGroup(nil, &feature.Batch{Source: r.Source})))
	}
	seq, err = l.send(ctx, logName, msgs)
	if feature.CodeOf(err) == feature.CodeConflict {
		return l.recordAt(ctx, m.Subject)
	}
	if err != nil {
		return 0, err
	}
	return seq - uint64(len(msgs)-1), nil
}

func (l *Log) recordAt(ctx context.Context, subject string) (uint64, error) {
	m, err := l.lastOf(ctx, subject)
	if err != nil {
		return 0, err
	}
	if m == nil {
		return 0, feature.Errorf(feature.CodeUnavailable, "record %s was there and is not any more", subject)
	}
	return m.Sequence, nil
}

// Recorded returns the record that the log holds under an id, and its sequence; CodeNotFound where there is none.
func (l *Log) Recorded(ctx context.Context, id string) (Record, uint64, error) {
	m, err := l.lastOf(ctx, recordPrefix+id)
	if err != nil {
		return Record{}, 0, err
	}
	if m == nil {
		return Record{}, 0, feature.Errorf(feature.CodeNotFound, "the log holds no record %s", id)
	}
	var r Record
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return Record{}, 0, fmt.Errorf("read record %s: %w", id, err)
	}
	return r, m.Sequence, nil
}
