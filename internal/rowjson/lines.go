package rowjson

import (
	"bufio"
	"errors"
	"io"
)

// ErrTooLong is what Lines.Next returns in place of a line that is longer than the limit.
var ErrTooLong = errors.New("the line is too long")

// Lines reads text line by line in bounded memory.
type Lines struct {
	r      *bufio.Reader
	limit  int
	number int
	long   []byte
}

// NewLines returns a reader of the lines of r; a line of more than limit bytes is ErrTooLong.
func NewLines(r io.Reader, limit int) *Lines {
	return &Lines{r: bufio.NewReaderSize(r, 256<<10), limit: limit}
}

// Next returns the next line without its newline, in memory that is valid until the next call; io.EOF after
// the last one. After ErrTooLong the next call goes on with the line behind.
func (l *Lines) Next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.rest(line)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(line) == 0 && err != nil {
		return nil, io.EOF
	}
	l.number++
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if len(line) > l.limit {
		return nil, ErrTooLong
	}
	return line, nil
}

// rest reads on after the start of a line that filled the buffer, keeping no more than the limit and a bit.
func (l *Lines) rest(start []byte) ([]byte, error) {
	l.long = append(l.long[:0], start...)
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.long) <= l.limit {
			l.long = append(l.long, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.long, err
		}
	}
}

// Number returns the number of the line that Next returned last, from 1.
func (l *Lines) Number() int { return l.number }
