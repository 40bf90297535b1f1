package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/sdk"
)

func (a *app) eraseCommand() *cobra.Command {
	var dry bool
	cmd := &cobra.Command{
		Use:   "erase ENTITY key=value...",
		Short: "Take a key of an entity out of existence: history, replicas, log and dead letters",
		Long: `Delete every event in which a view on the entity finds the key, from ClickHouse, replicas, the log and the dead letters,
and return when it is gone. There is no way back; --dry-run counts first. Events that come later count: the key is then
as new. A composite key needs all its parts. Whoever erases many keys sends them at once to POST /v1/erase.`,
		Example: `  lockstep erase customer customer=7 --dry-run
  lockstep erase customer customer=7`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys := map[string]any{}
			for _, arg := range args[1:] {
				name, value, ok := strings.Cut(arg, "=")
				if !ok || name == "" {
					return fmt.Errorf("%q: expected key=value", arg)
				}
				if keys[name] != nil {
					return fmt.Errorf("%s is given twice", name)
				}
				keys[name] = []any{value}
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				show, done := a.progress("erase")
				r, err := client.Erase(cmd.Context(), api.EraseRequest{Entity: args[0], Keys: keys, DryRun: dry}, show)
				done()
				if err != nil {
					return err
				}
				if a.cfg.JSON {
					return a.printJSON(r)
				}
				return a.printErased(r)
			})
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only count what would be erased")
	return cmd
}

func (a *app) printErased(r *api.EraseResult) error {
	verb := "erased"
	if r.Seq == 0 {
		verb = "would be erased"
	}
	var rows [][]string
	for _, s := range r.Sources {
		rows = append(rows, []string{"source " + s.Source, fmt.Sprintf("%d events, by %s, %s", s.Rows, strings.Join(s.Columns, ", "), verb)})
	}
	rows = append(rows, []string{"dead letters", strconv.Itoa(r.DeadLetters) + " " + verb})
	if r.Seq > 0 {
		rows = append(rows, []string{"log", fmt.Sprintf("%d entries %s; events from %d on count", r.LogEntries, verb, r.Seq)})
	}
	for _, v := range r.Rebuilt {
		rows = append(rows, []string{"view " + v, "lost events of other keys too: replicas load it anew"})
	}
	for _, l := range r.Left {
		rows = append(rows, []string{"not erased", l})
	}
	return a.table(rows)
}
