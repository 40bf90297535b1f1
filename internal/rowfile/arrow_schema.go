package rowfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Limits of a schema. arrow-go makes room for as many fields as a message says there are, before it looks for them.
const (
	maxSchemaBytes  = 16 << 20
	maxSchemaFields = 100_000 // nested ones included
	maxSchemaDepth  = 64
)

// errSchema says that a schema is not what it says it is.
var errSchema = errors.New("the schema is damaged")

// Slots of the tables of https://github.com/apache/arrow/tree/main/format, Message.fbs and Schema.fbs.
const (
	slotMessageType   = 6
	slotMessageHeader = 8
	slotSchemaFields  = 6
	slotSchemaMeta    = 8
	slotFieldChildren = 14
	slotFieldMeta     = 16

	headerSchema = 1
)

// checkedSchema reads the first message of a stream as far as its metadata goes, makes sure that the lengths in it can be
// true, and returns the bytes that were read.
func checkedSchema(in io.Reader) ([]byte, error) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(in, head[:4]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(head)
	prefix := head[:4] // streams before 0.15 had no continuation mark
	if size == 0xffffffff {
		if _, err := io.ReadFull(in, head[4:]); err != nil {
			return nil, err
		}
		size, prefix = binary.LittleEndian.Uint32(head[4:]), head
	}
	if size > maxSchemaBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are read", errSchema, size, maxSchemaBytes)
	}
	all := make([]byte, len(prefix)+int(size))
	copy(all, prefix)
	if _, err := io.ReadFull(in, all[len(prefix):]); err != nil {
		return nil, err
	}
	return all, checkSchema(all[len(prefix):])
}

func checkSchema(meta []byte) (err error) {
	defer func() {
		if recover() != nil { // an offset that leads out of the message
			err = errSchema
		}
	}()
	message := flatbuffers.Table{Bytes: meta, Pos: flatbuffers.GetUOffsetT(meta)}
	if message.GetByteSlot(slotMessageType, 0) != headerSchema {
		return errSchema
	}
	at := message.Offset(slotMessageHeader)
	if at == 0 {
		return errSchema
	}
	var schema flatbuffers.Table
	message.Union(&schema, flatbuffers.UOffsetT(at))
	c := &schemaCheck{meta: meta}
	return c.table(&schema, slotSchemaFields, slotSchemaMeta, 0)
}

// schemaCheck walks through the fields of a schema.
type schemaCheck struct {
	meta   []byte
	fields int
}

// table checks the fields in one slot of t, and those in them.
func (c *schemaCheck) table(t *flatbuffers.Table, fields, meta flatbuffers.VOffsetT, depth int) error {
	if depth > maxSchemaDepth {
		return fmt.Errorf("%w: fields in fields, %d deep", errSchema, depth)
	}
	if _, err := c.length(t, meta); err != nil {
		return err
	}
	n, err := c.length(t, fields)
	if err != nil {
		return err
	}
	if c.fields += n; c.fields > maxSchemaFields {
		return fmt.Errorf("%w: more than %d fields", errSchema, maxSchemaFields)
	}
	for i := range n {
		at := t.Vector(flatbuffers.UOffsetT(t.Offset(fields))) + flatbuffers.UOffsetT(i*flatbuffers.SizeUOffsetT)
		field := &flatbuffers.Table{Bytes: c.meta, Pos: t.Indirect(at)}
		if err := c.table(field, slotFieldChildren, slotFieldMeta, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// length returns how many tables a vector has; they must fit behind it.
func (c *schemaCheck) length(t *flatbuffers.Table, slot flatbuffers.VOffsetT) (int, error) {
	at := flatbuffers.UOffsetT(t.Offset(slot))
	if at == 0 {
		return 0, nil
	}
	n := t.VectorLen(at)
	if n < 0 || n > (len(c.meta)-int(t.Vector(at)))/flatbuffers.SizeUOffsetT {
		return 0, fmt.Errorf("%w: a list of %d in a message of %d bytes", errSchema, n, len(c.meta))
	}
	return n, nil
}
