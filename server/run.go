package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Run serves until ctx ends. Then readyz says 503 while requests are still taken for DrainDelay; then no new
// connection is taken, requests under way may go on for DrainTime, and what is left is cancelled. Run returns nil
// when no handler runs any more. A server runs once.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(ctx); err != nil {
		return err
	}
	if !s.cfg.loopback() && s.certs == nil {
		s.cfg.Logger.Warn("tokens and data travel in clear text: configure tls, or let something before this server speak it", slog.String("listen", s.cfg.place()))
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	web := s.web(base)
	failed := make(chan error, 1) // so that Serve's goroutine ends when nobody waits any more
	go func() { failed <- web.Serve(s.limited(s.listener)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	web.SetKeepAlivesEnabled(false) // whoever asks now is told to connect elsewhere
	select {
	case <-time.After(s.cfg.Limits.DrainDelay):
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	}
	drain, stop := context.WithTimeout(base, s.cfg.Limits.DrainTime)
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

// web is the server of net/http. It speaks HTTP/1.1 only: there a connection is one request, so that what bounds
// connections and requests bounds everything.
func (s *Server) web(base context.Context) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           s.Handler(),
		Protocols:         protocols,
		ReadHeaderTimeout: headerTime,
		WriteTimeout:      openTime + s.cfg.Limits.StallTime, // of requests that are not admitted; the others set theirs
		IdleTimeout:       s.cfg.Limits.StallTime,
		MaxHeaderBytes:    headerBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

// limited takes so many connections at a time, and speaks TLS if it is to.
func (s *Server) limited(l net.Listener) net.Listener {
	l = netutil.LimitListener(l, s.cfg.Limits.Connections)
	if s.certs != nil {
		l = tls.NewListener(l, s.certs.config())
	}
	return l
}
