package chdb

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"unsafe"
)

// stream is a SELECT whose result is fetched piece by piece; the engine waits when nobody fetches.
type stream struct {
	conn   *conn
	handle uintptr
	done   bool
}

// stream starts a SELECT; the caller closes it.
func (c *conn) stream(s statement) (*stream, error) {
	st := &stream{conn: c, handle: s.do(c.lib.streamQuery, c.raw())}
	if err := (result{lib: c.lib, handle: st.handle}).err(); err != nil {
		c.lib.destroyResult(st.handle)
		return nil, err
	}
	return st, nil
}

// next returns the next piece, which the caller destroys, or io.EOF. A piece is a complete document of its format.
func (s *stream) next() (result, error) {
	r := result{lib: s.conn.lib, handle: s.conn.lib.streamFetch(s.conn.raw(), s.handle)}
	if err := r.err(); err != nil {
		r.destroy()
		return result{}, err
	}
	if len(r.bytes()) == 0 {
		s.done = true
		r.destroy()
		return result{}, io.EOF
	}
	return r, nil
}

// close ends the query if it has not ended by itself. Only then does the connection take another statement. Closing
// again does nothing.
func (s *stream) close() {
	if s.handle == 0 {
		return
	}
	if !s.done {
		// The session goes on holding the query, with its memory, although it has ended.
		s.conn.touched = true
		s.conn.lib.streamCancel(s.conn.raw(), s.handle)
	}
	s.conn.lib.destroyResult(s.handle)
	s.handle = 0
}

// insert runs an INSERT whose rows are read from body in the statement's format, and returns the number of rows written.
// When body fails nothing more is written, but what was is not taken back.
func (c *conn) insert(s statement, body io.Reader) (rows uint64, err error) {
	lib := c.lib
	handle := s.do(lib.insert, c.raw())
	defer lib.insertDestroy(handle)
	touched := c.touched
	c.touched = true // unless it ends well
	if text := lib.insertError(handle); text != "" {
		return 0, newException(text)
	}
	if err := c.feed(handle, body); err != nil {
		lib.insertCancel(handle)
		return 0, err
	}
	r := result{lib: lib, handle: lib.insertDone(handle)}
	defer r.destroy()
	if err := r.err(); err != nil {
		return 0, err
	}
	c.touched = touched
	return lib.rowsWritten(r.handle), nil
}

// feed hands body to the insert piece by piece; it waits when the engine is behind.
func (c *conn) feed(handle uintptr, body io.Reader) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	buffer := make([]byte, 1<<20)
	pin.Pin(&buffer[0])
	for {
		n, err := fill(buffer, body)
		if n > 0 && c.lib.insertAppend(handle, unsafe.Pointer(&buffer[0]), uintptr(n)) != 0 {
			if text := c.lib.insertError(handle); text != "" {
				return newException(text)
			}
			return errors.New("the engine refused the data and did not say why")
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the rows: %w", err)
		}
	}
}

// fill reads until buffer is full or body ends. Unlike io.ReadFull it tells the end of a body, io.EOF, from a body that
// was cut off, io.ErrUnexpectedEOF: half an insert must not count as one.
func fill(buffer []byte, body io.Reader) (n int, err error) {
	for n < len(buffer) && err == nil {
		var m int
		m, err = body.Read(buffer[n:])
		n += m
	}
	return n, err
}
