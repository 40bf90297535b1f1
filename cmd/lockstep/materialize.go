package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/sdk"
)

func (a *app) materializeCommand() *cobra.Command {
	var full, dry bool
	cmd := &cobra.Command{
		Use:   "materialize [VIEW or SOURCE...]",
		Short: "Copy what is new in tables that others keep, and bring all that ClickHouse has to the replicas",
		Long: `Copy what is new in the tables that sources come from (from), and return when every replica has everything:
the log up to now, and every import and copy that the log names. Names choose views, with the sources that they
are on, or sources, with the views on them; all if there are none. What is missing is loaded; --full looks at every
row of the tables, wherever their cursors are, and loads the history of the views anew. A copy that was interrupted is finished or taken back by the next one.`,
		Example: `  lockstep materialize
  lockstep materialize orders --dry-run
  lockstep materialize last_purchase --full`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				show, done := a.progress("materialize")
				r, err := client.Materialize(cmd.Context(), api.MaterializeRequest{Views: args, Full: full, DryRun: dry}, show)
				done()
				if err != nil {
					return err
				}
				if a.cfg.JSON {
					return a.printJSON(r)
				}
				return errors.Join(a.printCopies(r.Copies, dry), a.printViews(r, dry))
			})
		},
	}
	cmd.Flags().BoolVar(&full, "full", false, "look at all rows and load the history anew, instead of what is missing")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be done")
	return cmd
}

// printCopies says what was copied, and shows rows that were refused.
func (a *app) printCopies(copies []api.CopiedSource, dry bool) error {
	verb := "copied"
	if dry {
		verb = "would copy"
	}
	for _, c := range copies {
		text := fmt.Sprintf("source %s: %s %d events", c.Source, verb, c.Rows)
		if c.First != nil && c.Last != nil {
			text += fmt.Sprintf(" of %s to %s", c.First.Format(time.RFC3339Nano), c.Last.Format(time.RFC3339Nano))
		}
		text += fmt.Sprintf("; of %d rows %d were known", c.Read, c.Duplicates)
		if c.Conflicts > 0 {
			text += fmt.Sprintf(" (%d differ)", c.Conflicts)
		}
		if c.Refused > 0 {
			text += fmt.Sprintf(", %d refused", c.Refused)
		}
		if err := a.line("%s", text); err != nil {
			return err
		}
		for _, e := range c.Examples {
			if err := a.line("  refused: %s: %s: %s", e.Field, e.Reason, shorten(e.Raw)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) printViews(r *api.MaterializeResult, dry bool) error {
	rows := [][]string{{"VIEW", "KEYS", "NOTE"}}
	for _, v := range r.Views {
		rows = append(rows, []string{v.View, strconv.FormatInt(v.Keys, 10), v.Note})
	}
	if err := a.table(rows); err != nil || dry {
		return err
	}
	switch r.Replicas {
	case 0:
		return a.line("the log is at sequence %d; no replica is running", r.Seq)
	case 1:
		return a.line("the replica is at sequence %d", r.Seq)
	default:
		return a.line("%d replicas are at sequence %d", r.Replicas, r.Seq)
	}
}
