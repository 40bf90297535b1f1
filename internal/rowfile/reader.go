package rowfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync/atomic"

	"github.com/lockstepfs/lockstep/feature"
)

// Reader reads a file chunk by chunk. All methods but Done are for one goroutine.
type Reader struct {
	name  string
	table table
	size  int64
	read  atomic.Int64 // bytes, or rows for Parquet
	file  io.Closer
	err   error
}

// table is a file of one format. Errors about the data are *refusal.
type table interface {
	fields() []feature.Field
	next() (*feature.Batch, error) // io.EOF after the last
	close() error
}

// refusal says what is wrong with a file and where.
type refusal struct{ detail feature.Detail }

func (e *refusal) Error() string { return e.detail.String() }

func refuse(field, format string, args ...any) error {
	return &refusal{feature.Detail{Field: field, Message: fmt.Sprintf(format, args...)}}
}

func refuseRow(row int64, field string, err error) error {
	n := int(row)
	return &refusal{feature.Detail{Row: &n, Field: field, Message: err.Error()}}
}

func refuseLine(line int, field string, err error) error {
	return &refusal{feature.Detail{Line: line, Field: field, Message: err.Error()}}
}

// Open opens a file. types gives the types in which columns are wanted; a column that it does not name has the
// type that the file says (CSV: string; JSON lines: inferred from the first ChunkRows lines, where whole numbers
// widen to float64 beside others and a column without a value is a string). Names in types that the file lacks
// are ignored. Errors about the file are *feature.Error with CodeInvalid and a Detail that names the file, the
// row (from 0) or the line (from 1), and the column; CodeNotFound when there is no such file. The caller must
// Close the Reader.
func Open(path string, f Format, types map[string]feature.Type) (*Reader, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, feature.Errorf(feature.CodeNotFound, "there is no file %s", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open a table: %w", err)
	}
	stat, err := file.Stat()
	if err == nil && stat.IsDir() {
		err = feature.Errorf(feature.CodeInvalid, "%s is a directory: expected a file", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r := &Reader{name: path, size: stat.Size(), file: file}
	if err := r.open(file, f, types); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// NewReader reads a table from a stream, as Open does from a file; name is what errors call it. Parquet cannot
// be streamed. Closing the Reader does not close in.
func NewReader(name string, in io.Reader, f Format, types map[string]feature.Type) (*Reader, error) {
	if f == Parquet {
		return nil, feature.Errorf(feature.CodeInvalid, "%s: Parquet cannot be read from a stream: put it into a file", name)
	}
	r := &Reader{name: name}
	if err := r.open(in, f, types); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reader) open(in io.Reader, f Format, types map[string]feature.Type) error {
	err := r.guard(func() (err error) {
		counted := &countingReader{in, &r.read}
		switch f {
		case Parquet:
			r.table, err = openParquet(in.(*os.File), r.size, types)
		case CSV:
			r.table, err = openCSV(counted, types)
		case JSONL:
			r.table, err = openJSONL(counted, types)
		case Arrow, Feather:
			r.table, err = openArrow(counted, types)
		default:
			_, err = ParseFormat(string(f))
		}
		return err
	})
	if p, ok := r.table.(*parquetTable); ok && err == nil {
		r.size = p.file.NumRows()
	}
	return err
}

// Fields returns the columns in the order of the file. For JSON lines a column of types that is first met after
// the first chunk is added at the end then; otherwise they never change.
func (r *Reader) Fields() []feature.Field { return r.table.fields() }

// Next returns the next chunk of 1 to ChunkRows rows, the caller's to keep, or io.EOF. After an error the same
// error is returned again.
func (r *Reader) Next() (*feature.Batch, error) {
	if r.err != nil {
		return nil, r.err
	}
	var b *feature.Batch
	r.err = r.guard(func() (err error) {
		b, err = r.table.next()
		return err
	})
	if r.err != nil {
		return nil, r.err
	}
	if _, ok := r.table.(*parquetTable); ok {
		r.read.Add(int64(b.Rows))
	}
	return b, nil
}

// said returns what a decoder of others says is wrong, without what only this machine knows.
func said(err error) string {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	if text := err.Error(); !strings.Contains(text, "runtime error") { // which a decoder has caught itself
		return text
	}
	return misfit
}

const misfit = "its parts do not fit together"

// guard runs f; a panic of a decoder over a broken file and a refusal become errors that name the file.
func (r *Reader) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil { // what it says is about the decoder, not about the file
			err = r.failure(feature.Detail{File: r.name, Message: "the file is broken: " + misfit})
		}
	}()
	err = f()
	if err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if bad, ok := errors.AsType[*refusal](err); ok {
		bad.detail.File = r.name
		return r.failure(bad.detail)
	}
	if _, ok := errors.AsType[*feature.Error](err); ok {
		return err
	}
	return fmt.Errorf("read %s: %w", r.name, err)
}

func (r *Reader) failure(d feature.Detail) error {
	return &feature.Error{Code: feature.CodeInvalid, Message: "cannot read the table", Details: []feature.Detail{d}}
}

// Done returns how much of the file was read, from 0 to 1. It may be called from any goroutine. Of a stream the
// size is not known: then it stays 0.
func (r *Reader) Done() float64 {
	if r.size <= 0 {
		return 0
	}
	return math.Min(1, float64(r.read.Load())/float64(r.size))
}

// Close frees what the Reader holds.
func (r *Reader) Close() error {
	err := r.table.close()
	if r.file != nil {
		err = errors.Join(err, r.file.Close())
	}
	return err
}

// countingReader counts what is read through it.
type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
