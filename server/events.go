package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowjson"
)

const (
	maxLine      = 1 << 20         // bytes of one row in a stream of JSON lines
	chunkRows    = 4096            // rows of a stream that are pushed at once
	chunkBytes   = 4 << 20         // bytes of them
	maxRefused   = 10_000          // refused rows after which a stream ends
	maxDiffering = 100             // conflicts that an answer names
	pushTimeout  = 2 * time.Minute // of a push that goes on without its client
)

// push answers POST /v1/events/{source}.
func (s *Server) push(c *gin.Context) error {
	if s.cfg.Pusher == nil {
		return absent("take events")
	}
	src, err := s.sourceNamed(c.Param("source"))
	if err != nil {
		return err
	}
	p := &Push{Source: src.Name, IdempotencyKey: c.GetHeader(api.HeaderIdempotencyKey)}
	if p.Partial, err = queryBool(c, "partial"); err != nil {
		return err
	}
	if len(p.IdempotencyKey) > maxReplay {
		return feature.Errorf(feature.CodeInvalid, "header %s: longer than %d bytes", api.HeaderIdempotencyKey, maxReplay)
	}
	media, err := mediaType(c)
	if err != nil {
		return err
	}
	lines := api.FormatOf(media) == "jsonl"
	if !lines && media != "" && media != api.MediaJSON {
		return wrongMedia(media, api.MediaJSON, api.MediaNDJSON)
	}
	if lines && p.Partial && p.IdempotencyKey == "" {
		return s.pushStream(c, p)
	}
	body, err := s.readBody(c)
	if err != nil {
		return err
	}
	if lines {
		p.Rows, err = splitLines(body, s.cfg.Limits.Rows)
	} else {
		p.Rows, err = splitRows(body, s.cfg.Limits.Rows)
	}
	if err != nil {
		return invalid(err)
	}
	if err := s.chargeRows(c, len(p.Rows), src); err != nil {
		return err
	}
	answer, err := s.pushOnce(c.Request.Context(), p, body)
	if err != nil {
		return err
	}
	writeJSON(c, 200, answer)
	return nil
}

// pushOnce pushes, or returns the answer to an earlier push with the same key.
func (s *Server) pushOnce(ctx context.Context, p *Push, body []byte) (*api.PushResponse, error) {
	if p.IdempotencyKey == "" {
		return s.pushRows(ctx, p)
	}
	hash := sha256.Sum256(append(fmt.Appendf(nil, "%t\n", p.Partial), body...))
	for {
		e, isNew, err := s.replays.claim(replayKey{p.Source, p.IdempotencyKey}, hash)
		if err != nil {
			return nil, err
		}
		if isNew {
			return s.pushClaimed(ctx, p, e)
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if e.answer != nil {
			return e.answer, nil
		}
	}
}

// pushClaimed pushes to the end even if the client goes: its repetition must find the answer.
func (s *Server) pushClaimed(ctx context.Context, p *Push, e *replayEntry) (answer *api.PushResponse, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pushTimeout)
	defer cancel()
	defer func() { s.replays.settle(e, answer) }() // also when Push panics
	return s.pushRows(ctx, p)
}

// pushRows pushes and counts.
func (s *Server) pushRows(ctx context.Context, p *Push) (*api.PushResponse, error) {
	if len(p.Rows) == 0 {
		return &api.PushResponse{Refused: []feature.Detail{}}, nil
	}
	answer, err := s.cfg.Pusher.Push(ctx, p)
	if err == nil && !p.Partial && len(answer.Refused) > 0 {
		refusal := feature.Errorf(feature.CodeInvalid, "%d of %d rows are refused, so none was taken", len(answer.Refused), len(p.Rows))
		refusal.Details = answer.Refused
		err = refusal
	}
	if err != nil {
		if e, ok := errors.AsType[*feature.Error](err); ok && e.Code == feature.CodeInvalid {
			s.metrics.events.WithLabelValues("refused").Add(float64(len(p.Rows)))
		}
		return nil, err
	}
	s.metrics.events.WithLabelValues("accepted").Add(float64(answer.Accepted))
	s.metrics.events.WithLabelValues("duplicate").Add(float64(answer.Duplicates))
	s.metrics.events.WithLabelValues("refused").Add(float64(len(answer.Refused)))
	if answer.Refused == nil {
		answer.Refused = []feature.Detail{}
	}
	return answer, nil
}

// pushStream pushes JSON lines of any number in chunks, as they come. It is for partial pushes only: what was
// pushed before an error stays, and the error says how much.
func (s *Server) pushStream(c *gin.Context, p *Push) error {
	if err := s.chargeTable(c, streamCost); err != nil {
		return err
	}
	r, done, err := s.body(c, s.cfg.Limits.UploadBytes)
	if err != nil {
		return err
	}
	defer done()
	st := &eventStream{s: s, p: p, total: api.PushResponse{Refused: []feature.Detail{}}}
	if err := st.copy(c.Request.Context(), rowjson.NewLines(r, maxLine)); err != nil {
		if e, ok := errors.AsType[*feature.Error](err); ok {
			after := feature.Errorf(e.Code, "%s (after %d rows were accepted)", e.Message, st.total.Accepted)
			after.Details = e.Details
			return after
		}
		return fmt.Errorf("after %d rows were accepted: %w", st.total.Accepted, err)
	}
	writeJSON(c, 200, st.total)
	return nil
}

type eventStream struct {
	s     *Server
	p     *Push
	buf   []byte
	rows  int // before those in p.Rows
	total api.PushResponse
}

func (st *eventStream) copy(ctx context.Context, lines *rowjson.Lines) error {
	for {
		line, err := lines.Next()
		switch {
		case errors.Is(err, io.EOF):
			return st.flush(ctx)
		case errors.Is(err, rowjson.ErrTooLong):
			return feature.Errorf(feature.CodeTooLarge, "line %d is longer than %d bytes", lines.Number(), maxLine)
		case err != nil:
			return err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		from := len(st.buf)
		st.buf = append(st.buf, line...)
		st.p.Rows = append(st.p.Rows, st.buf[from:len(st.buf):len(st.buf)])
		if len(st.p.Rows) == chunkRows || len(st.buf) >= chunkBytes {
			if err := st.flush(ctx); err != nil {
				return err
			}
		}
	}
}

func (st *eventStream) flush(ctx context.Context) error {
	answer, err := st.s.pushRows(ctx, st.p)
	if err != nil {
		return err
	}
	st.total.Accepted += answer.Accepted
	st.total.Seq = max(st.total.Seq, answer.Seq)
	st.total.Duplicates += answer.Duplicates
	st.total.Conflicts += answer.Conflicts
	st.total.Refused = append(st.total.Refused, st.placed(answer.Refused)...)
	st.total.Differing = append(st.total.Differing, st.placed(answer.Differing)...)
	st.total.Differing = st.total.Differing[:min(len(st.total.Differing), maxDiffering)]
	if len(st.total.Refused) > maxRefused {
		return feature.Errorf(feature.CodeInvalid, "more than %d rows are refused", maxRefused)
	}
	st.rows += len(st.p.Rows)
	st.p.Rows, st.buf = nil, st.buf[:0]
	return nil
}

// placed returns the details with rows counted from the first of the stream.
func (st *eventStream) placed(details []feature.Detail) []feature.Detail {
	for i, d := range details {
		if d.Row != nil {
			row := *d.Row + st.rows
			details[i].Row = &row
		}
	}
	return details
}

// splitLines returns the lines that are not blank; a bad one is the Pusher's to refuse.
func splitLines(body []byte, limit int) ([]json.RawMessage, error) {
	var rows []json.RawMessage
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(rows) == limit {
			return nil, tooManyRows(limit)
		}
		rows = append(rows, line)
	}
	return rows, nil
}

func tooManyRows(limit int) error {
	return feature.Errorf(feature.CodeTooLarge, "the request has more than %d rows: send fewer at a time", limit)
}

// splitRows returns the elements of an array, or of the field rows of an object.
func splitRows(body []byte, limit int) ([]json.RawMessage, error) {
	var rows []json.RawMessage
	sc := &scanner{data: body, lax: true}
	element := func() error {
		if len(rows) == limit {
			return tooManyRows(limit)
		}
		row, err := sc.span()
		rows = append(rows, row)
		return err
	}
	var err error
	if sc.peek() == '[' {
		err = sc.array(element)
	} else {
		found := false
		err = sc.object(func(name []byte) error {
			if string(name) != "rows" {
				return unknownName("field", string(name), []string{"rows"})
			}
			if found {
				return fieldError("rows", "it comes twice")
			}
			found = true
			if sc.peek() != '[' {
				return fieldError("rows", "expected an array of objects")
			}
			return sc.array(element)
		})
		if err == nil && !found {
			err = fieldError("rows", "missing: expected an array of objects")
		}
	}
	if err == nil {
		err = sc.end()
	}
	return rows, err
}
