package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
)

// Server answers HTTP. Make one with New.
type Server struct {
	cfg     Config
	engine  *gin.Engine
	access  *access
	metrics *metrics
	plans   planCache // of the newest definitions
	reads   planCache // of the definitions that are served
	replays *replays
	openAPI []byte

	origins  *http.CrossOriginProtection
	certs    *certificates // nil without TLS
	classes  map[api.Class]*class
	budget   budget
	actions  map[string]string // operation ids by path
	refusals refusals
	inFlight atomic.Int64
	draining atomic.Bool
	handlers sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil before Listen
}

// New returns a server for cfg. It fails with CodeInvalid when a token is malformed or the address is open to
// others and there is no token. It does not listen yet.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg:     cfg,
		access:  newAccess(cfg.Tokens, !cfg.unix()),
		classes: newClasses(&cfg.Limits),
		actions: map[string]string{},
		replays: newReplays(cfg.Now),
		openAPI: api.OpenAPI(cfg.Version),
		origins: http.NewCrossOriginProtection(),
	}
	s.budget.limit = cfg.Limits.MemoryBytes
	var err error
	if cfg.TLS.Cert != "" {
		if s.certs, err = newCertificates(cfg.TLS, cfg.Logger); err != nil {
			return nil, err
		}
	}
	if s.metrics, err = newMetrics(cfg.Collectors); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	gin.SetMode(gin.ReleaseMode)
	s.engine = gin.New()
	s.engine.HandleMethodNotAllowed = true
	s.engine.RedirectTrailingSlash = false
	s.engine.ContextWithFallback = true
	if err := s.engine.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	s.engine.Use(s.observe, s.recoverPanic, s.guard)
	s.engine.NoRoute(s.noRoute)
	s.engine.NoMethod(s.noMethod)
	return s, s.register()
}

// register gives every route of the contract its handler.
func (s *Server) register() error {
	handlers := s.routes()
	for _, r := range api.Routes() {
		h, ok := handlers[r.Path]
		if !ok {
			return fmt.Errorf("server: no handler for %s %s", r.Method, r.Path)
		}
		path := strings.NewReplacer("{", ":", "}", "").Replace(r.Path)
		s.actions[path] = r.Name
		s.engine.Handle(r.Method, path, s.authorize(r.Scope), s.admit(s.classes[r.Class]), s.checked(r, h))
	}
	return nil
}

// handler answers a request, or returns an error for fail to answer with; nothing was written then.
type handler func(c *gin.Context) error

func (s *Server) routes() map[string]handler {
	return map[string]handler{
		api.PathOnline:          s.online,
		api.PathExplain:         s.explain,
		api.PathHistorical:      s.historical,
		api.PathEvents:          s.push,
		api.PathImport:          s.importFile,
		api.PathEntities:        s.entities,
		api.PathEntity:          s.entity,
		api.PathSources:         s.sources,
		api.PathSource:          s.source,
		api.PathViews:           s.views,
		api.PathView:            s.view,
		api.PathServices:        s.services,
		api.PathService:         s.service,
		api.PathServiceVersions: s.serviceVersions,
		api.PathRegistry:        s.definitions,
		api.PathRegistryPlan:    s.registryPlan,
		api.PathRegistryApply:   s.registryApply,
		api.PathRollback:        s.rollback,
		api.PathRegistrySchema:  s.registrySchema,
		api.PathStatus:          s.status,
		api.PathAudit:           s.audit,
		api.PathDeadLetters:     s.deadLetters,
		api.PathDeadLetter:      s.deadLetter,
		api.PathReplay:          s.replayLetters,
		api.PathErase:           s.erase,
		api.PathMaterialize:     s.materialize,
		api.PathVerify:          s.verify,
		api.PathSQL:             s.sql,
		api.PathFeastOnline:     s.feastOnline,
		api.PathFeastPush:       s.feastPush,
		api.PathFeastWrite:      s.feastWrite,
		api.PathHealth:          s.health,
		api.PathReady:           s.ready,
		api.PathMetrics:         s.serveMetrics,
		api.PathOpenAPI:         s.serveOpenAPI,
	}
}

// checked refuses query parameters that the route does not have, then calls h.
func (s *Server) checked(r api.Route, h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer s.end(c)
		err := checkQuery(c, r.Params)
		if err == nil {
			err = h(c)
		}
		if err != nil {
			s.fail(c, err)
		}
	}
}

// Handler returns the server's routes for use under a listener of the caller. Tokens are demanded as Config's
// address says.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handlers.Add(1)
		defer s.handlers.Done()
		s.engine.ServeHTTP(w, r)
		// The rest of a body that no handler wanted is thrown away by net/http, which would wait for it for ever.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(min(headerTime, s.cfg.Limits.StallTime)))
	})
}

// Listen takes the address. Run does so when it was not done before.
func (s *Server) Listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return nil
	}
	if s.cfg.Listener != nil {
		s.listener = s.cfg.Listener
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "listen on %s: %w", s.cfg.Addr, err)
	}
	s.listener = l
	return nil
}

// Addr returns the address that Listen took, or nil before.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}
