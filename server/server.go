package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
		access:  newAccess(cfg.Tokens, cfg.loopback()),
		replays: newReplays(cfg.Now),
		openAPI: api.OpenAPI(cfg.Version),
		origins: http.NewCrossOriginProtection(),
	}
	var err error
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
	s.engine.Use(s.observe, s.recoverPanic, s.limit)
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
		s.engine.Handle(r.Method, path, s.authorize(r.Scope), s.checked(r, h))
	}
	return nil
}

// handler answers a request, or returns an error for fail to answer with; nothing was written then.
type handler func(c *gin.Context) error

func (s *Server) routes() map[string]handler {
	return map[string]handler{
		api.PathOnline:          s.online,
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
		api.PathDeadLetters:     s.deadLetters,
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

// Run serves until ctx ends. Then it takes no new connection, lets requests finish for DrainTimeout, cancels
// what is left and returns nil when no handler runs any more. A server runs once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(ctx); err != nil {
		return err
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	web := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1) // so that Serve's goroutine ends when nobody waits any more
	go func() { failed <- web.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	drain, stop := context.WithTimeout(base, s.cfg.DrainTimeout)
	defer stop()
	if err := web.Shutdown(drain); err != nil {
		s.cfg.Logger.Warn("requests were cut off at shutdown", slog.Int64("requests", s.inFlight.Load()))
		cancel()
		if err := web.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			s.cfg.Logger.Debug("close connections", slog.Any("error", err))
		}
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		s.cfg.Logger.Debug("the listener failed while stopping", slog.Any("error", err))
	}
	s.handlers.Wait()
	return nil
}
