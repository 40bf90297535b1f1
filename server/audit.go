package server

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Auditor keeps the audit trail.
type Auditor interface {
	// Record returns when the entry is kept.
	Record(e api.AuditEntry) error
	// Entries returns the newest entries that q selects, oldest first.
	Entries(q api.AuditQuery) ([]api.AuditEntry, error)
}

// began is the key under which a request's context has the entry that its action began with.
const began = "audit"

// failedWith is the key under which a request's context has the code of an error that came after the answer began.
const failedWith = "failed_with"

// begin records that an action begins, before anything is done. When that cannot be kept the action must not be.
// checked records how it ends.
func (s *Server) begin(c *gin.Context, target string, details map[string]string) error {
	if s.cfg.Auditor == nil {
		return nil
	}
	e := s.entry(c, api.AuditBegin)
	e.Target, e.Details = target, details
	if err := s.cfg.Auditor.Record(e); err != nil {
		s.cfg.Logger.Error("the audit trail cannot be written", slog.Any("error", err))
		return feature.Errorf(feature.CodeUnavailable, "the audit trail cannot be written, so nothing was done")
	}
	e.Details = nil
	c.Set(began, e)
	return nil
}

func (s *Server) entry(c *gin.Context, phase api.AuditPhase) api.AuditEntry {
	who, _, _ := s.access.caller(c.GetHeader("Authorization")) // "" for one that is not known
	return api.AuditEntry{ID: rand.Text(), Time: s.cfg.Now().UTC(), Phase: phase, Action: s.actions[c.FullPath()], Who: who, Remote: c.Request.RemoteAddr}
}

// end records what came of an action that began.
func (s *Server) end(c *gin.Context) {
	v, ok := c.Get(began)
	if !ok {
		return
	}
	e := v.(api.AuditEntry)
	e.Phase, e.Time, e.Status, e.Code = api.AuditEnd, s.cfg.Now().UTC(), c.Writer.Status(), c.GetString(failedWith)
	if c.GetBool(cutOff) {
		e.Status = 0
	}
	if err := s.cfg.Auditor.Record(e); err != nil {
		s.cfg.Logger.Error("the end of an action is not in the audit trail", slog.String("action", e.Action), slog.String("id", e.ID), slog.Any("error", err))
	}
}

// refusals lets ten refusals a second into the audit trail, so that who is refused cannot fill it.
type refusals struct {
	mu      sync.Mutex
	second  int64
	written int
	skipped int
}

const refusalsPerSecond = 10

func (r *refusals) take(now time.Time) (skipped int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if second := now.Unix(); second != r.second {
		r.second, r.written = second, 0
	}
	if r.written == refusalsPerSecond {
		r.skipped++
		return 0, false
	}
	r.written++
	skipped, r.skipped = r.skipped, 0
	return skipped, true
}

// refused records that a caller may not do what it asked for.
func (s *Server) refused(c *gin.Context, err error) {
	if s.cfg.Auditor == nil {
		return
	}
	e := s.entry(c, api.AuditRefused)
	code := feature.CodeOf(err)
	e.Code, e.Status = string(code), statusOf(code)
	var ok bool
	if e.Skipped, ok = s.refusals.take(e.Time); !ok {
		return
	}
	if err := s.cfg.Auditor.Record(e); err != nil {
		s.cfg.Logger.Error("the audit trail cannot be written", slog.Any("error", err))
	}
}

const maxEntries = 10_000

// audit answers GET /v1/audit.
func (s *Server) audit(c *gin.Context) error {
	if s.cfg.Auditor == nil {
		return absent("keep an audit trail")
	}
	q := api.AuditQuery{Action: c.Query("action"), Who: c.Query("who"), Limit: 100}
	var err error
	if v := c.Query("limit"); v != "" {
		if q.Limit, err = strconv.Atoi(v); err != nil || q.Limit < 1 || q.Limit > maxEntries {
			return feature.Errorf(feature.CodeInvalid, "parameter limit is %q: expected a whole number from 1 to %d", v, maxEntries)
		}
	}
	if err := parseTime(c.Query("since"), &q.Since); err != nil {
		return feature.Errorf(feature.CodeInvalid, "parameter since: %w", err)
	}
	entries, err := s.cfg.Auditor.Entries(q)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, api.Audit{Entries: append([]api.AuditEntry{}, entries...)})
	return nil
}

// list is names as one detail of an entry.
func list(names []string) string { return strings.Join(names, ",") }

// remember notes the code of an error for the audit trail.
func remember(c *gin.Context, err error) {
	if _, ok := c.Get(began); !ok || err == nil {
		return
	}
	code := feature.CodeInternal
	if e, ok := errors.AsType[*feature.Error](err); ok {
		code = e.Code
	}
	c.Set(failedWith, string(code))
}
