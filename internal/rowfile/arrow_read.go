package rowfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/lockstepfs/lockstep/feature"
)

// maxRecordBatch is the size of the largest record batch that is read; it is in memory as a whole. Some tools
// write a table as a single one.
const maxRecordBatch = 2 << 30

// limitedAllocator panics, which the reader makes an error of, where a broken file says that it needs more
// memory than a record batch may have. The runtime would end the process.
type limitedAllocator struct{ memory.Allocator }

func (a limitedAllocator) Allocate(size int) []byte {
	a.check(size)
	return a.Allocator.Allocate(size)
}

func (a limitedAllocator) Reallocate(size int, b []byte) []byte {
	a.check(size)
	return a.Allocator.Reallocate(size, b)
}

func (limitedAllocator) check(size int) {
	if size < 0 || size > 2*maxRecordBatch {
		panic(fmt.Sprintf("a part of %d bytes; at most %d are read", size, maxRecordBatch))
	}
}

// arrowTable reads Arrow IPC. The file format holds the stream format between its magic and its footer, so both
// are read as streams; what is in memory is one record batch.
type arrowTable struct {
	in     *tailReader
	isFile bool
	reader *ipc.Reader
	out    []feature.Field
	native []feature.Type
	batch  arrow.RecordBatch // being read; nil before the first and after the last
	at     int               // rows of it read
	row    int64             // rows read in all
}

// tailReader remembers the last bytes that were read.
type tailReader struct {
	io.Reader
	tail []byte
}

func (t *tailReader) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	t.tail = append(t.tail, p[max(0, n-8):n]...)
	t.tail = append(t.tail[:0], t.tail[max(0, len(t.tail)-8):]...)
	return n, err
}

var (
	arrowMagic = []byte("ARROW1")
	arrowEnd   = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
)

// openArrow reads the schema, once checkedSchema has looked at its lengths: arrow-go believes them.
func openArrow(in io.Reader, types map[string]feature.Type) (*arrowTable, error) {
	t := &arrowTable{in: &tailReader{Reader: in}}
	head := make([]byte, 8)
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if t.isFile = bytes.HasPrefix(head[:n], arrowMagic); !t.isFile {
		t.in.Reader = io.MultiReader(bytes.NewReader(head[:n]), in)
	}
	schema, err := checkedSchema(t.in)
	if err != nil {
		return nil, refuse("", "not an Arrow IPC file or stream: its schema cannot be read")
	}
	stream := io.MultiReader(bytes.NewReader(schema), t.in)
	// NewReader would not pass the limit on to its reader of messages.
	options := []ipc.Option{ipc.WithBodySizeLimit(maxRecordBatch), ipc.WithAllocator(limitedAllocator{memory.DefaultAllocator})}
	if t.reader, err = ipc.NewReaderFromMessageReader(ipc.NewMessageReader(stream, options...), options...); err != nil {
		return nil, refuse("", "not an Arrow IPC file or stream: its schema cannot be read")
	}
	for _, f := range t.reader.Schema().Fields() {
		typ, ok := arrowType(f.Type)
		if !ok {
			return nil, refuse(f.Name, "type %s is not supported: expected integers, floats, booleans, text, dates, timestamps or lists of them", f.Type)
		}
		if feature.FieldIndex(t.out, f.Name) >= 0 {
			return nil, refuse(f.Name, "there are two columns of this name")
		}
		want, ok := types[f.Name]
		if !ok {
			want = typ
		}
		t.native = append(t.native, typ)
		t.out = append(t.out, feature.Field{Name: f.Name, Type: want})
	}
	return t, nil
}

func (t *arrowTable) fields() []feature.Field { return t.out }

func (t *arrowTable) close() error {
	t.reader.Release()
	return nil
}

func (t *arrowTable) next() (*feature.Batch, error) {
	for t.batch == nil || t.at == int(t.batch.NumRows()) {
		batch, err := t.reader.Read()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, t.end()
		}
		if err != nil {
			return nil, refuse("", "the data behind row %d is broken: %s", t.row, said(err))
		}
		t.batch, t.at = batch, 0
	}
	end := min(t.at+ChunkRows, int(t.batch.NumRows()))
	b := &feature.Batch{Fields: t.out, Columns: make([]feature.Column, len(t.out)), Rows: end - t.at}
	for i, f := range t.out {
		native := feature.Column{Type: t.native[i]}
		for row := t.at; row < end; row++ {
			if err := appendArrow(&native, t.batch.Column(i), row); err != nil {
				return nil, refuseRow(t.row+int64(row-t.at), f.Name, err)
			}
		}
		settled, at, err := settle(&native, f.Type)
		if err != nil {
			return nil, refuseRow(t.row+int64(at), f.Name, err)
		}
		b.Columns[i] = settled
	}
	t.row += int64(b.Rows)
	t.at = end
	return b, nil
}

// end makes sure that the data was not cut off and returns io.EOF.
func (t *arrowTable) end() error {
	mark := arrowEnd
	if t.isFile {
		mark = arrowMagic
		if _, err := io.Copy(io.Discard, t.in); err != nil {
			return err
		}
	}
	if !bytes.HasSuffix(t.in.tail, mark) {
		return refuse("", "the data ends behind row %d without its end mark: it was cut off", t.row)
	}
	return io.EOF
}

// arrowType returns the type that values of t are kept as.
func arrowType(t arrow.DataType) (feature.Type, bool) {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return arrowType(t.ValueType)
	case arrow.ListLikeType:
		if _, isMap := t.(*arrow.MapType); isMap {
			return feature.Type{}, false
		}
		elem, ok := arrowType(t.Elem())
		return feature.ListOf(elem.Kind), ok && !elem.List
	}
	switch t.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return feature.Int64, true
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
		return feature.Float64, true
	case arrow.BOOL:
		return feature.Bool, true
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW, arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW, arrow.NULL:
		return feature.String, true
	case arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64:
		return feature.Timestamp, true
	default:
		return feature.Type{}, false
	}
}

// arrowTime returns the microseconds of a timestamp in unit.
func arrowTime(x int64, unit arrow.TimeUnit) int64 {
	switch unit {
	case arrow.Second:
		return scale(x, 1e6)
	case arrow.Millisecond:
		return scale(x, 1e3)
	case arrow.Nanosecond:
		return floorDiv(x, 1e3)
	default:
		return x
	}
}

func fitInt64(x uint64) (int64, error) {
	if x > 1<<63-1 {
		return 0, fmt.Errorf("the number %d does not fit an int64", x)
	}
	return int64(x), nil
}
