package wire

import (
	"encoding/binary"
	"math/bits"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Signs of a tiebreak in a position; NULL is lowest.
const (
	tieNull = iota
	tieNegative
	tieZero
	tiePositive
)

// AppendPosition appends a position so that the order of the bytes is asof.Compare of the positions. The format is
// docs/format/ordered.md.
func AppendPosition(dst []byte, p *asof.Position) []byte {
	dst = AppendInstant(dst, p.EventTime)
	switch {
	case p.TieNull:
		dst = append(dst, tieNull)
	case p.Tie < 0:
		dst = appendOrderedInt(append(dst, tieNegative), p.Tie)
	case p.Tie == 0:
		dst = append(dst, tieZero)
	default:
		dst = appendOrderedInt(append(dst, tiePositive), p.Tie)
	}
	dst = appendOrderedCount(dst, p.Seq)
	dst = appendOrderedCount(dst, uint64(p.Idx))
	return append(dst, p.Columns...)
}

// AppendInstant appends what every position with that event time begins with.
func AppendInstant(dst []byte, t feature.Time) []byte { return appendOrderedInt(dst, int64(t)) }

// appendOrderedCount appends how many bytes n takes, and these, highest first.
func appendOrderedCount(dst []byte, n uint64) []byte {
	size := (bits.Len64(n) + 7) / 8
	dst = append(dst, byte(size))
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return append(dst, b[8-size:]...)
}

// ParsePosition reads what AppendPosition wrote, which must be all of b, and shares no memory with it.
func ParsePosition(b []byte) (asof.Position, error) {
	r := reader{format: "position", b: b}
	p := asof.Position{EventTime: feature.Time(r.orderedInt("event time"))}
	switch sign := r.byte("sign of the tiebreak"); sign {
	case tieNull:
		p.TieNull = true
	case tieZero:
	case tieNegative, tiePositive:
		if p.Tie = r.orderedInt("tiebreak"); p.Tie == 0 || p.Tie < 0 != (sign == tieNegative) {
			r.fail("tiebreak: the sign is wrong")
		}
	default:
		r.fail("sign of the tiebreak: %d", sign)
	}
	p.Seq = r.orderedCount("sequence", 8)
	p.Idx = uint32(r.orderedCount("index", 4))
	p.Columns = string(r.take(r.left(), "columns"))
	return p, r.err
}

func (r *reader) orderedInt(what string) int64 {
	if p := r.take(8, what); p != nil {
		return int64(binary.BigEndian.Uint64(p) ^ 1<<63)
	}
	return 0
}

func (r *reader) orderedCount(what string, most int) uint64 {
	size := int(r.byte(what))
	if size > most {
		r.fail("%s: %d bytes, expected at most %d", what, size, most)
	}
	n := uint64(0)
	for i, c := range r.take(size, what) {
		if i == 0 && c == 0 {
			r.fail("%s: a number not in its shortest form", what)
		}
		n = n<<8 | uint64(c)
	}
	return n
}

// AppendRowPlace appends to the columns of an imported event which row it is of which generation: rows of equal values
// are different events to a window (rule E1), and have different positions by it. It stands above the end of the columns
// and below any further column.
func AppendRowPlace(columns []byte, generation, row uint64) []byte {
	return appendOrderedCount(appendOrderedCount(append(columns, 0), generation), row)
}

// AppendRow appends what a window's event holds besides its position: whether it is a deletion, and its values.
func AppendRow(dst []byte, deleted bool, values []feature.Value) []byte {
	flags := byte(0)
	if deleted {
		flags = eventDeleted
	}
	dst = append(dst, flags)
	for _, v := range values {
		dst = appendValue(dst, v)
	}
	return dst
}

// ParseRow reads what AppendRow wrote, which must be all of b and as many values as into holds. Strings share no
// memory with b.
func ParseRow(b []byte, into []feature.Value) (deleted bool, err error) {
	r := reader{format: "event", b: b}
	flags := r.byte("flags")
	if flags&^eventDeleted != 0 {
		r.fail("unknown flags %#x", flags)
	}
	for i := range into {
		into[i] = r.value("")
	}
	r.end()
	return flags != 0, r.err
}

// KeyLength returns how many bytes of b, from its beginning, are a key of n parts (AppendKey).
func KeyLength(b []byte, n int) (int, error) {
	r := reader{format: "key", b: b}
	for range n {
		if kind := feature.Kind(r.byte("kind of a part")); kind == feature.KindString {
			r.take(r.count("length of a string"), "string")
		} else {
			r.scalar(kind, "")
		}
	}
	return r.off, r.err
}
