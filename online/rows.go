package online

import (
	"encoding/binary"
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// rowEvent follows the key of a row on disk that is one event of a windowed view. All bytes of its kind are below rowEnd.
const (
	rowEvent = 'e'
	rowEnd   = 0xFF
)

// rows are events as they are written to disk: of each the length of its position, the length of its value (both uint32),
// and these.
type rows []byte

const rowHead = 8

// add appends an event of a view of the shape; scratch is for its values, and is returned.
func (r rows) add(e *asof.Event, s *shape, scratch []feature.Value) (rows, []feature.Value) {
	scratch = scratch[:0]
	for _, input := range s.stored {
		var v feature.Value
		if !e.Deleted { // R3
			v = e.Values[input]
		}
		scratch = append(scratch, v)
	}
	head := len(r)
	r = append(r, make([]byte, rowHead)...)
	r = wire.AppendPosition(r, &e.Position)
	value := len(r)
	r = wire.AppendRow(r, e.Deleted, scratch)
	binary.LittleEndian.PutUint32(r[head:], uint32(value-head-rowHead))
	binary.LittleEndian.PutUint32(r[head+4:], uint32(len(r)-value))
	return r, scratch
}

// next returns the first row and those behind it.
func (r rows) next() (position, value []byte, rest rows) {
	n, m := int(binary.LittleEndian.Uint32(r)), int(binary.LittleEndian.Uint32(r[4:]))
	r = r[rowHead:]
	return r[:n], r[n : n+m], r[n+m:]
}

// rowReader turns rows into events.
type rowReader struct {
	shape  *shape
	values []feature.Value // of the stored inputs
	event  asof.Event
}

func newRowReader(s *shape) *rowReader {
	r := &rowReader{shape: s, values: make([]feature.Value, len(s.stored))}
	r.event.Values = make([]feature.Value, len(s.columns))
	return r
}

// read returns a row as an event, which is good until the next one.
func (r *rowReader) read(position, value []byte) (*asof.Event, error) {
	var err error
	if r.event.Position, err = wire.ParsePosition(position); err != nil {
		return nil, err
	}
	if r.event.Deleted, err = wire.ParseRow(value, r.values); err != nil {
		return nil, err
	}
	for c, input := range r.shape.stored {
		v := r.values[c]
		if t := r.shape.types[c]; !v.IsNull() && (v.Type().Kind != t.Kind || v.Type().List != t.List) {
			return nil, fmt.Errorf("a stored value is of %s, expected %s", v.Type(), t)
		}
		r.event.Values[input] = v
	}
	return &r.event, nil
}

// addRows adds rows that this process made.
func (t *tree) addRows(r rows) {
	read := newRowReader(t.shape)
	for len(r) > 0 {
		var position, value []byte
		position, value, r = r.next()
		e, err := read.read(position, value)
		if err != nil {
			panic(err) // they never left memory
		}
		t.insert(e)
	}
}
