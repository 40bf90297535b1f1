package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// groupMagic begins every row group; its last byte is the version.
const groupMagic = "LSG\x01"

const groupSum = 8 // bytes of the checksum that ends a group

// Flags of a column in a row group.
const (
	columnList = 1 << iota
	columnNulls
	columnFlags = 1<<iota - 1
)

// AppendGroup appends b as a row group: columns with their names and types, packed one after the other, and a
// checksum over all. The format is docs/format/rowgroup.md. It panics if the columns of b are not all b.Rows
// long or not of the types of their fields.
func AppendGroup(dst []byte, b *feature.Batch) []byte {
	from := len(dst)
	dst = append(dst, groupMagic...)
	dst = appendText(dst, b.Source)
	dst = binary.AppendUvarint(dst, uint64(b.Rows))
	dst = binary.AppendUvarint(dst, uint64(len(b.Columns)))
	if len(b.Fields) != len(b.Columns) || len(b.Columns) == 0 && b.Rows > 0 {
		panic(fmt.Sprintf("wire: %d rows with %d fields and %d columns", b.Rows, len(b.Fields), len(b.Columns)))
	}
	for i := range b.Columns {
		f, c := &b.Fields[i], &b.Columns[i]
		if c.Type != f.Type || c.Len() != b.Rows || c.Nulls != nil && len(c.Nulls) != b.Rows {
			panic(fmt.Sprintf("wire: column %s is %s and %d long, expected %s and %d", f.Name, c.Type, c.Len(), f.Type, b.Rows))
		}
		dst = appendColumn(appendText(dst, f.Name), c)
	}
	return binary.LittleEndian.AppendUint64(dst, xxhash.Sum64(dst[from:]))
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendColumn(dst []byte, c *feature.Column) []byte {
	var flags byte
	if c.Type.List {
		flags |= columnList
	}
	nulls := c.Nulls
	if nulls != nil {
		flags |= columnNulls
	}
	dst = append(dst, byte(c.Type.Kind), flags)
	dst = binary.AppendUvarint(dst, uint64(c.Type.Len))
	if nulls != nil {
		dst = appendNulls(dst, nulls)
	}
	switch {
	case c.Type.List:
		return appendLists(dst, c)
	case c.Type.Kind == feature.KindFloat64:
		return appendFloats(dst, c.Floats)
	case c.Type.Kind == feature.KindString:
		return appendStrings(dst, c.Strs)
	default:
		return appendInts(dst, c.Ints, nulls)
	}
}

// appendNulls appends a bit for each place, set where it is NULL, lowest bit first.
func appendNulls(dst []byte, nulls []bool) []byte {
	from := len(dst)
	dst = append(dst, make([]byte, (len(nulls)+7)/8)...)
	for i, null := range nulls {
		if null {
			dst[from+i/8] |= 1 << (i % 8)
		}
	}
	return dst
}

func appendLists(dst []byte, c *feature.Column) []byte {
	lengths := make([]int64, len(c.Lists))
	total := 0
	for i, l := range c.Lists {
		lengths[i] = int64(len(l))
		total += len(l)
	}
	dst = appendInts(dst, lengths, nil)
	switch c.Type.Kind {
	case feature.KindFloat64:
		return appendFloats(dst, flatten(c.Lists, total, feature.Value.Float64))
	case feature.KindString:
		return appendStrings(dst, flatten(c.Lists, total, feature.Value.Str))
	default:
		return appendInts(dst, flatten(c.Lists, total, whole), nil)
	}
}

func flatten[T any](lists [][]feature.Value, total int, of func(feature.Value) T) []T {
	flat := make([]T, 0, total)
	for _, l := range lists {
		for _, v := range l {
			flat = append(flat, of(v))
		}
	}
	return flat
}

// whole returns an int64, a timestamp or a bool as Column.Ints holds it.
func whole(v feature.Value) int64 {
	switch v.Type().Kind {
	case feature.KindTimestamp:
		return int64(v.Time())
	case feature.KindBool:
		if v.Bool() {
			return 1
		}
		return 0
	default:
		return v.Int64()
	}
}

// ParseGroup reads a row group, which must be all of b, and checks its checksum first. The batch shares no
// memory with b. The strings of one column share one piece of memory: clone one to keep it alone.
func ParseGroup(b []byte) (*feature.Batch, error) {
	r := reader{format: "row group", b: b}
	if len(b) < len(groupMagic)+groupSum || string(b[:3]) != groupMagic[:3] {
		r.fail("it does not begin as a row group does")
		return nil, r.err
	}
	body := b[:len(b)-groupSum]
	if got, want := xxhash.Sum64(body), binary.LittleEndian.Uint64(b[len(body):]); got != want {
		r.off = len(body)
		r.fail("checksum is %016x, the bytes say %016x", got, want)
		return nil, r.err
	}
	if b[3] != groupMagic[3] { // every version ends with the checksum
		return nil, &Error{Format: r.format, Offset: 3, Reason: fmt.Sprintf("version %d, this program knows %d", b[3], groupMagic[3]), Newer: true}
	}
	r.b, r.off = body, len(groupMagic)
	return r.group()
}

func (r *reader) group() (*feature.Batch, error) {
	batch := &feature.Batch{Source: r.text("source")}
	batch.Rows = r.count("number of rows") // a row takes at least one byte of each column
	columns := r.count("number of columns")
	if columns == 0 && batch.Rows > 0 {
		r.fail("%d rows without columns", batch.Rows)
	}
	if r.err != nil {
		return nil, r.err
	}
	batch.Fields = make([]feature.Field, columns)
	batch.Columns = make([]feature.Column, columns)
	for i := range batch.Columns {
		f, c := &batch.Fields[i], &batch.Columns[i]
		f.Name = r.text("name of a column")
		r.column(c, batch.Rows)
		if r.err != nil {
			return nil, r.err
		}
		f.Type = c.Type
	}
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	return batch, nil
}

func (r *reader) column(c *feature.Column, rows int) {
	kind, flags := feature.Kind(r.byte("kind of a column")), r.byte("flags of a column")
	if r.err == nil && (!known(kind) || flags > columnFlags) {
		r.fail("a column of kind %d with flags %#x", kind, flags)
	}
	length := r.uvarint("length of a vector")
	if length > 1<<31-1 {
		r.fail("length of a vector: %d", length)
	}
	if flags&columnNulls != 0 {
		c.Nulls = r.nulls(rows)
	}
	if r.err != nil {
		return
	}
	c.Type = feature.Type{Kind: kind, List: flags&columnList != 0, Len: int(length)}
	switch {
	case c.Type.List:
		c.Lists = r.lists(kind, rows)
	case kind == feature.KindFloat64:
		c.Floats = r.floats(rows)
	case kind == feature.KindString:
		c.Strs = r.strings(rows)
	default:
		c.Ints = r.ints(rows)
	}
	if r.err != nil {
		return
	}
	r.clearNulls(c)
	if kind == feature.KindBool {
		r.checkBools(c.Ints)
	}
}

// clearNulls puts the zero value into NULL places, where the bytes may hold anything.
func (r *reader) clearNulls(c *feature.Column) {
	for i, null := range c.Nulls {
		if !null {
			continue
		}
		switch {
		case c.Lists != nil:
			c.Lists[i] = nil
		case c.Floats != nil:
			c.Floats[i] = 0
		case c.Strs != nil:
			c.Strs[i] = ""
		default:
			c.Ints[i] = 0
		}
	}
}

func (r *reader) checkBools(ints []int64) {
	for _, n := range ints {
		if n&^1 != 0 {
			r.fail("bool: expected 0 or 1, got %d", n)
			return
		}
	}
}
