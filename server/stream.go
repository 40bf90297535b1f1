package server

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// held is how much of a streamed answer is held back before its header goes out: an error until then is an
// ordinary error answer.
const held = 32 << 10

// streamWriter sends an answer of unknown length. It is cut off, not ended, when something goes wrong midway,
// so that no client takes a part for the whole: chunked encoding has an end mark.
type streamWriter struct {
	c       *gin.Context
	control *http.ResponseController
	stall   time.Duration
	until   time.Time // when the request's time is over
	buf     []byte
	started bool
}

func (s *Server) streamWriter(c *gin.Context) (*streamWriter, error) {
	if !c.Request.ProtoAtLeast(1, 1) {
		return nil, feature.Errorf(feature.CodeInvalid, "this answer is streamed, which needs HTTP/1.1: in HTTP/1.0 an answer that was cut off looks whole")
	}
	until, _ := c.Request.Context().Deadline()
	return &streamWriter{c: c, control: http.NewResponseController(c.Writer), stall: s.cfg.Limits.StallTime, until: until}, nil
}

// Write sends p, or holds it back while little was written.
func (w *streamWriter) Write(p []byte) (int, error) {
	if !w.started && len(w.buf)+len(p) <= held {
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	if err := w.start(); err != nil {
		return 0, err
	}
	return len(p), w.send(p)
}

// start sends what was held back.
func (w *streamWriter) start() error {
	if w.started {
		return nil
	}
	w.started = true
	err := w.send(w.buf)
	w.buf = nil
	return err
}

// piece is how much of an answer a client must take within the time of a stall.
const piece = 256 << 10

func (w *streamWriter) send(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), piece)
		_ = w.control.SetWriteDeadline(deadline(w.stall, w.until)) // a writer without deadlines waits for ever
		if _, err := w.c.Writer.Write(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// flush starts the answer and sends everything written so far on its way.
func (w *streamWriter) flush() error {
	if err := w.start(); err != nil {
		return err
	}
	return w.control.Flush()
}

// end finishes the answer.
func (w *streamWriter) end() {
	if !w.started {
		w.c.Header("Content-Length", strconv.Itoa(len(w.buf)))
		w.c.Status(http.StatusOK)
		w.c.Writer.WriteHeaderNow()
	}
	_ = w.start() // a client that has gone needs no answer
}

// abort drops the connection when the answer is under way; else it removes the headers named, and the caller
// answers with the error.
func (s *Server) abort(w *streamWriter, err error, headers ...string) error {
	if !w.started {
		for _, h := range headers {
			w.c.Writer.Header().Del(h)
		}
		return err
	}
	w.c.Set(cutOff, true)
	remember(w.c, err)
	if w.c.Request.Context().Err() == nil {
		s.cfg.Logger.Error("an answer was cut off", slog.String("route", w.c.FullPath()), slog.Any("error", err))
	}
	panic(http.ErrAbortHandler)
}

// cutOff is the key under which a request's context remembers that its answer was cut off, for the metrics.
const cutOff = "cut_off"

// progressEvery is the least time between two progress lines.
const progressEvery = 100 * time.Millisecond

// progressStream sends the lines of a long operation. report may be called from any goroutine.
type progressStream struct {
	mu     sync.Mutex
	w      *streamWriter
	sent   time.Time
	closed bool // the handler has returned; gin reuses its context
}

func (p *progressStream) report(now api.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || time.Since(p.sent) < progressEvery && now.Done < 1 {
		return
	}
	p.sent = time.Now()
	p.line(api.Line[struct{}]{Progress: &now})
}

// line sends one line; a client that has gone makes the request's context end, which stops the operation.
func (p *progressStream) line(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("a line does not encode: " + err.Error()) // lines are ours
	}
	if _, err := p.w.Write(append(b, '\n')); err == nil {
		_ = p.w.flush()
	}
}

// stream answers with the progress and the result of run, in lines. An error before the first line is an
// ordinary error answer; afterwards it is the last line.
func stream[T any](s *Server, c *gin.Context, run func(ctx context.Context, progress func(api.Progress)) (*T, error)) error {
	w, err := s.streamWriter(c)
	if err != nil {
		return err
	}
	p := &progressStream{w: w}
	c.Header("Content-Type", api.MediaNDJSON)
	c.Header("X-Accel-Buffering", "no")
	defer func() { // also when run panics
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
	}()
	result, err := run(c.Request.Context(), p.report)
	leave(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil && !w.started:
		return err
	case err != nil:
		e := s.public(c, err)
		remember(c, e)
		p.line(api.Line[T]{Error: e})
	default:
		p.line(api.Line[T]{Result: result})
	}
	w.end()
	return nil
}

// rowWriter writes rows as JSON into a stream, through one buffer.
type rowWriter struct {
	w   io.Writer
	buf []byte
}

func (r *rowWriter) flush(least int) error {
	if len(r.buf) < least {
		return nil
	}
	_, err := r.w.Write(r.buf)
	r.buf = r.buf[:0]
	return err
}
