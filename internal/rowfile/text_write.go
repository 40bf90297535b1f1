package rowfile

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// csvSink writes RFC 4180. NULL is an empty field, the empty string is "" in quotes; lists are JSON arrays.
type csvSink struct {
	out *bufio.Writer
	row []byte
}

func newCSVSink(w io.Writer, fields []feature.Field) (*csvSink, error) {
	s := &csvSink{out: bufio.NewWriterSize(w, 256<<10)}
	for i, f := range fields {
		if i > 0 {
			s.row = append(s.row, ',')
		}
		s.row = appendCSV(s.row, f.Name)
	}
	s.row = append(s.row, '\n')
	_, err := s.out.Write(s.row)
	return s, err
}

func (s *csvSink) write(b *feature.Batch) error {
	for row := range b.Rows {
		s.row = s.row[:0]
		for i := range b.Columns {
			if i > 0 {
				s.row = append(s.row, ',')
			}
			s.row = appendPlace(s.row, &b.Columns[i], row)
		}
		s.row = append(s.row, '\n')
		if _, err := s.out.Write(s.row); err != nil {
			return err
		}
	}
	return nil
}

func (s *csvSink) close() error { return s.out.Flush() }

// appendPlace appends place i of c as a CSV field.
func appendPlace(dst []byte, c *feature.Column, i int) []byte {
	switch {
	case c.IsNull(i):
		return dst
	case c.Type.List:
		return appendCSV(dst, c.Value(i).Text())
	case c.Type.Kind == feature.KindString:
		return appendCSV(dst, c.Strs[i])
	case c.Type.Kind == feature.KindInt64:
		return strconv.AppendInt(dst, c.Ints[i], 10)
	case c.Type.Kind == feature.KindTimestamp:
		return appendTime(dst, feature.Time(c.Ints[i]))
	default:
		return append(dst, c.Value(i).Text()...)
	}
}

func appendTime(dst []byte, t feature.Time) []byte {
	return t.Std().AppendFormat(dst, "2006-01-02T15:04:05.999999Z07:00")
}

func appendCSV(dst []byte, text string) []byte {
	if text != "" && !strings.ContainsAny(text, ",\"\r\n") {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for i := range len(text) {
		if text[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// jsonlSink writes one object a line, every column in it.
type jsonlSink struct {
	out   *bufio.Writer
	names [][]byte // what comes before each value: brace or comma, name, colon
	row   []byte
}

func newJSONLSink(w io.Writer, fields []feature.Field) *jsonlSink {
	s := &jsonlSink{out: bufio.NewWriterSize(w, 256<<10)}
	for i, f := range fields {
		lead := byte(',')
		if i == 0 {
			lead = '{'
		}
		name, _ := json.Marshal(f.Name) // a string cannot fail to encode
		s.names = append(s.names, append(append([]byte{lead}, name...), ':'))
	}
	return s
}

func (s *jsonlSink) write(b *feature.Batch) error {
	for row := range b.Rows {
		s.row = s.row[:0]
		for i := range b.Columns {
			s.row = append(s.row, s.names[i]...)
			s.row = b.Columns[i].Value(row).AppendJSON(s.row)
		}
		s.row = append(s.row, '}', '\n')
		if _, err := s.out.Write(s.row); err != nil {
			return err
		}
	}
	return nil
}

func (s *jsonlSink) close() error { return s.out.Flush() }
