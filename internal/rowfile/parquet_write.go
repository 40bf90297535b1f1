package rowfile

import (
	"io"
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/lockstepfs/lockstep/feature"
)

// parquetSink writes row groups of groupRows rows, column by column. Every column is optional; timestamps are
// microseconds in UTC, lists the three-level lists of the standard, text is dictionary-encoded while that pays.
type parquetSink struct {
	out     *parquet.GenericWriter[any]
	columns []*parquet.ColumnWriter
	rows    int // in the row group being written
	values  []parquet.Value
	text    []byte
}

const groupRows = 128 << 10

func newParquetSink(w io.Writer, fields []feature.Field, meta map[string]string) (*parquetSink, error) {
	root := make(columns, len(fields))
	for i, f := range fields {
		node := parquetLeaf(f.Type.Kind)
		if f.Type.List {
			node = parquet.List(node)
		}
		root[i] = &column{parquet.Optional(node), f.Name}
	}
	options := []parquet.WriterOption{
		parquet.NewSchema("lockstep", root),
		parquet.Compression(&parquet.Zstd),
		parquet.DictionaryMaxBytes(1 << 20),
	}
	for key, value := range meta {
		options = append(options, parquet.KeyValueMetadata(key, value))
	}
	config, err := parquet.NewWriterConfig(options...)
	if err != nil {
		return nil, err
	}
	s := &parquetSink{out: parquet.NewGenericWriter[any](w, config)}
	s.columns = s.out.ColumnWriters()
	return s, nil
}

func parquetLeaf(k feature.Kind) parquet.Node {
	switch k {
	case feature.KindFloat64:
		return parquet.Leaf(parquet.DoubleType)
	case feature.KindBool:
		return parquet.Leaf(parquet.BooleanType)
	case feature.KindString:
		return parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	case feature.KindTimestamp:
		return parquet.TimestampAdjusted(parquet.Microsecond, true)
	default:
		return parquet.Leaf(parquet.Int64Type)
	}
}

func (s *parquetSink) write(b *feature.Batch) error {
	for from := 0; from < b.Rows; {
		to := min(b.Rows, from+ChunkRows, from+groupRows-s.rows)
		for i := range b.Columns {
			part := b.Columns[i].Slice(from, to)
			s.pack(i, &part)
			if _, err := s.columns[i].WriteRowValues(s.values); err != nil {
				return err
			}
		}
		s.rows += to - from
		from = to
		if s.rows == groupRows {
			if err := s.out.Flush(); err != nil {
				return err
			}
			s.rows = 0
		}
	}
	return nil
}

func (s *parquetSink) close() error { return s.out.Close() }

// pack puts the places of c, column i, into s.values.
func (s *parquetSink) pack(i int, c *feature.Column) {
	s.values, s.text = s.values[:0], s.text[:0]
	null := parquet.NullValue().Level(0, 0, i)
	for row := range c.Len() {
		switch {
		case c.IsNull(row):
			s.values = append(s.values, null)
		case c.Type.List:
			s.packList(i, c.Type.Kind, c.Lists[row])
		case c.Type.Kind == feature.KindString:
			s.values = append(s.values, s.textValue(c.Strs[row]).Level(0, 1, i))
		case c.Type.Kind == feature.KindFloat64:
			s.values = append(s.values, parquet.DoubleValue(c.Floats[row]).Level(0, 1, i))
		case c.Type.Kind == feature.KindBool:
			s.values = append(s.values, parquet.BooleanValue(c.Ints[row] != 0).Level(0, 1, i))
		default:
			s.values = append(s.values, parquet.Int64Value(c.Ints[row]).Level(0, 1, i))
		}
	}
}

// textValue copies text into s.text, where it stays until the next column.
func (s *parquetSink) textValue(text string) parquet.Value {
	from := len(s.text)
	s.text = append(s.text, text...)
	return parquet.ByteArrayValue(s.text[from:len(s.text):len(s.text)])
}

func (s *parquetSink) packList(i int, k feature.Kind, list []feature.Value) {
	if len(list) == 0 {
		s.values = append(s.values, parquet.NullValue().Level(0, 1, i))
	}
	for at, v := range list {
		var p parquet.Value
		switch k {
		case feature.KindFloat64:
			p = parquet.DoubleValue(v.Float64())
		case feature.KindBool:
			p = parquet.BooleanValue(v.Bool())
		case feature.KindString:
			p = s.textValue(v.Str())
		default:
			p = parquet.Int64Value(v.Int64())
		}
		s.values = append(s.values, p.Level(min(at, 1), 2, i))
	}
}

// columns is the root of a schema that keeps its columns in the given order; parquet.Group sorts them by name.
type columns []parquet.Field

// column is a top-level column.
type column struct {
	parquet.Node
	name string
}

// Name returns the name of the column.
func (c *column) Name() string { return c.name }

// Value is needed only to write Go values by reflection, which nobody does here.
func (c *column) Value(reflect.Value) reflect.Value { panic("rowfile: columns are written by column") }

// A group without fields answers what does not depend on the fields.
func (columns) group() parquet.Group { return parquet.Group{} }

// ID returns 0: no field id.
func (c columns) ID() int { return 0 }

// String names the node.
func (c columns) String() string { return "group" }

// Type returns the type of groups.
func (c columns) Type() parquet.Type { return c.group().Type() }

// Optional returns false.
func (c columns) Optional() bool { return false }

// Repeated returns false.
func (c columns) Repeated() bool { return false }

// Required returns true.
func (c columns) Required() bool { return true }

// Leaf returns false.
func (c columns) Leaf() bool { return false }

// Fields returns the columns in their order.
func (c columns) Fields() []parquet.Field { return slices.Clone(c) }

// Encoding returns nil: groups have none.
func (c columns) Encoding() encoding.Encoding { return nil }

// Compression returns nil: groups have none.
func (c columns) Compression() compress.Codec { return nil }

// GoType returns a type that stands for any row.
func (c columns) GoType() reflect.Type { return reflect.TypeFor[map[string]any]() }
