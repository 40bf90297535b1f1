package chdb

import (
	"encoding/binary"
	"errors"
)

// helloQuery is what the driver asks first on every connection.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// hello answers it. The driver reads this one answer in the encoding of its own protocol revision, and the revision it
// finds in there decides about all further ones: 0 is the plain encoding, in which the engine reads and writes FORMAT
// Native.
func hello(version, timezone string) []byte {
	var b []byte
	b = append(b, 1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0) // block info: not overflows, bucket -1
	b = append(b, 4, 1)                               // columns, rows
	column := func(name, kind string) {
		b = appendString(appendString(b, name), kind)
		b = append(b, 0) // no custom serialization
	}
	column("displayName()", "String")
	b = appendString(b, "lockstep engine")
	column("version()", "String")
	b = appendString(b, version)
	column("revision()", "UInt32")
	b = append(b, 0, 0, 0, 0)
	column("timezone()", "String")
	return appendString(b, timezone)
}

// column is the name and the type of a result column.
type column struct{ name, kind string }

// emptyBlock is a Native block without rows, which is how a reader learns the columns of an empty result.
func emptyBlock(columns []column) []byte {
	b := binary.AppendUvarint(nil, uint64(len(columns)))
	b = append(b, 0)
	for _, c := range columns {
		b = appendString(appendString(b, c.name), c.kind)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// errShort says that data ended inside a value.
var errShort = errors.New("the engine's answer is cut off")

func takeString(data []byte) (s string, rest []byte, err error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return "", nil, errShort
	}
	return string(data[size : size+int(n)]), data[size+int(n):], nil
}

// readHeader reads the columns from data in RowBinaryWithNamesAndTypes.
func readHeader(data []byte) ([]column, error) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)) {
		return nil, errShort
	}
	data = data[size:]
	columns := make([]column, n)
	var err error
	for i := range columns {
		if columns[i].name, data, err = takeString(data); err != nil {
			return nil, err
		}
	}
	for i := range columns {
		if columns[i].kind, data, err = takeString(data); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

// readDescription reads the columns from the RowBinary rows of a DESCRIBE: seven strings each, of which the first two
// are the name and the type.
func readDescription(data []byte) ([]column, error) {
	var columns []column
	for len(data) > 0 {
		var fields [7]string
		var err error
		for i := range fields {
			if fields[i], data, err = takeString(data); err != nil {
				return nil, err
			}
		}
		columns = append(columns, column{fields[0], fields[1]})
	}
	return columns, nil
}
