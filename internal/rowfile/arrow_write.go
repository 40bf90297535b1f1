package rowfile

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/lockstepfs/lockstep/feature"
)

// arrowSink writes Arrow IPC, not compressed, a record batch for each batch. Every column is nullable and
// timestamps are microseconds in UTC.
type arrowSink struct {
	out interface {
		Write(arrow.RecordBatch) error
		Close() error
	}
	record *array.RecordBuilder
}

func newArrowSink(w io.Writer, f Format, fields []feature.Field, meta map[string]string) (*arrowSink, error) {
	var keys, values []string
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		keys, values = append(keys, key), append(values, meta[key])
	}
	columns := make([]arrow.Field, len(fields))
	for i, f := range fields {
		typ := arrowScalar(f.Type.Kind)
		if f.Type.List {
			typ = arrow.ListOfNonNullable(typ)
		}
		columns[i] = arrow.Field{Name: f.Name, Type: typ, Nullable: true}
	}
	metadata := arrow.NewMetadata(keys, values)
	schema := arrow.NewSchema(columns, &metadata)
	s := &arrowSink{record: array.NewRecordBuilder(memory.DefaultAllocator, schema)}
	if f == Feather {
		file, err := ipc.NewFileWriter(w, ipc.WithSchema(schema))
		if err != nil {
			return nil, fmt.Errorf("begin an Arrow file: %w", err)
		}
		s.out = file
		return s, nil
	}
	s.out = ipc.NewWriter(w, ipc.WithSchema(schema))
	return s, nil
}

func arrowScalar(k feature.Kind) arrow.DataType {
	switch k {
	case feature.KindFloat64:
		return arrow.PrimitiveTypes.Float64
	case feature.KindBool:
		return arrow.FixedWidthTypes.Boolean
	case feature.KindString:
		return arrow.BinaryTypes.String
	case feature.KindTimestamp:
		return arrow.FixedWidthTypes.Timestamp_us // UTC
	default:
		return arrow.PrimitiveTypes.Int64
	}
}

func (s *arrowSink) write(b *feature.Batch) error {
	for i := range b.Columns {
		buildArrow(s.record.Field(i), &b.Columns[i])
	}
	batch := s.record.NewRecordBatch()
	defer batch.Release()
	return s.out.Write(batch)
}

func (s *arrowSink) close() error {
	s.record.Release()
	return s.out.Close()
}

// buildArrow adds all places of c to the builder.
func buildArrow(to array.Builder, c *feature.Column) {
	to.Reserve(c.Len())
	var valid []bool // nil: all
	if c.Nulls != nil {
		valid = make([]bool, len(c.Nulls))
		for i, null := range c.Nulls {
			valid[i] = !null
		}
	}
	switch to := to.(type) {
	case *array.Int64Builder:
		to.AppendValues(c.Ints, valid)
	case *array.Float64Builder:
		to.AppendValues(c.Floats, valid)
	case *array.StringBuilder:
		to.AppendValues(c.Strs, valid)
	case *array.ListBuilder:
		for i := range c.Lists {
			to.Append(!c.IsNull(i))
			for _, v := range c.Lists[i] {
				appendElement(to.ValueBuilder(), v)
			}
		}
	default:
		for i := range c.Len() {
			if c.IsNull(i) {
				to.AppendNull()
			} else {
				appendElement(to, c.Value(i))
			}
		}
	}
}

func appendElement(to array.Builder, v feature.Value) {
	switch to := to.(type) {
	case *array.Int64Builder:
		to.Append(v.Int64())
	case *array.Float64Builder:
		to.Append(v.Float64())
	case *array.StringBuilder:
		to.Append(v.Str())
	case *array.BooleanBuilder:
		to.Append(v.Bool())
	case *array.TimestampBuilder:
		to.Append(arrow.Timestamp(v.Time()))
	}
}
