package eventlog

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// stored is a message of a stream, without one.
type stored struct {
	jetstream.Msg
	subject string
	data    []byte
}

func (m stored) Subject() string { return m.subject }
func (m stored) Data() []byte    { return m.data }

// FuzzReadEntry: whatever lies in the log, it is an entry or an error; an entry is rows or a record, and rows are of the
// source that the subject names.
func FuzzReadEntry(f *testing.F) {
	src := &feature.Source{Name: "clicks", Columns: []feature.Field{{Name: "id", Type: feature.Int64}, {Name: "at", Type: feature.Timestamp}}}
	rows := feature.NewBatch(src)
	rows.Append([]feature.Value{feature.Int64Value(1), feature.TimestampValue(2)})
	group := wire.AppendGroup(nil, rows)
	f.Add(logPrefix+"clicks.0", group)
	f.Add(inboxSubject, group)
	f.Add(logPrefix+"others.0", group)
	f.Add(logPrefix+"clicks.0", group[:len(group)-1])
	f.Add(recordPrefix+"import-clicks-1", []byte(`{"kind":"import","source":"clicks","generation":1,"rows":5}`))
	f.Add(recordPrefix+"import-clicks-8", []byte(`{"kind":"import","source":"clicks","generation":8,"edition":8}`))
	f.Add(recordPrefix+"erase-x", []byte(`{"kind":"erase","erase":[{"source":"clicks","columns":["user"],"keys":["BANKRks="]}]}`))
	f.Add(recordPrefix+"forget-x", []byte(`{"kind":"forget","source":"clicks","forget":{"before":17,"events":"TEtHUg=="}}`))
	f.Add(recordPrefix+"x", []byte(`{"kind":7}`))
	f.Add(recordPrefix+"x", []byte(`null`))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		meta := &jetstream.MsgMetadata{Timestamp: time.Unix(0, 0), Sequence: jetstream.SequencePair{Stream: 9}}
		e, err := readEntry(message{stored{subject: subject, data: data}, meta})
		switch {
		case err != nil:
		case e.Seq != 9 || (e.Batch == nil) == (e.Record == nil):
			t.Errorf("%s with %q = %+v, want rows or a record", subject, data, e)
		}
	})
}

// FuzzSplitRows: a message of the inbox loses nothing but the space between rows and the brackets around them.
func FuzzSplitRows(f *testing.F) {
	for _, s := range []string{``, ` `, `{}`, `[]`, `[{"a":1},5]`, "{\"a\":1}\n{\"b\":[2]}", `{"a":`, `[1`, `[[1],[2]]`, "\xff", `5 "x" null`, `{"a":"]"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows := splitRows(data)
		if len(rows) == 1 && bytes.Equal(rows[0], data) {
			return // as it came
		}
		rest := data
		for _, row := range rows {
			at := bytes.Index(rest, row)
			if at < 0 || len(bytes.Trim(rest[:at], " \t\r\n[,")) > 0 {
				t.Fatalf("%q has the rows %q, want them in order and nothing left out", data, rows)
			}
			rest = rest[at+len(row):]
		}
		if len(bytes.Trim(rest, " \t\r\n]")) > 0 && len(bytes.Trim(rest, " \t\r\n[]")) > 0 {
			t.Fatalf("%q has the rows %q, which leave out %q", data, rows, rest)
		}
	})
}
