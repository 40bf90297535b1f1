package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
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

// limit refuses what is too much, and what a foreign web page makes a browser send.
func (s *Server) limit(c *gin.Context) {
	versioned := strings.HasPrefix(c.Request.URL.Path, "/v1/")
	switch {
	case versioned && s.inFlight.Load() > int64(s.cfg.MaxInFlight):
		s.fail(c, feature.Errorf(feature.CodeOverloaded, "%d requests are being served already: try again later", s.cfg.MaxInFlight))
	case s.origins.Check(c.Request) != nil:
		s.fail(c, feature.Errorf(api.CodeForbidden, "a browser sent this request for a page of another origin"))
	}
}

// access knows the tokens.
type access struct {
	open   bool // no token is needed
	tokens []knownToken
}

type knownToken struct {
	hash   [sha256.Size]byte
	scopes []string
}

func newAccess(tokens []Token, open bool) *access {
	a := &access{open: open}
	for _, t := range tokens {
		k := knownToken{scopes: t.Scopes}
		_, _ = hex.Decode(k.hash[:], []byte(t.SHA256)) // Config.validate has checked it
		a.tokens = append(a.tokens, k)
	}
	return a
}

// check returns nil if the Authorization header grants scope.
func (a *access) check(header string, scope api.Scope) error {
	if a.open || scope == api.ScopeNone {
		return nil
	}
	kind, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(kind, "Bearer") || secret == "" {
		return feature.Errorf(api.CodeUnauthorized, "this server needs a token: send Authorization: Bearer TOKEN")
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	var found *knownToken
	for i := range a.tokens { // all of them, so that time tells nothing
		if subtle.ConstantTimeCompare(hash[:], a.tokens[i].hash[:]) == 1 {
			found = &a.tokens[i]
		}
	}
	switch {
	case found == nil:
		return feature.Errorf(api.CodeUnauthorized, "the token is not known here")
	case !slices.Contains(found.scopes, string(scope)):
		return feature.Errorf(api.CodeForbidden, "the token does not have the scope %s", scope)
	}
	return nil
}

func (s *Server) authorize(scope api.Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := s.access.check(c.GetHeader("Authorization"), scope); err != nil {
			s.fail(c, err)
		}
	}
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
