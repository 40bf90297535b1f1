// Package node is one running process of Lockstep: it opens the parts that its roles need, connects them, runs
// them and closes them in order. Commands, `dev` and `serve` all run one.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/audit"
	"github.com/lockstepfs/lockstep/internal/chdb"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/gate"
	"github.com/lockstepfs/lockstep/internal/identity"
	"github.com/lockstepfs/lockstep/materialize"
	"github.com/lockstepfs/lockstep/offline"
	"github.com/lockstepfs/lockstep/online"
	"github.com/lockstepfs/lockstep/registry"
	"github.com/lockstepfs/lockstep/server"
)

// Node is a process's parts. Open makes one, Run runs it, Close ends it.
type Node struct {
	cfg     Config
	logger  *slog.Logger
	started time.Time
	lock    *lock

	engine     *chdb.Engine // nil with a ClickHouse URL
	log        *eventlog.Log
	registry   *registry.Registry
	offline    *offline.Store
	covered    Covered
	historyLag *lag              // of what ClickHouse covers
	sink       *materialize.Sink // nil without the role sink
	trimmer    *materialize.Trimmer
	follower   *materialize.Follower
	online     *online.Store // nil without the role serve
	replica    *materialize.Replica
	head       *head
	lag        *lag        // of the replica
	ready      atomic.Bool // the replica had everything once
	serving    serving
	ids        *identity.Index     // nil without the role ingest
	known      *identity.Publisher // brings rows of sources with an id into the log
	gate       *gate.Gate
	importer   *materialize.Importer
	copying    copying
	trail      *audit.Trail
	server     *server.Server

	stopEngine func()
}

// Open claims the data folder and opens every part. The history comes before the log, which has to go on behind it. Whoever gets a Node must call Run or Close.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, logger: cfg.Logger, started: time.Now()}
	for _, open := range []func(context.Context) error{n.claim, n.openEngine, n.openOffline, n.openLog, n.openMovers, n.openCopying, n.openTrail, n.openServer} {
		if err := open(ctx); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

func (n *Node) claim(context.Context) (err error) {
	if n.lock, err = claim(n.cfg.Data); err != nil {
		return err
	}
	// What is in there was being sent when an earlier process was killed.
	if err := os.RemoveAll(n.uploads()); err != nil {
		return fmt.Errorf("remove what was uploaded before: %w", err)
	}
	if err := os.Mkdir(n.uploads(), 0o750); err != nil {
		return fmt.Errorf("make a folder for uploads: %w", err)
	}
	return nil
}

// uploads is the folder of files that clients are sending.
func (n *Node) uploads() string { return filepath.Join(n.cfg.Data, "uploads") }

// openEngine starts the embedded ClickHouse. It runs from here on, because opening the store needs it.
func (n *Node) openEngine(ctx context.Context) error {
	if n.cfg.ClickHouse != "" {
		return nil
	}
	engine, err := chdb.Open(chdb.Config{Dir: filepath.Join(n.cfg.Data, "clickhouse"), Library: n.cfg.Engine, Logger: n.logger})
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- engine.Run(running) }()
	n.stopEngine = func() {
		cancel()
		if err := <-done; err != nil {
			n.logger.Error("the ClickHouse engine stopped", slog.Any("error", err))
		}
	}
	n.engine = engine
	return engine.Ready(ctx)
}

func (n *Node) openLog(ctx context.Context) (err error) {
	reach, err := n.offline.Reach(ctx)
	if err != nil {
		return err
	}
	n.log, err = eventlog.Open(ctx, eventlog.Config{
		URL: n.cfg.NATS, Credentials: n.cfg.NATSCredentials, TLS: n.cfg.ClientTLS, Dir: filepath.Join(n.cfg.Data, "log"), Listen: n.cfg.NATSListen, Durability: n.cfg.Durability, MaxBytes: n.cfg.LogBytes,
		Patience: n.cfg.Patience,
		Covered:  eventlog.Covered{Log: reach.Watermark.Log, Seq: reach.Watermark.Seq, Begun: reach.Begun, At: reach.At}, Logger: n.logger,
	})
	if err != nil {
		return err
	}
	if n.registry, err = registry.Open(ctx, n.log.JetStream(), n.logger); err != nil || !n.writes() {
		return err
	}
	return n.ensure(ctx, n.registry.Catalog())
}

// writes reports whether the process writes into ClickHouse.
func (n *Node) writes() bool { return n.cfg.has(Sink) || n.cfg.has(Ingest) }

func (n *Node) openOffline(ctx context.Context) (err error) {
	cfg := offline.Config{URL: n.cfg.ClickHouse, TLS: n.cfg.ClientTLS, Database: n.cfg.Database, Patience: n.cfg.Patience, Logger: n.logger}
	if n.engine != nil {
		cfg.Dial = n.engine.DialContext
	}
	if n.offline, err = offline.Open(ctx, cfg); err != nil {
		return err
	}
	if !n.writes() {
		return nil
	}
	return n.offline.Migrate(ctx)
}

// ensure makes the event tables of all sources.
func (n *Node) ensure(ctx context.Context, catalog *feature.Catalog) error {
	for _, src := range catalog.Sources {
		if err := n.offline.Ensure(ctx, src); err != nil {
			return fmt.Errorf("make the table of source %s: %w", src.Name, err)
		}
	}
	return nil
}

func (n *Node) openMovers(context.Context) error {
	if n.cfg.has(Sink) {
		n.sink = materialize.NewSink(materialize.SinkConfig{Log: n.log, History: History{n.offline}, Logger: n.logger})
		n.covered = n.sink
		n.trimmer = materialize.NewTrimmer(materialize.TrimmerConfig{Log: n.log, Watermark: n.sink.Watermark, Age: n.cfg.LogAge, Now: n.cfg.Now, Logger: n.logger})
	} else {
		n.follower = materialize.NewFollower(n.offline, n.logger)
		n.covered = n.follower
	}
	n.head = &head{extent: n.log.Extent}
	n.historyLag = n.head.follow(n.covered.Watermark)
	if err := n.openGate(); err != nil {
		return err
	}
	if !n.cfg.has(Serve) {
		return nil
	}
	dir := filepath.Join(n.cfg.Data, "replica")
	open := func() (err error) {
		n.online, err = online.Open(online.Config{Dir: dir, CacheBytes: n.cfg.CacheBytes, Logger: n.logger})
		return err
	}
	if err := n.openCopy(dir, online.ErrDamaged, open); err != nil {
		return err
	}
	n.replica = materialize.NewReplica(materialize.ReplicaConfig{
		Log: n.log, Past: Past{n.offline, n.covered}, Present: n.online, Catalog: n.registry.Catalog, Changed: n.registry.Changed, Logger: n.logger,
	})
	n.lag = n.head.follow(n.online.Position)
	return nil
}

// openCopy opens a folder whose content can be made again. One that is damaged is removed and begins empty.
func (n *Node) openCopy(dir string, damaged error, open func() error) error {
	err := open()
	if !errors.Is(err, damaged) {
		return err
	}
	n.logger.Error("a copy on disk is damaged: it is removed and made again from the log and ClickHouse", slog.String("folder", dir), slog.Any("error", err))
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove a damaged copy: %w", err)
	}
	return open()
}

// openGate opens what takes rows in, and for sources with an id what tells which of them are events.
func (n *Node) openGate() (err error) {
	cfg := gate.Config{Catalog: n.registry.Catalog, Log: n.log, Dead: n.log, Inbox: n.log, Again: n.log, Now: n.cfg.Now, Logger: n.logger}
	if n.cfg.has(Ingest) {
		dir := filepath.Join(n.cfg.Data, "identity")
		open := func() (err error) {
			n.ids, err = identity.Open(identity.Config{Dir: dir, Logger: n.logger})
			return err
		}
		if err := n.openCopy(dir, identity.ErrDamaged, open); err != nil {
			return err
		}
		n.known = identity.NewPublisher(identity.PublisherConfig{
			Index: n.ids, Log: n.log, Past: Past{n.offline, n.covered}, Catalog: n.registry.Catalog, Changed: n.registry.Changed, Logger: n.logger,
		})
		cfg.Identity = n.known
	}
	n.gate = gate.New(cfg)
	return nil
}

func (n *Node) openTrail(context.Context) (err error) {
	n.trail, err = audit.Open(audit.Config{Dir: filepath.Join(n.cfg.Data, "audit")})
	return err
}

// Run runs every part until ctx ends. Then the server drains while the other parts go on, because requests under way
// need them; then those stop, and everything is closed. It returns nil when ctx ended and everything was put down
// well.
func (n *Node) Run(ctx context.Context) error {
	parts, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, running := errgroup.WithContext(parts)
	group.Go(func() error { return n.registry.Run(running) })
	group.Go(func() error { return n.follow(running) })
	group.Go(func() error { return n.head.run(running) })
	group.Go(func() error {
		defer stop()
		serving, drain := context.WithCancel(running)
		defer drain()
		defer context.AfterFunc(ctx, drain)()
		return n.server.Run(serving)
	})
	if n.sink != nil {
		group.Go(func() error { return n.sink.Run(running) })
		group.Go(func() error { return n.trimmer.Run(running) })
		group.Go(func() error { return n.copying.scheduler.Run(running) })
	} else {
		group.Go(func() error { return n.follower.Run(running) })
	}
	if n.cfg.has(Ingest) {
		group.Go(func() error { return n.known.Run(running) })
		group.Go(func() error { return n.gate.Run(running) })
	}
	if n.online != nil {
		group.Go(func() error { return n.online.Run(running) })
		group.Go(func() error { return n.replica.Run(running) })
		group.Go(func() error { return n.copying.board.Report(running, n.standing) })
	}
	err := group.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, n.Close())
}

// follow makes the tables of sources that another process defines.
func (n *Node) follow(ctx context.Context) error {
	if !n.writes() {
		return nil
	}
	for catalog := range n.registry.Updates(ctx) {
		err := n.ensure(ctx, catalog)
		if err == nil || ctx.Err() != nil {
			continue
		}
		n.logger.Warn("event tables could not be made; it is tried again, and the sink waits for them", slog.Any("error", err))
		tick := time.NewTicker(ensureAgain)
		for err != nil && ctx.Err() == nil {
			select {
			case <-tick.C:
				err = n.ensure(ctx, n.registry.Catalog())
			case <-ctx.Done():
			}
		}
		tick.Stop()
	}
	return nil
}

// ensureAgain is how long ClickHouse is left alone after event tables could not be made.
const ensureAgain = 2 * time.Second

// URL returns the base URL at which this machine reaches the server, which listens once Open has returned.
func (n *Node) URL() string {
	addr := n.server.Addr()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}
	}
	if n.cfg.TLS.Cert != "" {
		return "https://" + addr.String()
	}
	return "http://" + addr.String()
}

// Close ends all parts, the last opened first. Run calls it.
func (n *Node) Close() error {
	var errs []error
	if n.online != nil {
		errs = append(errs, n.online.Close())
	}
	if n.ids != nil {
		errs = append(errs, n.ids.Close())
	}
	if n.offline != nil {
		errs = append(errs, n.offline.Close())
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	if n.stopEngine != nil {
		n.stopEngine()
	}
	if n.trail != nil {
		errs = append(errs, n.trail.Close())
	}
	if n.lock != nil {
		n.lock.release()
	}
	return errors.Join(errs...)
}
