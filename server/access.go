package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Token is a bearer token that a server knows: the SHA-256 of it in hexadecimal, never the token itself, and
// what it allows. A plain hash is enough because tokens are random, not chosen by people.
type Token struct {
	Name   string // of whoever has it, for the audit trail; default the first digits of the hash
	SHA256 string
	Scopes []string // "read", "write", "admin"
}

func (t Token) validate() error {
	if b, err := hex.DecodeString(t.SHA256); err != nil || len(b) != sha256.Size {
		return feature.Errorf(feature.CodeInvalid, "expected a SHA-256 in 64 hexadecimal digits")
	}
	for _, s := range t.Scopes {
		if !slices.Contains([]api.Scope{api.ScopeRead, api.ScopeWrite, api.ScopeAdmin}, api.Scope(s)) {
			return feature.Errorf(feature.CodeInvalid, "unknown scope %q: expected read, write or admin", s)
		}
	}
	return nil
}

// access knows the tokens. Without any, which only a listener on loopback may have, everybody on the machine
// may do everything.
type access struct {
	local  bool // requests must be sent to this machine's own name
	tokens []knownToken
}

type knownToken struct {
	name   string
	hash   [sha256.Size]byte
	scopes []string
}

func newAccess(tokens []Token, web bool) *access {
	a := &access{local: web && len(tokens) == 0}
	for _, t := range tokens {
		k := knownToken{name: t.Name, scopes: t.Scopes}
		_, _ = hex.Decode(k.hash[:], []byte(t.SHA256)) // Config.validate has checked it
		if k.name == "" {
			k.name = hex.EncodeToString(k.hash[:4])
		}
		a.tokens = append(a.tokens, k)
	}
	return a
}

// anybody is the name of callers where no token is needed.
const anybody = "loopback"

// caller returns the name of whoever sends an Authorization header, and what it allows.
func (a *access) caller(header string) (name string, scopes []string, err error) {
	if len(a.tokens) == 0 {
		return anybody, []string{string(api.ScopeRead), string(api.ScopeWrite), string(api.ScopeAdmin)}, nil
	}
	kind, secret, _ := strings.Cut(header, " ")
	if !strings.EqualFold(kind, "Bearer") || secret == "" {
		return "", nil, feature.Errorf(api.CodeUnauthorized, "this server needs a token: send Authorization: Bearer TOKEN")
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	var found *knownToken
	for i := range a.tokens { // all of them, so that time tells nothing
		if subtle.ConstantTimeCompare(hash[:], a.tokens[i].hash[:]) == 1 {
			found = &a.tokens[i]
		}
	}
	if found == nil {
		return "", nil, feature.Errorf(api.CodeUnauthorized, "the token is not known here")
	}
	return found.name, found.scopes, nil
}

// check returns nil if the Authorization header grants scope.
func (a *access) check(header string, scope api.Scope) error {
	if scope == api.ScopeNone || len(a.tokens) == 0 {
		return nil
	}
	_, scopes, err := a.caller(header)
	if err == nil && !slices.Contains(scopes, string(scope)) {
		err = feature.Errorf(api.CodeForbidden, "the token does not have the scope %s", scope)
	}
	return err
}

func (s *Server) authorize(scope api.Scope) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := s.access.check(c.GetHeader("Authorization"), scope); err != nil {
			s.refused(c, err)
			s.fail(c, err)
		}
	}
}

// guard refuses what a web page of somebody else makes a browser send. A page can always send requests to
// loopback, and it can give its own name the address 127.0.0.1 (DNS rebinding), which makes the browser hand it
// the answers; then the Host header is not a name of this machine.
func (s *Server) guard(c *gin.Context) {
	r := c.Request
	switch {
	case s.access.local && !thisMachine(r.Host):
		s.fail(c, feature.Errorf(api.CodeForbidden, "without tokens this server answers requests to localhost and loopback addresses only"))
	case s.origins.Check(r) != nil, s.access.local && foreign(r):
		s.fail(c, feature.Errorf(api.CodeForbidden, "a browser sent this request for a page of another origin"))
	}
}

// thisMachine reports whether a Host header can only mean this machine. Every browser sends one.
func thisMachine(host string) bool {
	if host == "" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// foreign reports whether a browser says that it sends the request for another site, whatever the method.
func foreign(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}
