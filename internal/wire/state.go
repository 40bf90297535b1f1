package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

const stateVersion = 1

// Flags of an event in a state.
const (
	eventTieNull = 1 << iota
	eventDeleted
	eventTie     // a tiebreak other than 0 follows
	eventSeq     // seq and idx follow
	eventColumns // the columns of rule O2 follow
	eventFlags   = 1<<iota - 1
)

// AppendEvents appends the state of one key of one view: its events in their order. The format is
// docs/format/state.md.
func AppendEvents(dst []byte, events []asof.Event) []byte {
	dst = append(dst, stateVersion)
	dst = binary.AppendUvarint(dst, uint64(len(events)))
	last := int64(0)
	for i := range events {
		e := &events[i]
		dst = binary.AppendVarint(dst, int64(e.EventTime)-last)
		last = int64(e.EventTime)
		dst = appendPosition(dst, e)
		dst = binary.AppendUvarint(dst, uint64(len(e.Values)))
		for _, v := range e.Values {
			dst = appendValue(dst, v)
		}
	}
	return dst
}

func appendPosition(dst []byte, e *asof.Event) []byte {
	at := len(dst)
	dst = append(dst, 0)
	var flags byte
	if e.TieNull {
		flags |= eventTieNull
	}
	if e.Deleted {
		flags |= eventDeleted
	}
	if e.Tie != 0 {
		flags |= eventTie
		dst = binary.AppendVarint(dst, e.Tie)
	}
	if e.Seq != 0 || e.Idx != 0 {
		flags |= eventSeq
		dst = binary.AppendUvarint(dst, e.Seq)
		dst = binary.AppendUvarint(dst, uint64(e.Idx))
	}
	if e.Columns != "" {
		flags |= eventColumns
		dst = binary.AppendUvarint(dst, uint64(len(e.Columns)))
		dst = append(dst, e.Columns...)
	}
	dst[at] = flags
	return dst
}

// appendValue appends a value of any type, or NULL, with its type.
func appendValue(dst []byte, v feature.Value) []byte {
	t := v.Type()
	switch {
	case v.IsNull():
		return append(dst, 0)
	case !t.List:
		return appendScalar(append(dst, byte(t.Kind)<<1), t.Kind, v)
	}
	list := v.List()
	dst = append(dst, byte(t.Kind)<<1|1)
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, e := range list {
		if e.Type().Kind != t.Kind {
			panic(fmt.Sprintf("wire: %s in a list of %s", e.Type(), t.Kind))
		}
		dst = appendScalar(dst, t.Kind, e)
	}
	return dst
}

// ParseEvents reads what AppendEvents wrote, which must be all of b. The result shares no memory with b, but
// its strings share one string as long as b: clone one to keep it alone.
func ParseEvents(b []byte) ([]asof.Event, error) {
	r := reader{format: "state", b: b}
	if v := r.byte("version"); r.err == nil && v != stateVersion {
		r.off--
		r.fail("version %d is not known, expected %d", v, stateVersion)
	}
	n := r.count("number of events")
	if r.err != nil {
		return nil, r.err
	}
	whole := string(b)
	events := make([]asof.Event, n)
	var values []feature.Value
	last := feature.Time(0)
	for i := range events {
		e := &events[i]
		e.EventTime = last + feature.Time(r.varint("event time"))
		last = e.EventTime
		r.position(e, whole)
		columns := r.count("number of values")
		if r.err != nil {
			return nil, r.err
		}
		if cap(values)-len(values) < columns {
			// One block for the rest of the events, as far as the bytes can hold values for them.
			values = make([]feature.Value, 0, max(columns, min((n-i)*columns, r.left())))
		}
		from := len(values)
		for range columns {
			values = append(values, r.value(whole))
		}
		e.Values = values[from:len(values):len(values)]
	}
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	return events, nil
}

func (r *reader) position(e *asof.Event, whole string) {
	flags := r.byte("flags")
	if flags > eventFlags {
		r.fail("unknown flags %#x", flags)
	}
	e.TieNull = flags&eventTieNull != 0
	e.Deleted = flags&eventDeleted != 0
	if flags&eventTie != 0 {
		e.Tie = r.varint("tiebreak")
	}
	if flags&eventSeq != 0 {
		e.Seq = r.uvarint("sequence")
		idx := r.uvarint("index")
		if idx > 1<<32-1 {
			r.fail("index %d does not fit 32 bits", idx)
		}
		e.Idx = uint32(idx)
	}
	if flags&eventColumns != 0 {
		e.Columns = r.scalar(feature.KindString, whole).Str()
	}
}

func (r *reader) value(whole string) feature.Value {
	tag := r.byte("type of a value")
	kind := feature.Kind(tag >> 1)
	switch {
	case r.err != nil || tag == 0:
		return feature.Value{}
	case tag&1 == 0:
		return r.scalar(kind, whole)
	}
	list := make([]feature.Value, r.count("length of a list"))
	for i := range list {
		list[i] = r.scalar(kind, whole)
	}
	if r.err == nil && len(list) == 0 && !known(kind) {
		r.fail("unknown kind %d", kind)
	}
	return feature.ListValue(kind, list)
}

// known reports whether columns are declared of the kind.
func known(k feature.Kind) bool { return k >= feature.KindInt64 && k <= feature.KindTimestamp }
