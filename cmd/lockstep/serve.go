package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/eventlog"
	"github.com/lockstepfs/lockstep/internal/node"
	"github.com/lockstepfs/lockstep/registry"
	"github.com/lockstepfs/lockstep/sdk"
)

// addServing adds the flags of a process that serves.
func addServing(cmd *cobra.Command) {
	addFlags(cmd.Flags(), "serving")
	cmd.Flags().String("url-file", "", "write the server's URL into this file once it listens and, for dev, has applied DIR")
}

func (a *app) devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Run everything in one process on loopback; apply DIR and watch it",
		Long: `Run the log, the ClickHouse engine, a replica and the HTTP server in one process on loopback, with all data
under --data. With DIR its definitions are applied, and again whenever a file in it changes.`,
		Example: `  lockstep dev
  lockstep dev shop --data shop/.lockstep --nats-listen 127.0.0.1:4222`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.nodeConfig()
			if err != nil {
				return err
			}
			cfg.AllowSQL = true // whoever reaches loopback may read the files anyway
			cfg.Limits.DrainDelay = 0
			dir := ""
			if len(args) == 1 {
				dir = args[0]
			}
			return a.serve(cmd, cfg, dir)
		},
	}
	addServing(cmd)
	return cmd
}

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a deployment's process",
		Long: `Run a process of a deployment. Its roles: serve keeps a replica and answers reads, ingest takes events, sink
carries the log into ClickHouse (one process of a deployment has it). Without --nats and --clickhouse the
log and ClickHouse run in this process.`,
		Example: `  lockstep serve --nats nats://127.0.0.1:4222 --clickhouse http://127.0.0.1:8123
  LOCKSTEP_NATS=nats://nats:4222 lockstep serve --roles serve --listen 0.0.0.0:7600 --tokens trainer=$HASH:read`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.nodeConfig()
			if err != nil {
				return err
			}
			return a.serve(cmd, cfg, "")
		},
	}
	addServing(cmd)
	addFlags(cmd.Flags(), "serve")
	return cmd
}

func (a *app) logger() *slog.Logger {
	options := &slog.HandlerOptions{Level: a.cfg.level}
	if a.cfg.JSON {
		return slog.New(slog.NewJSONHandler(a.err, options))
	}
	return slog.New(slog.NewTextHandler(a.err, options))
}

func (a *app) nodeConfig() (node.Config, error) {
	cfg := node.Config{
		Data: a.cfg.Data, Listen: a.cfg.Listen, NATS: a.cfg.NATS, NATSListen: a.cfg.NATSListen,
		LogBytes: a.cfg.LogBytes, ClickHouse: a.cfg.ClickHouse, Database: a.cfg.Database, Engine: a.cfg.Engine,
		CacheBytes: a.cfg.CacheBytes, StateBudget: a.cfg.StateBudget, AllowSQL: a.cfg.AllowSQL, Version: version, Logger: a.logger(),
		TLS: a.cfg.TLS, NATSCredentials: a.cfg.NATSCredentials, Limits: a.cfg.Limits,
	}
	var err error
	if cfg.Tokens, err = parseTokens(a.cfg.Tokens); err != nil {
		return node.Config{}, err
	}
	if cfg.ClientTLS, err = a.cfg.clientTLS(); err != nil {
		return node.Config{}, err
	}
	switch d := eventlog.Durability(a.cfg.Durability); d {
	case "", eventlog.Fsync, eventlog.OS:
		cfg.Durability = d
	default:
		return node.Config{}, feature.Errorf(feature.CodeInvalid, "durability %q: expected fsync or os", d)
	}
	if a.cfg.LogAge != "" {
		age, err := feature.ParseSpan(a.cfg.LogAge)
		if err != nil {
			return node.Config{}, feature.Errorf(feature.CodeInvalid, "log-age: %w", err)
		}
		cfg.LogAge = time.Duration(age) * time.Microsecond
	}
	for _, r := range a.cfg.Roles {
		cfg.Roles = append(cfg.Roles, node.Role(strings.TrimSpace(r)))
	}
	return cfg, nil
}

// serve runs a node until the command is interrupted.
func (a *app) serve(cmd *cobra.Command, cfg node.Config, dir string) error {
	if dir != "" {
		if _, err := registry.ParseDir(dir); err != nil {
			return err
		}
	}
	n, err := node.Open(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "lockstep %s serves on %s, data in %s\n", version, n.URL(), cfg.Data)
	up := func() error {
		path, err := cmd.Flags().GetString("url-file")
		if err == nil && path != "" {
			err = os.WriteFile(path, []byte(n.URL()+"\n"), 0o644)
		}
		return errors.Join(err, n.Announce())
	}
	group, ctx := errgroup.WithContext(cmd.Context())
	group.Go(func() error { return n.Run(ctx) })
	group.Go(func() error {
		if dir == "" {
			return up()
		}
		return a.watch(ctx, dir, n.URL(), up)
	})
	return group.Wait()
}

// watch applies the definitions of dir, calls up, and applies them again whenever they change. What is wrong in
// them is said and does not end the process.
func (a *app) watch(ctx context.Context, dir, url string, up func() error) error {
	client, err := a.open(url)
	if err != nil {
		return err
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	applied := a.applyChanged(ctx, client, dir, nil)
	if err := up(); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		applied = a.applyChanged(ctx, client, dir, applied)
	}
}

// applyChanged applies the files of dir unless they are those that were applied before, and returns them.
func (a *app) applyChanged(ctx context.Context, client *sdk.Client, dir string, before map[string][]byte) map[string][]byte {
	files, err := registry.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return before // between two names, as some editors save
	}
	if err == nil {
		if maps.EqualFunc(files, before, func(x, y []byte) bool { return string(x) == string(y) }) {
			return before
		}
		err = a.applyFiles(ctx, client, files)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(a.err, "%v\n", err)
	}
	return files
}

// connect returns a client of the server that the settings name, of the one that runs on the data folder, or of
// one that it starts there and that done stops.
func (a *app) connect(ctx context.Context) (client *sdk.Client, done func() error, err error) {
	nothing := func() error { return nil }
	if a.cfg.Server != "" {
		client, err = a.open(a.cfg.Server)
		return client, nothing, err
	}
	url, running, err := a.awaitRunning(ctx)
	if err != nil {
		return nil, nil, err
	}
	if running {
		client, err = a.open(url)
		return client, nothing, err
	}
	cfg, err := a.nodeConfig()
	if err != nil {
		return nil, nil, err
	}
	cfg.Listen, cfg.AllowSQL, cfg.Roles = "127.0.0.1:0", true, nil
	cfg.Tokens, cfg.TLS, cfg.Limits.DrainDelay = nil, node.TLS{}, 0 // it is this command's alone
	if _, err := os.Stat(cfg.Data); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, feature.Errorf(feature.CodeUnavailable, "no server is named (--server), none runs on %s and there is no data: start one with lockstep dev, or name another folder with --data", filepath.Clean(cfg.Data))
	}
	fmt.Fprintf(a.err, "no server runs on %s: starting one for this command\n", cfg.Data)
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	done = func() error { stop(); return <-ended }
	client, err = sdk.Open(n.URL(), sdk.Config{})
	if err == nil {
		err = untilReady(ctx, client)
	}
	if err == nil {
		err = n.Announce()
	}
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return client, done, nil
}

// untilReady waits until a server that was just started answers reads, up to half a minute.
func untilReady(ctx context.Context, client *sdk.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := client.Ready(ctx)
		if err == nil || !errors.Is(err, feature.ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// awaitRunning returns the URL of the process that holds the data folder, waiting while it starts.
func (a *app) awaitRunning(ctx context.Context) (string, bool, error) {
	for range 100 {
		url, running, err := node.Running(a.cfg.Data)
		if err != nil || !running || url != "" {
			return url, running, err
		}
		select {
		case <-ctx.Done():
			return "", false, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return "", false, feature.Errorf(feature.CodeUnavailable, "the process that holds %s does not come up", a.cfg.Data)
}

// with runs fn with a client and stops what connect started.
func (a *app) with(ctx context.Context, fn func(client *sdk.Client) error) error {
	client, done, err := a.connect(ctx)
	if err != nil {
		return err
	}
	return errors.Join(fn(client), done())
}
