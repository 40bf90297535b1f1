package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"syscall"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// statusOf is the one place that gives a code its HTTP status.
func statusOf(code feature.Code) int {
	switch code {
	case feature.CodeInvalid, feature.CodeBelowFloor:
		return http.StatusBadRequest
	case api.CodeUnauthorized:
		return http.StatusUnauthorized
	case api.CodeForbidden:
		return http.StatusForbidden
	case feature.CodeNotFound:
		return http.StatusNotFound
	case api.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case feature.CodeConflict:
		return http.StatusConflict
	case feature.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case feature.CodeOverloaded:
		return http.StatusTooManyRequests
	case feature.CodeUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// clientGone is the status that metrics and logs show for a request whose client did not wait.
const clientGone = 499

// fail answers with err. Nothing must have been written.
func (s *Server) fail(c *gin.Context, err error) {
	if c.Request.Context().Err() != nil && errors.Is(err, context.Canceled) && !s.draining.Load() {
		c.Status(clientGone)
		c.Abort()
		return
	}
	e := s.public(c, err)
	remember(c, e)
	status := statusOf(e.Code)
	header := c.Writer.Header()
	header.Del("Content-Length")
	header.Del("Content-Type") // gin keeps one that is set
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if header.Get("Retry-After") == "" {
			header.Set("Retry-After", "1")
		}
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="lockstep"`)
	}
	c.Abort()
	writeJSON(c, status, api.ErrorBody{Error: e})
}

// public returns what a client may see of err. A failure that is nobody's fault but ours is logged here and
// answered with an id alone.
func (s *Server) public(c *gin.Context, err error) *feature.Error {
	e, ok := errors.AsType[*feature.Error](err)
	switch {
	case ok && e.Code != feature.CodeInternal:
		return e
	case errors.Is(err, syscall.ENOSPC):
		s.cfg.Logger.Error("a disk is full", slog.String("method", c.Request.Method), slog.String("route", c.FullPath()), slog.Any("error", err))
		return feature.Errorf(feature.CodeUnavailable, "a disk of the server is full")
	case errors.Is(err, context.DeadlineExceeded):
		return feature.Errorf(feature.CodeUnavailable, "the request took too long")
	case errors.Is(err, context.Canceled):
		return feature.Errorf(feature.CodeUnavailable, "the server is stopping")
	}
	id := rand.Text()
	s.cfg.Logger.Error("request failed", slog.String("request_id", id), slog.String("method", c.Request.Method),
		slog.String("route", c.FullPath()), slog.Any("error", err))
	if !c.Writer.Written() {
		c.Header(api.HeaderRequestID, id)
	}
	return feature.Errorf(feature.CodeInternal, "internal error; the server logged it under the id %s", id)
}

// writeJSON writes a small body at once.
func writeJSON(c *gin.Context, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic("an answer does not encode: " + err.Error()) // bodies are ours
	}
	c.Data(status, api.MediaJSON, append(b, '\n'))
}

func (s *Server) noRoute(c *gin.Context) {
	s.fail(c, feature.Errorf(feature.CodeNotFound, "there is no route %s; %s lists all", c.Request.URL.Path, api.PathOpenAPI))
}

func (s *Server) noMethod(c *gin.Context) {
	// Gin names the methods of all routes that fit, also of one whose parameter would be the last part of this one.
	var methods []string
	for _, r := range api.Routes() {
		if r.Path == c.Request.URL.Path {
			methods = append(methods, r.Method)
		}
	}
	if len(methods) > 0 {
		c.Header("Allow", strings.Join(methods, ", "))
	}
	s.fail(c, feature.Errorf(api.CodeMethodNotAllowed, "%s does not take %s: expected %s", c.Request.URL.Path, c.Request.Method, c.Writer.Header().Get("Allow")))
}

// absent is the error for a part that this process does not have.
func absent(what string) error {
	return feature.Errorf(feature.CodeNotFound, "this process does not %s: ask one whose roles include it", what)
}
