package chdb

import (
	"encoding/binary"
	"errors"
)

// streamable says whether a result in the format can be sent as it is made. Every piece the engine hands out is a
// complete document, so these are the formats of which several in a row are one, and ArrowStream, which is put together.
func streamable(format string) bool {
	switch format {
	case "Native", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary", "Null", "ArrowStream",
		"JSONEachRow", "JSONLines", "NDJSON", "JSONCompactEachRow", "JSONStringsEachRow", "LineAsString":
		return true
	}
	return false
}

// joiner makes one document out of the pieces of a result.
type joiner interface {
	// piece returns what the next piece adds; it lies in the piece's memory.
	piece(data []byte) ([]byte, error)
	// end returns what comes after the last piece.
	end() []byte
}

func newJoiner(format string) joiner {
	if format == "ArrowStream" {
		return &arrowJoiner{}
	}
	return concatenation{}
}

// concatenation joins pieces of formats that have neither head nor foot.
type concatenation struct{}

func (concatenation) piece(data []byte) ([]byte, error) { return data, nil }
func (concatenation) end() []byte                       { return nil }

// arrowJoiner joins Arrow IPC streams of one schema: the schema of the first, the batches of all, one end.
type arrowJoiner struct{ begun bool }

// arrowSchema is the kind of an Arrow message that holds a schema.
const arrowSchema = 1

// arrowEnd ends an Arrow IPC stream.
const arrowEnd = "\xff\xff\xff\xff\x00\x00\x00\x00"

func (j *arrowJoiner) piece(data []byte) ([]byte, error) {
	begin, end := 0, 0
	for end < len(data) && string(data[end:min(end+8, len(data))]) != arrowEnd {
		kind, size, err := arrowMessage(data[end:])
		if err != nil {
			return nil, err
		}
		end += size
		if kind == arrowSchema && j.begun {
			begin = end
		}
	}
	j.begun = true
	return data[begin:end], nil
}

func (j *arrowJoiner) end() []byte {
	if !j.begun {
		return nil
	}
	return []byte(arrowEnd)
}

var errArrow = errors.New("the engine's Arrow stream is not understood")

// arrowMessage reads the kind and the size of the encapsulated message at the start of data: a marker, the length of the
// metadata, the metadata (a flatbuffer), and a body whose length the metadata says.
func arrowMessage(data []byte) (kind byte, size int, err error) {
	if len(data) < 8 || string(data[:4]) != arrowEnd[:4] {
		return 0, 0, errArrow
	}
	length := int64(binary.LittleEndian.Uint32(data[4:]))
	if length < 8 || length > int64(len(data)-8) {
		return 0, 0, errArrow
	}
	metadata := data[8 : 8+length]
	table := int64(binary.LittleEndian.Uint32(metadata))
	if table > length-4 {
		return 0, 0, errArrow
	}
	offsets := table - int64(int32(binary.LittleEndian.Uint32(metadata[table:])))
	// field returns n bytes of the table's i-th field, or zeros, its default, when it is absent.
	field := func(i, n int64) []byte {
		absent := make([]byte, n)
		at := offsets + 4 + 2*i
		if offsets < 0 || at+2 > length || 4+2*i+2 > int64(binary.LittleEndian.Uint16(metadata[offsets:])) {
			return absent
		}
		place := int64(binary.LittleEndian.Uint16(metadata[at:]))
		if place == 0 || table+place+n > length {
			return absent
		}
		return metadata[table+place : table+place+n]
	}
	body := int64(binary.LittleEndian.Uint64(field(3, 8)))
	if body < 0 || body > int64(len(data))-8-length {
		return 0, 0, errArrow
	}
	return field(1, 1)[0], int(8 + length + body), nil
}
