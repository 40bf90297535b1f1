// Command lockstep is the feature store: one binary that serves, and whose other commands are clients of a
// server.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/chdb"
)

// version is set by the linker.
var version = "dev"

func main() {
	chdb.ChildMain() // the ClickHouse engine runs as a child process of the same binary
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errSilent ends a command with exit code 1 when it has already said why.
var errSilent = errors.New("the command said why")

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
		return 1
	case ctx.Err() != nil:
		fmt.Fprintln(errOut, "lockstep: interrupted")
		return 130
	}
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		err = fmt.Errorf("--%s: cannot take %q: expected %s", e.GetFlag().Name, e.GetValue(), e.GetFlag().Value.Type())
	}
	if _, ours := errors.AsType[*feature.Error](err); !ours && !a.began {
		err = feature.Errorf(feature.CodeInvalid, "%w\nusage: %s", err, cmd.UseLine())
	}
	if a.cfg != nil && a.cfg.JSON || a.cfg == nil && slices.Contains(args, "--json") {
		body := struct {
			Error *feature.Error `json:"error"`
		}{asError(err)}
		_ = json.NewEncoder(errOut).Encode(body) // nothing is left to report a failure to
	} else {
		fmt.Fprintf(errOut, "lockstep: %v\n", err)
	}
	return 1
}

// asError returns err as an error body has it. A file that cannot be read or written is the caller's to mend.
func asError(err error) *feature.Error {
	if e, ok := errors.AsType[*feature.Error](err); ok {
		return e
	}
	code := feature.CodeOf(err)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		code = feature.CodeInvalid
	}
	return feature.Errorf(code, "%w", err)
}

// app is what the commands share.
type app struct {
	in       io.Reader
	out, err io.Writer
	cfg      *config
	began    bool // the command runs: its flags and arguments are in order
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "lockstep",
		Short: "A feature store: one definition, the same value in training and in production",
		Long: `Lockstep is a feature store. Features are defined once; ClickHouse keeps their history and makes training
sets, a replica in every server answers live reads, and verify shows that both agree.

Every command is a client of a server: the one that --server names, or the one that runs on --data, or, if
there is none, one that the command starts on --data for itself.

Settings come from flags, from LOCKSTEP_* variables (LOCKSTEP_SERVER, LOCKSTEP_DATA, ...) and from
lockstep.yaml, in this order; docs/configuration.md lists all.`,
		Example: `  lockstep init shop && lockstep dev shop
  lockstep import purchases purchases.csv
  lockstep get purchase_model customer=7`,
		SilenceUsage: true, SilenceErrors: true, Version: version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) (err error) {
			path, err := cmd.Flags().GetString("config")
			if err != nil {
				return err
			}
			a.cfg, err = loadConfig(path, cmd.Flags())
			return err
		},
	}
	flags := root.PersistentFlags()
	flags.String("config", "", "configuration file (default lockstep.yaml, if there is one)")
	addFlags(flags, "all")
	root.AddCommand(
		a.initCommand(), a.devCommand(), a.serveCommand(), a.planCommand(), a.applyCommand(),
		a.listCommand(), a.describeCommand(), a.versionsCommand(), a.rollbackCommand(), a.importCommand(), a.pushCommand(), a.materializeCommand(),
		a.trainCommand(), a.getCommand(), a.verifyCommand(), a.deadLettersCommand(), a.eraseCommand(), a.sqlCommand(), a.statusCommand(),
		a.engineCommand(), a.schemaCommand(), a.tokenCommand(), a.auditCommand(),
	)
	a.prepare(root)
	return root
}

// prepare makes the commands below cmd note that they began, and those that only group others refuse what is not
// one of them.
func (a *app) prepare(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		if run := sub.RunE; run != nil {
			sub.RunE = func(cmd *cobra.Command, args []string) error {
				a.began = true
				return run(cmd, args)
			}
		} else {
			sub.Args, sub.RunE = cobra.NoArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
		a.prepare(sub)
	}
}
