package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// observe counts and times a request.
func (s *Server) observe(c *gin.Context) {
	start := time.Now()
	s.metrics.inFlight.Set(float64(s.inFlight.Add(1)))
	defer func() {
		s.metrics.inFlight.Set(float64(s.inFlight.Add(-1)))
		s.metrics.observe(c, time.Since(start))
	}()
	c.Next()
}

// recoverPanic makes a 500 of a panic. http.ErrAbortHandler goes on: it is how a stream that went wrong is
// cut off.
func (s *Server) recoverPanic(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(cause)
		}
		s.cfg.Logger.Error("panic in a handler", slog.String("route", c.FullPath()), slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
		if c.Writer.Written() {
			panic(http.ErrAbortHandler)
		}
		s.fail(c, fmt.Errorf("panic: %v", cause))
	}()
	c.Next()
}

// checkQuery refuses a query string that is malformed, names a parameter that the route does not have, or
// gives one twice that is taken once.
func checkQuery(c *gin.Context, params []api.Param) error {
	if c.Request.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		return feature.Errorf(feature.CodeInvalid, "the query string is malformed: %w", err)
	}
	var known []string
	for _, p := range params {
		if p.Header {
			continue
		}
		known = append(known, p.Name)
		if !p.Many && len(query[p.Name]) > 1 {
			return feature.Errorf(feature.CodeInvalid, "parameter %q is given %d times", p.Name, len(query[p.Name]))
		}
	}
	for name := range query {
		if !slices.Contains(known, name) {
			return unknownName("parameter", name, known)
		}
	}
	return nil
}

func unknownName(what, name string, known []string) error {
	if len(known) == 0 {
		return feature.Errorf(feature.CodeInvalid, "unknown %s %q: none is taken here", what, name)
	}
	return feature.Errorf(feature.CodeInvalid, "unknown %s %q: expected one of %s", what, name, strings.Join(known, ", "))
}

// queryBool reads a boolean parameter; absent is false.
func queryBool(c *gin.Context, name string) (bool, error) {
	switch v := c.Query(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, feature.Errorf(feature.CodeInvalid, "parameter %s is %q: expected true or false", name, v)
	}
}
