package eventlog

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/breaker"
)

// Log is the ordered log of events. Its methods are safe for concurrent use. Close it.
type Log struct {
	cfg     Config
	server  *embedded // nil when the servers are elsewhere
	conn    *nats.Conn
	js      jetstream.JetStream
	id      string            // of LOCKSTEP_LOG
	before  string            // the identity that it had before, if it lost its end
	ids     map[string]string // of all streams, by name
	limit   int               // bytes of a row group of more than one row
	single  *queue            // calls whose rows go into one message
	several *queue            // calls whose rows take several, all or none, and those of the inbox
	name    string            // begins the ids of this Log's messages
	next    atomic.Uint64     // number of the next message
	seen    atomic.Uint64     // a sequence that the log has reached, as an acknowledgement or entry said
	looked  atomic.Uint64     // how often the connection had come back when the log was last looked at
	tries   tries
	breaker *breaker.Breaker
	cancel  context.CancelFunc
	done    chan struct{} // closed when the committers have ended
}

// Open opens the log, and makes it if there is none: by a server in this process or at cfg.URL. It fails with
// feature.CodeConflict if another process has the folder, with feature.CodeUnavailable if the servers cannot be
// reached, and with feature.CodeInvalid if the streams there do not keep what the log promises. The caller must
// call Close.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, name: rand.Text()[:13], done: make(chan struct{})}
	l.breaker = breaker.New(breaker.Config{
		Name: "the log", Logger: cfg.Logger,
		Failures: 1,                      // which is that of all tries within Patience
		Pause:    250 * time.Millisecond, // without a connection a probe fails at once
		Probe: func(ctx context.Context) error {
			_, _, err := l.Bounds(ctx)
			return err
		},
	})
	if err := l.open(ctx); err != nil {
		l.disconnect()
		return nil, err
	}
	r := newRoom(cfg.QueueBytes)
	l.limit = min(groupBytes, l.rowLimit())
	l.single, l.several = newQueue(r, l.limit), newQueue(r, l.limit)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	go func() {
		defer close(l.done)
		var lanes sync.WaitGroup
		lanes.Go(func() { l.commitSingle(run) })
		lanes.Go(func() { l.commitSeveral(run) })
		lanes.Wait()
	}()
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := l.connect(); err != nil {
		return err
	}
	var err error
	if l.js, err = jetstream.New(l.conn, jetstream.WithDefaultTimeout(attempt)); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	if err := l.checkServer(ctx); err != nil {
		return err
	}
	log, err := l.ensure(ctx, l.logStream())
	if err != nil {
		return err
	}
	dead, err := l.ensure(ctx, l.deadStream())
	if err != nil {
		return err
	}
	inbox, err := l.ensure(ctx, l.inboxStream())
	if err != nil {
		return err
	}
	l.id, l.before = log[idKey], log[beforeKey]
	l.ids = map[string]string{logName: l.id, deadName: dead[idKey], inboxName: inbox[idKey]}
	_, last, err := l.Bounds(ctx)
	l.seen.Store(last)
	return err
}

func (l *Log) connect() error {
	opts := []nats.Option{
		nats.Name("lockstep"), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond),
		// A publish that finds no connection fails at once and is tried again by us, who know whether it may be.
		nats.ReconnectBufSize(-1), nats.Timeout(attempt),
		nats.PingInterval(attempt), // a server that is gone without a word is given up after the third ping, not after six minutes
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			l.tries.end()
			if err != nil {
				l.cfg.Logger.Warn("connection to nats lost", slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { l.cfg.Logger.Info("connection to nats is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.cfg.Logger.Warn("nats client", slog.Any("error", err))
		}),
	}
	servers := l.cfg.URL
	if servers == "" {
		s, err := startServer(l.cfg)
		if err != nil {
			return err
		}
		l.server = s
		opts = append(opts, nats.InProcessServer(s))
	}
	if l.cfg.Credentials != "" {
		opts = append(opts, nats.UserCredentials(l.cfg.Credentials))
	}
	if l.cfg.TLS != nil {
		opts = append(opts, func(o *nats.Options) error { o.TLSConfig = l.cfg.TLS; return nil })
	}
	conn, err := nats.Connect(servers, opts...)
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "connect to NATS at %s: %w", l.where(), err)
	}
	l.conn = conn
	return nil
}

// where names the servers for people, without passwords.
func (l *Log) where() string {
	if l.cfg.URL == "" {
		return l.cfg.Dir
	}
	var urls []string
	for s := range strings.SplitSeq(l.cfg.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(s)); err == nil {
			s = u.Redacted()
		}
		urls = append(urls, s)
	}
	return strings.Join(urls, ",")
}

// Close ends the log: publishes that wait are finished first, later ones fail. An embedded server is stopped.
func (l *Log) Close() error {
	if !l.single.close() || !l.several.close() {
		return nil
	}
	patience := time.AfterFunc(attempt, l.cancel)
	<-l.done
	patience.Stop()
	l.cancel()
	l.disconnect()
	return nil
}

func (l *Log) disconnect() {
	if l.conn != nil {
		l.conn.Close()
	}
	if l.server != nil {
		l.server.stop()
	}
}

// Failure returns why publishes fail at once, or nil while they are made.
func (l *Log) Failure() error {
	if err := l.breaker.Failure(); err != nil {
		return away(err)
	}
	return nil
}

// ID returns the identity of the log, made when its stream was. Sequences of logs with different IDs do not
// compare.
func (l *Log) ID() string { return l.id }

// Before returns the identity that the log had until it lost its end, "" if it never did: it holds entries of that one too.
func (l *Log) Before() string { return l.before }

// JetStream returns the JetStream that keeps the log, for what others keep there. It is open as long as l is.
func (l *Log) JetStream() jetstream.JetStream { return l.js }

// Durability returns what an acknowledgement means. Of servers elsewhere it is what was configured, which no
// client can check.
func (l *Log) Durability() Durability { return l.cfg.Durability }

// ClientURL returns the URL at which other NATS clients reach the servers, "" if there is none.
func (l *Log) ClientURL() string {
	switch {
	case l.cfg.URL != "":
		return l.cfg.URL
	case l.cfg.Listen != "":
		return l.server.clientURL()
	default:
		return ""
	}
}
