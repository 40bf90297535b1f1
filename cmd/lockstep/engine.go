package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chdb"
)

func (a *app) engineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "engine",
		Short:   "The embedded ClickHouse engine",
		Example: "  lockstep engine install\n  lockstep engine serve --listen 127.0.0.1:8123",
	}
	cmd.AddCommand(a.engineInstallCommand(), a.engineServeCommand())
	return cmd
}

func (a *app) engineInstallCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "install",
		Short:   "Fetch the ClickHouse engine (libchdb) with npm, once",
		Long:    `Fetch libchdb, the ClickHouse engine as a library, from the npm registry into the cache folder. What is there already is not fetched again.`,
		Example: "  lockstep engine install",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := chdb.CacheDir()
			if err != nil {
				return err
			}
			progress := a.err
			if a.cfg.JSON {
				progress = io.Discard
			}
			path, err := chdb.Install(cmd.Context(), dir, progress)
			if err != nil {
				return err
			}
			if a.cfg.JSON {
				return a.printJSON(map[string]string{"library": path})
			}
			return a.line("the engine is at %s", path)
		},
	}
}

func (a *app) engineServeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the embedded engine alone, as a ClickHouse server's HTTP port",
		Long: `Run the engine on the clickhouse folder of --data and let ClickHouse clients on this machine reach it over HTTP: to
look at the data of a dev that is stopped, or in place of a ClickHouse server when a deployment is tried out.
It asks nobody who they are, so it listens on loopback only.`,
		Example: `  lockstep engine serve --listen 127.0.0.1:8123 --data shop/.lockstep
  curl http://127.0.0.1:8123 --data-binary "SELECT count() FROM lockstep.events_purchases"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serveEngine(cmd) },
	}
	f := cmd.Flags()
	f.String("listen", "127.0.0.1:8123", "loopback address; port 0 takes a free one")
	f.String("engine", "", "path of libchdb.so (default: where engine install puts it)")
	f.String("url-file", "", "write the engine's URL into this file once it answers")
	return cmd
}

// serveEngine runs the engine and relays connections to it until the command is interrupted.
func (a *app) serveEngine(cmd *cobra.Command) error {
	address, err := cmd.Flags().GetString("listen") // the setting of this name is the address of servers
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return feature.Errorf(feature.CodeInvalid, "listen %q: expected an address on loopback, such as 127.0.0.1:8123", address)
	}
	engine, err := chdb.Open(chdb.Config{Dir: filepath.Join(a.cfg.Data, "clickhouse"), Library: a.cfg.Engine, Logger: a.logger()})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", address)
	if err != nil {
		return feature.Errorf(feature.CodeUnavailable, "listen on %s: %w", address, err)
	}
	group, ctx := errgroup.WithContext(cmd.Context())
	// The engine outlives the listener, so that statements under way end well.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return engine.Run(running) })
	group.Go(func() error {
		defer stop()
		if err := engine.Ready(ctx); err != nil {
			listener.Close()
			return err
		}
		if err := a.announce(cmd, "http://"+listener.Addr().String()); err != nil {
			listener.Close()
			return err
		}
		return engine.Serve(ctx, listener)
	})
	return group.Wait()
}

// announce tells where the engine answers.
func (a *app) announce(cmd *cobra.Command, url string) error {
	fmt.Fprintf(a.err, "the ClickHouse engine answers on %s, data in %s\n", url, filepath.Join(a.cfg.Data, "clickhouse"))
	path, err := cmd.Flags().GetString("url-file")
	if err != nil || path == "" {
		return err
	}
	return os.WriteFile(path, []byte(url+"\n"), 0o644)
}
