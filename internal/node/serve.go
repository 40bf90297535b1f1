package node

import (
	"context"
	"fmt"

	"github.com/lockstepfs/lockstep/registry"
	"github.com/lockstepfs/lockstep/server"
)

// openServer makes the HTTP server of the parts that this process has, and listens.
func (n *Node) openServer(ctx context.Context) error {
	cfg := server.Config{
		Addr: n.cfg.Listen, Catalog: n.registry.Catalog, Serving: n.Serving, Reader: n, Trainer: trainer{n}, Registry: definitions{n}, Operator: operator{n}, Materializer: materializer{n}, Letters: letters{n}, Eraser: eraser{n},
		Ready: n.readiness, Degraded: n.degraded, Now: n.cfg.Now, Schema: registry.Schema(), AllowSQL: n.cfg.AllowSQL, Version: n.cfg.Version,
		Collectors: n.collectors(), Logger: n.logger, TempDir: n.uploads(),
		Auditor: n.trail, Tokens: n.cfg.Tokens, TLS: n.cfg.TLS, Limits: n.cfg.Limits,
	}
	if n.cfg.AllowSQL {
		cfg.Querier = querier{n}
	}
	if n.cfg.has(Ingest) {
		cfg.Pusher, cfg.Importer = pusher{n}, importer{n}
	}
	if n.online != nil {
		cfg.Lag, cfg.Verifier = n.lag.behind, verifier{n}
	}
	var err error
	if n.server, err = server.New(cfg); err != nil {
		return err
	}
	if err := n.server.Listen(ctx); err != nil {
		return err
	}
	return nil
}

// Announce tells commands on this machine where the process serves. Until then they wait for it.
func (n *Node) Announce() error {
	if err := n.lock.announce(n.URL()); err != nil {
		return fmt.Errorf("write the server's URL into the data folder: %w", err)
	}
	return nil
}
