package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

// A chunk of lines that is committed together ends at one of these.
const (
	chunkRows  = 10_000
	chunkBytes = 4 << 20
)

// PushLines takes rows from r, a JSON object a line, in bounded memory: it commits them in chunks of up to
// 10,000 lines, one after the other. Blank lines are skipped. When Atomic, a chunk with a bad line is not taken
// and ends the push with CodeInvalid and details that name lines, from 1. Whatever the error, the Result says
// what the chunks before it brought into the log, so that the caller can go on behind it.
func (g *Gate) PushLines(ctx context.Context, source string, r io.Reader, mode Mode) (Result, error) {
	p := &linePush{gate: g, source: source, mode: mode, lines: rowjson.NewLines(r, MaxRowBytes)}
	for {
		more, err := p.chunk(ctx)
		if err != nil || !more {
			return p.total, err
		}
	}
}

// linePush is a PushLines under way.
type linePush struct {
	gate    *Gate
	push    *push
	source  string
	mode    Mode
	lines   *rowjson.Lines
	total   Result
	bad     []feature.Detail // of the chunk, the first of them
	refused int              // lines of the chunk
}

// chunk reads and commits a chunk. It returns false after the last.
func (p *linePush) chunk(ctx context.Context) (bool, error) {
	builder, err := p.gate.builder(p.source) // anew, for its arrival
	if err != nil {
		return false, err
	}
	p.push, p.bad, p.refused = &push{builder: builder, out: p.total}, nil, 0
	more := true
	for rows, size := 0, 0; more && rows < chunkRows && size < chunkBytes; rows++ {
		n, err := p.line()
		if errors.Is(err, io.EOF) {
			more = false
		} else if err != nil {
			return false, fmt.Errorf("read rows of source %s behind line %d: %w", p.source, p.lines.Number(), err)
		}
		size += n
	}
	if p.mode == Atomic && p.refused > 0 {
		e := feature.Errorf(feature.CodeInvalid, "%d lines of source %s are refused; %d rows before were taken", p.refused, p.source, p.total.Accepted)
		e.Details = p.bad
		return false, e
	}
	if err := p.gate.commit(ctx, p.push); err != nil {
		return false, err
	}
	p.total = p.push.out
	p.total.Rejected += p.refused
	p.total.Refused = append(p.total.Refused, p.bad[:min(len(p.bad), maxDetails-len(p.total.Refused))]...)
	return more, nil
}

// line takes the next line and returns its size.
func (p *linePush) line() (int, error) {
	raw, err := p.lines.Next()
	if errors.Is(err, rowjson.ErrTooLong) {
		p.refuse([]feature.Detail{{Message: fmt.Sprintf("the row has more than %d bytes", MaxRowBytes)}}, nil)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return 0, nil
	}
	if details := p.push.builder.add(raw); len(details) > 0 {
		p.refuse(details, raw)
	} else if len(p.push.builder.src.ID) > 0 {
		p.push.keep(feature.Detail{Line: p.lines.Number()}, bytes.Clone(raw))
	}
	return len(raw), nil
}

func (p *linePush) refuse(details []feature.Detail, raw []byte) {
	p.refused++
	if p.mode == Partial {
		p.push.letters = append(p.push.letters, letter(p.source, details, raw))
	}
	for _, d := range details {
		if len(p.bad) < maxDetails {
			d.Line = p.lines.Number()
			p.bad = append(p.bad, d)
		}
	}
}
