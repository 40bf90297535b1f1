package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/registry"
	"github.com/lockstepfs/lockstep/sdk"
)

//go:embed starter
var starter embed.FS

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Write a commented starting point that dev runs",
		Long:  `Write definitions of a small shop, a history (CSV), some new events (JSON lines) and a spine (CSV) into DIR. No file that exists is touched.`,
		Example: `  lockstep init shop
  lockstep dev shop`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := args[0]
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("make %s: %w", dir, err)
			}
			entries, err := starter.ReadDir("starter")
			if err != nil {
				return err
			}
			var written []string
			for _, e := range entries {
				b, err := starter.ReadFile("starter/" + e.Name())
				if err != nil {
					return err
				}
				path := filepath.Join(dir, e.Name())
				if err := writeNew(path, b); err != nil {
					return err
				}
				written = append(written, path)
			}
			if a.cfg.JSON {
				return a.printJSON(map[string]any{"files": written})
			}
			fmt.Fprintf(a.out, "wrote %s\nnow run: lockstep dev %s\n", strings.Join(written, ", "), dir)
			return nil
		},
	}
}

func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return feature.Errorf(feature.CodeConflict, "%s exists; nothing was overwritten", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// definitionFiles reads a folder and checks it here, so that errors name the user's own files.
func definitionFiles(dir string) (map[string]string, error) {
	files, err := registry.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if _, err := registry.Parse(files); err != nil {
		return nil, err
	}
	return asText(files), nil
}

func asText(files map[string][]byte) map[string]string {
	out := make(map[string]string, len(files))
	for name, b := range files {
		out[name] = string(b)
	}
	return out
}

func (a *app) planCommand() *cobra.Command {
	var upgrade, remove []string
	cmd := &cobra.Command{
		Use:   "plan DIR",
		Short: "Show the difference between definitions and registry; change nothing",
		Long: `Show what apply would change, and for new and changed views about how much state every replica will need for them,
estimated from a sample of the keys in the history.`,
		Example: `  lockstep plan shop
  lockstep plan shop --upgrade purchase_model`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.define(cmd.Context(), args[0], api.RegistryRequest{Upgrade: upgrade, Delete: remove}, (*sdk.Client).Plan)
		},
	}
	addDefining(cmd, &upgrade, &remove)
	return cmd
}

func (a *app) applyCommand() *cobra.Command {
	var upgrade, remove []string
	var wait, yes bool
	cmd := &cobra.Command{
		Use:   "apply DIR",
		Short: "Make the registry say what the definitions say",
		Long: `Make the registry say what the definitions in DIR say, all at once or not at all. A changed view is a new
version and moves no service: --upgrade SERVICE does. Until the history of a new version is loaded, the version
before answers reads; --wait returns when every replica has it. What is missing from DIR stays registered:
--delete NAME deletes it, and --delete SERVICE@VERSION one version of a service that no model reads any more.
A view whose state, as plan estimates it from the history, is above state_budget is refused unless --yes is given.`,
		Example: `  lockstep apply shop
  lockstep apply shop --upgrade purchase_model --wait
  lockstep apply shop --delete view/old_view --delete purchase_model@1
  lockstep apply shop --yes`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := api.RegistryRequest{Upgrade: upgrade, Delete: remove, Yes: yes}
			if err := a.define(cmd.Context(), args[0], req, (*sdk.Client).Apply); err != nil || !wait {
				return err
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				show, done := a.progress("load")
				defer done()
				_, err := client.Materialize(cmd.Context(), api.MaterializeRequest{WaitOnly: true}, show)
				return err
			})
		},
	}
	addDefining(cmd, &upgrade, &remove)
	cmd.Flags().BoolVar(&yes, "yes", false, "make views that need more state than state_budget allows")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when every replica answers with the new versions")
	return cmd
}

func addDefining(cmd *cobra.Command, upgrade, remove *[]string) {
	cmd.Flags().StringSliceVar(upgrade, "upgrade", nil, "services to move to the newest versions of their views")
	cmd.Flags().StringSliceVar(remove, "delete", nil, "names to delete: NAME, KIND/NAME or SERVICE@VERSION")
}

func (a *app) define(ctx context.Context, dir string, req api.RegistryRequest, do func(*sdk.Client, context.Context, api.RegistryRequest) (json.RawMessage, error)) error {
	files, err := definitionFiles(dir)
	if err != nil {
		return err
	}
	return a.with(ctx, func(client *sdk.Client) error {
		req.Files = files
		raw, err := do(client, ctx, req)
		if err != nil {
			return err
		}
		return a.printPlan(raw)
	})
}

// applyFiles is apply for the folder that dev watches.
func (a *app) applyFiles(ctx context.Context, client *sdk.Client, files map[string][]byte) error {
	if _, err := registry.Parse(files); err != nil {
		return err
	}
	raw, err := client.Apply(ctx, api.RegistryRequest{Files: asText(files)})
	if err != nil {
		return err
	}
	return a.printPlan(raw)
}

func (a *app) printPlan(raw json.RawMessage) error {
	if a.cfg.JSON {
		return a.printJSON(raw)
	}
	var plan registry.Plan
	if err := json.Unmarshal(raw, &plan); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	fmt.Fprintln(a.out, strings.TrimRight(plan.String(), "\n"))
	return nil
}

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List what is registered",
		Example: "  lockstep list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				entries, err := client.Definitions(cmd.Context(), "")
				if err != nil {
					return err
				}
				if a.cfg.JSON {
					return a.printJSON(entries)
				}
				rows := [][]string{{"KIND", "NAME", "VERSION", "DESCRIPTION"}}
				for _, e := range entries {
					rows = append(rows, []string{e.Kind, e.Name, strconv.Itoa(e.Version), e.Description})
				}
				return a.table(rows)
			})
		},
	}
}

func (a *app) describeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME",
		Short: "Show a definition, its versions and what uses it",
		Example: `  lockstep describe purchase_model
  lockstep describe view/last_purchase`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				found, err := client.Definitions(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				d := found[0]
				if a.cfg.JSON {
					return a.printJSON(d)
				}
				var pretty strings.Builder
				fmt.Fprintf(&pretty, "%s %s@%d", d.Kind, d.Name, d.Version)
				if !slices.ContainsFunc(d.Versions, func(v api.DefinitionVersion) bool { return v.Live }) {
					pretty.WriteString(" (deleted)")
				}
				pretty.WriteString("\n")
				if d.Description != "" {
					fmt.Fprintf(&pretty, "%s\n", d.Description)
				}
				if len(d.UsedBy) > 0 {
					fmt.Fprintf(&pretty, "used by: %s\n", strings.Join(d.UsedBy, ", "))
				}
				b, err := json.MarshalIndent(d.Definition, "", "  ")
				if err != nil {
					return err
				}
				fmt.Fprintf(a.out, "%s%s\n", pretty.String(), b)
				return nil
			})
		},
	}
}

func (a *app) versionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "versions NAME",
		Short:   "List the versions of a name",
		Example: "  lockstep versions purchase_model",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				found, err := client.Definitions(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				d := found[0]
				if a.cfg.JSON {
					return a.printJSON(d.Versions)
				}
				rows := [][]string{{"VERSION", "APPLIED", "LIVE", "PINS"}}
				for _, v := range d.Versions {
					rows = append(rows, []string{strconv.Itoa(v.Version), v.Since.Format(time.RFC3339), strconv.FormatBool(v.Live), strings.TrimSpace(pins(v.Views) + " " + pins(v.OnDemand))})
				}
				return a.table(rows)
			})
		},
	}
}

func (a *app) rollbackCommand() *cobra.Command {
	to := 0
	cmd := &cobra.Command{
		Use:   "rollback SERVICE",
		Short: "Make an earlier version of a service its newest again",
		Long: `Make an earlier version of a service its newest again, as a new version with the same list and the same versions
of views: nothing is loaded, because views that a version pins are online. Without --to it is the version before
the newest. No version number ever means two things.`,
		Example: `  lockstep rollback purchase_model
  lockstep rollback purchase_model --to 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			service := args[0]
			if cmd.Flags().Changed("to") {
				service += "@" + strconv.Itoa(to)
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				raw, err := client.Rollback(cmd.Context(), service)
				if err != nil {
					return err
				}
				return a.printPlan(raw)
			})
		},
	}
	cmd.Flags().IntVar(&to, "to", 0, "the version to go back to (default the one before the newest)")
	return cmd
}

// pins writes view versions as view@2, in order of name.
func pins(versions map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		out = append(out, name+"@"+strconv.Itoa(versions[name]))
	}
	return strings.Join(out, " ")
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of definitions, for editors",
		Example: `  lockstep schema > lockstep.schema.json
  # then, as the first line of a definition file:
  # yaml-language-server: $schema=lockstep.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(registry.Schema())
			return err
		},
	}
}
