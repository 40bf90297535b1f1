package chdb

import (
	"runtime"
	"unsafe"
)

// statement is one SQL text with what it needs: the format of its data and the values of its {name:Type} parameters,
// which are in the engine's escaped text form.
type statement struct {
	sql    string
	format string
	params []param
}

// param is a name and a value: of a query parameter, or of a setting.
type param struct{ name, value string }

// call is the shape that plain queries, streams and inserts share on the C side.
type call func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
	names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr

// do calls f with the statement, which is pinned until f returns; the engine copies what it keeps.
func (s statement) do(f call, conn uintptr) uintptr {
	var pin runtime.Pinner
	defer pin.Unpin()
	text := func(s string) unsafe.Pointer {
		if s == "" {
			s = "\x00"
		}
		p := unsafe.StringData(s)
		pin.Pin(p)
		return unsafe.Pointer(p)
	}
	n := len(s.params)
	pointers, lengths := make([]unsafe.Pointer, 2*n+1), make([]uintptr, 2*n+1)
	for i, p := range s.params {
		pointers[i], lengths[i] = text(p.name), uintptr(len(p.name))
		pointers[n+i], lengths[n+i] = text(p.value), uintptr(len(p.value))
	}
	pin.Pin(&pointers[0])
	pin.Pin(&lengths[0])
	return f(conn, text(s.sql), uintptr(len(s.sql)), text(s.format), uintptr(len(s.format)),
		unsafe.Pointer(&pointers[0]), unsafe.Pointer(&lengths[0]),
		unsafe.Pointer(&pointers[n]), unsafe.Pointer(&lengths[n]), uintptr(n))
}

// classify asks the engine's parser about the statement; out is a versioned struct of four uint32: its size, the number
// of statements, flags, and the class.
func (s statement) classify(c *conn, out *[4]uint32) int32 {
	var pin runtime.Pinner
	defer pin.Unpin()
	sql := unsafe.StringData(s.sql + " ")
	pin.Pin(sql)
	pin.Pin(out)
	return c.lib.classify(c.raw(), unsafe.Pointer(sql), uintptr(len(s.sql)), nil, 0, unsafe.Pointer(out))
}
