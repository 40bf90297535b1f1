package wire

import (
	"encoding/binary"
	"fmt"
)

// reader reads b from the front. The first failure stays in err and every later read returns zero.
type reader struct {
	format string
	b      []byte
	off    int
	err    error
}

func (r *reader) left() int { return len(r.b) - r.off }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Format: r.format, Offset: r.off, Reason: fmt.Sprintf(format, args...)}
	}
}

// take returns the next n bytes, which alias the input; what names them in the error.
func (r *reader) take(n int, what string) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.left() {
		r.fail("%s: expected %d bytes, %d are left", what, n, r.left())
		return nil
	}
	p := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return p
}

func (r *reader) byte(what string) byte {
	if r.err != nil || r.left() < 1 {
		r.fail("%s: the bytes end", what)
		return 0
	}
	c := r.b[r.off]
	r.off++
	return c
}

// uvarint reads an unsigned varint in its shortest form, so that a value has one encoding.
func (r *reader) uvarint(what string) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.off:])
	switch {
	case n == 0:
		r.fail("%s: the bytes end within a number", what)
		return 0
	case n < 0:
		r.fail("%s: a number of more than 64 bits", what)
		return 0
	case n > 1 && r.b[r.off+n-1] == 0:
		r.fail("%s: a number not in its shortest form", what)
		return 0
	}
	r.off += n
	return v
}

// varint reads a zigzag varint.
func (r *reader) varint(what string) int64 {
	u := r.uvarint(what)
	return int64(u>>1) ^ -int64(u&1)
}

// count reads a number of things that take at least one byte each from here on.
func (r *reader) count(what string) int {
	n := r.uvarint(what)
	if r.err == nil && n > uint64(r.left()) {
		r.fail("%s: %d, but only %d bytes are left", what, n, r.left())
		return 0
	}
	return int(n)
}

// text reads a length and that many bytes, copied.
func (r *reader) text(what string) string { return string(r.take(r.count(what), what)) }

// end fails unless everything was read.
func (r *reader) end() {
	if r.err == nil && r.left() > 0 {
		r.fail("%d bytes too many", r.left())
	}
}
