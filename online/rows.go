package online

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// What follows the key in the rows of a windowed view on disk. Everything that follows is below rowEnd.
const (
	rowEvent = 'e' // and the position of an event for exact edges and latest features
	rowLoose = 'l' // and the position of an event that is in no tile yet
	rowTile  = 't' // and the tiling and number of a tile
	rowEnd   = 0xFF
)

// rows are changes of one key's rows, in their order: of each what it does, how long the end of the row's key is, how
// long its value is (both uint32), and these.
type rows []byte

// What a change does.
const (
	setRow    = iota // writes a row
	deleteRow        // deletes it
	cutRows          // deletes the rows from the key up to, and without, the value
)

const (
	changeHead = 9
	manyRows   = leafEvents / 2 // so many are deleted as a range
)

// begin appends a change whose key and value are appended by the caller, which calls end.
func (r rows) begin(does byte) rows { return append(r, does, 0, 0, 0, 0, 0, 0, 0, 0) }

// end says where the value of the change at head begins.
func (r rows) end(head, value int) {
	binary.LittleEndian.PutUint32(r[head+1:], uint32(value-head-changeHead))
	binary.LittleEndian.PutUint32(r[head+5:], uint32(len(r)-value))
}

// add appends an event of a view; scratch is for its values, and is returned.
func (r rows) add(kind byte, e *asof.Event, w *windows, scratch []feature.Value) (rows, []feature.Value) {
	scratch = scratch[:0]
	for _, input := range w.stored {
		var v feature.Value
		if !e.Deleted { // R3
			v = e.Values[input]
		}
		scratch = append(scratch, v)
	}
	head := len(r)
	r = wire.AppendPosition(append(r.begin(setRow), kind), &e.Position)
	value := len(r)
	r = wire.AppendRow(r, e.Deleted, scratch)
	r.end(head, value)
	return r, scratch
}

// drop appends that loose events i up to, and without, j of l are gone.
func (r rows) drop(l *leaf, i, j int) rows {
	if j-i > manyRows {
		first, last, head := l.position(i), l.position(j-1), len(r)
		r = wire.AppendPosition(append(r.begin(cutRows), rowLoose), &first)
		value := len(r)
		r = append(wire.AppendPosition(append(r, rowLoose), &last), 0)
		r.end(head, value)
		return r
	}
	for ; i < j; i++ {
		p, head := l.position(i), len(r)
		r = wire.AppendPosition(append(r.begin(deleteRow), rowLoose), &p)
		r.end(head, len(r))
	}
	return r
}

// addTile appends a tile.
func (r rows) addTile(id tileID, states []agg.State) rows {
	head := len(r)
	r = appendTileKey(r.begin(setRow), id)
	value := len(r)
	r = appendStates(r, states)
	r.end(head, value)
	return r
}

func appendTileKey(dst []byte, id tileID) []byte {
	return wire.AppendInstant(append(dst, rowTile, byte(id.tiling)), feature.Time(id.number))
}

// next returns the first change and those behind it.
func (r rows) next() (does byte, key, value []byte, rest rows) {
	n, m := int(binary.LittleEndian.Uint32(r[1:])), int(binary.LittleEndian.Uint32(r[5:]))
	does, r = r[0], r[changeHead:]
	return does, r[:n], r[n : n+m], r[n+m:]
}

// write makes the changes to the rows of a key, and returns how many they are.
func (r rows) write(b *pebble.Batch, of []byte) (n int, err error) {
	var from, to []byte
	for ; len(r) > 0 && err == nil; n++ {
		var does byte
		var key, value []byte
		does, key, value, r = r.next()
		switch does {
		case setRow:
			op := b.SetDeferred(len(of)+len(key), len(value))
			copy(op.Key[copy(op.Key, of):], key)
			copy(op.Value, value)
			err = op.Finish()
		case deleteRow:
			from = append(append(from[:0], of...), key...)
			err = b.Delete(from, nil)
		default:
			from, to = append(append(from[:0], of...), key...), append(append(to[:0], of...), value...)
			err = b.DeleteRange(from, to, nil)
		}
	}
	return n, err
}

// rowReader puts rows into a past.
type rowReader struct {
	past   *past
	values []feature.Value // of the stored inputs
	event  asof.Event
}

func newRowReader(p *past) *rowReader {
	r := &rowReader{past: p, values: make([]feature.Value, len(p.windows.stored))}
	r.event.Values = make([]feature.Value, len(p.windows.columns))
	return r
}

// read puts the row into the past. key is what follows the key in it.
func (r *rowReader) read(key, value []byte) error {
	w := r.past.windows
	switch {
	case len(key) > 0 && key[0] == rowTile:
		id, err := w.parseTile(key)
		if err != nil {
			return err
		}
		states, err := w.tilings[id.tiling].parseStates(value)
		if err != nil {
			return fmt.Errorf("tile %d: %w", id.number, err)
		}
		r.past.tiles[id.tiling].load(&w.tilings[id.tiling], id.number, states)
		return nil
	case len(key) > 0 && key[0] == rowEvent && r.past.events != nil:
		e, err := r.parse(key[1:], value)
		if err == nil {
			r.past.events.insert(e)
		}
		return err
	case len(key) > 0 && key[0] == rowLoose && r.past.loose != nil:
		e, err := r.parse(key[1:], value)
		if err == nil {
			r.past.loose.insert(e)
		}
		return err
	default:
		return fmt.Errorf("a row %x of an unknown kind", key)
	}
}

// parse returns an event, which is good until the next one.
func (r *rowReader) parse(position, value []byte) (*asof.Event, error) {
	var err error
	if r.event.Position, err = wire.ParsePosition(position); err != nil {
		return nil, err
	}
	if r.event.Deleted, err = wire.ParseRow(value, r.values); err != nil {
		return nil, err
	}
	for c, input := range r.past.windows.stored {
		v := r.values[c]
		if t := r.past.windows.types[c]; !v.IsNull() && (v.Type().Kind != t.Kind || v.Type().List != t.List) {
			return nil, fmt.Errorf("a stored value is of %s, expected %s", v.Type(), t)
		}
		r.event.Values[input] = v
	}
	return &r.event, nil
}

// parseTile reads what appendTileKey wrote.
func (w *windows) parseTile(key []byte) (tileID, error) {
	if len(key) != 10 || int(key[1]) >= len(w.tilings) {
		return tileID{}, fmt.Errorf("%x is not the key of a tile", key)
	}
	return tileID{int(key[1]), int64(binary.BigEndian.Uint64(key[2:]) ^ 1<<63)}, nil
}

// addRows adds events that this process made rows of.
func (p *past) addRows(r rows) {
	read := newRowReader(p)
	for len(r) > 0 {
		var key, value []byte
		_, key, value, r = r.next()
		if err := read.read(key, value); err != nil {
			panic(err) // they never left memory
		}
	}
}
