package rowfile

import (
	"fmt"
	"io"

	"github.com/lockstepfs/lockstep/feature"
)

// Writer writes a table.
type Writer struct {
	fields []feature.Field
	sink   sink
	err    error
}

// sink writes one format.
type sink interface {
	write(b *feature.Batch) error
	close() error
}

// NewWriter begins a table with the given columns, in their order, under their names as they are. meta goes into
// the file as key-value metadata (Parquet) or metadata of the schema (Arrow, Feather); CSV and JSON lines cannot
// hold it, there it is left out. The caller must Close the Writer; that does not close w.
func NewWriter(w io.Writer, f Format, fields []feature.Field, meta map[string]string) (*Writer, error) {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if seen[f.Name] || f.Name == "" {
			return nil, feature.Errorf(feature.CodeInvalid, "cannot write a table with two columns named %q or one without a name", f.Name)
		}
		seen[f.Name] = true
	}
	if len(fields) == 0 {
		return nil, feature.Errorf(feature.CodeInvalid, "cannot write a table without columns")
	}
	out := &Writer{fields: fields}
	var err error
	switch f {
	case Parquet:
		out.sink, err = newParquetSink(w, fields, meta)
	case CSV:
		out.sink, err = newCSVSink(w, fields)
	case JSONL:
		out.sink = newJSONLSink(w, fields)
	case Arrow, Feather:
		out.sink, err = newArrowSink(w, f, fields, meta)
	default:
		_, err = ParseFormat(string(f))
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Write adds the rows of b, whose columns must be those of the table in the same order. It keeps nothing of b.
// After an error every later call returns the same.
func (w *Writer) Write(b *feature.Batch) error {
	if w.err == nil {
		w.err = w.write(b)
	}
	return w.err
}

func (w *Writer) write(b *feature.Batch) error {
	if len(b.Columns) != len(w.fields) {
		return fmt.Errorf("write a table: a batch of %d columns for a table of %d", len(b.Columns), len(w.fields))
	}
	for i, f := range w.fields {
		if c := &b.Columns[i]; c.Type.Kind != f.Type.Kind || c.Type.List != f.Type.List {
			return fmt.Errorf("write a table: column %s is %s, not %s", f.Name, c.Type, f.Type)
		}
	}
	if err := w.sink.write(b); err != nil {
		return fmt.Errorf("write a table: %w", err)
	}
	return nil
}

// Close completes the file. Without it, or after an error, what was written is not a whole file.
func (w *Writer) Close() error {
	if err := w.sink.close(); w.err == nil && err != nil {
		w.err = fmt.Errorf("complete a table: %w", err)
	}
	return w.err
}
