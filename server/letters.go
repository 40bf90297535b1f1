package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

const (
	defaultLetters = 100
	maxLetters     = 1000
)

// deadLetters answers GET /v1/deadletters.
func (s *Server) deadLetters(c *gin.Context) error {
	if s.cfg.Letters == nil {
		return absent("know dead letters")
	}
	q := api.DeadLetterQuery{Source: c.Query("source"), Reason: c.Query("reason"), Limit: defaultLetters}
	var err error
	if v := c.Query("after"); v != "" {
		if q.After, err = strconv.ParseUint(v, 10, 64); err != nil {
			return feature.Errorf(feature.CodeInvalid, "parameter after is %q: expected a whole number from 0", v)
		}
	}
	if v := c.Query("limit"); v != "" {
		if q.Limit, err = strconv.Atoi(v); err != nil || q.Limit < 1 || q.Limit > maxLetters {
			return feature.Errorf(feature.CodeInvalid, "parameter limit is %q: expected a whole number from 1 to %d", v, maxLetters)
		}
	}
	for name, to := range map[string]*time.Time{"since": &q.Since, "until": &q.Until} {
		if err := parseTime(c.Query(name), to); err != nil {
			return feature.Errorf(feature.CodeInvalid, "parameter %s: %w", name, err)
		}
	}
	letters, err := s.cfg.Letters.DeadLetters(c.Request.Context(), q)
	if err != nil {
		return err
	}
	out := api.DeadLetters{Letters: append([]api.DeadLetter{}, letters...)}
	if n := len(letters); n > 0 && n >= q.Limit {
		out.Next = letters[n-1].Seq
	}
	writeJSON(c, http.StatusOK, out)
	return nil
}

// parseTime reads an instant; nothing is the zero time.
func parseTime(text string, to *time.Time) error {
	if text == "" {
		return nil
	}
	at, err := feature.ParseTime(text)
	*to = at.Std()
	return err
}

// deadLetter answers GET /v1/deadletters/{seq}.
func (s *Server) deadLetter(c *gin.Context) error {
	if s.cfg.Letters == nil {
		return absent("know dead letters")
	}
	seq, err := strconv.ParseUint(c.Param("seq"), 10, 64)
	if err != nil || seq == 0 {
		return feature.Errorf(feature.CodeNotFound, "there is no dead letter %q: they have whole numbers from 1", c.Param("seq"))
	}
	letter, err := s.cfg.Letters.DeadLetter(c.Request.Context(), seq)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, letter)
	return nil
}

// replayLetters answers POST /v1/deadletters/replay.
func (s *Server) replayLetters(c *gin.Context) error {
	if s.cfg.Letters == nil {
		return absent("know dead letters")
	}
	body, err := s.readJSON(c)
	if err != nil {
		return err
	}
	var req api.ReplayRequest
	if err := decode(body, &req); err != nil {
		return err
	}
	r := &Replay{Letters: req.Letters, DryRun: req.DryRun, Query: api.DeadLetterQuery{Source: req.Source, Reason: req.Reason}}
	if err := parseTime(req.Since, &r.Query.Since); err != nil {
		return fieldError("since", "%w", err)
	}
	if err := parseTime(req.Until, &r.Query.Until); err != nil {
		return fieldError("until", "%w", err)
	}
	if len(r.Letters) > 0 && r.Query != (api.DeadLetterQuery{}) {
		return feature.Errorf(feature.CodeInvalid, "name either letters, or what selects them, not both")
	}
	err = s.begin(c, req.Source, map[string]string{"reason": req.Reason, "since": req.Since, "until": req.Until, "letters": fmt.Sprint(req.Letters), "dry_run": strconv.FormatBool(req.DryRun)})
	if err != nil {
		return err
	}
	return stream(s, c, func(ctx context.Context, progress func(api.Progress)) (*api.ReplayResult, error) {
		result, err := s.cfg.Letters.ReplayLetters(ctx, r, progress)
		if err == nil && result.Letters == nil {
			result.Letters = []api.DeadLetter{}
		}
		return result, err
	})
}
