package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/sdk"
)

func (a *app) sqlCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sql QUERY",
		Short: "A look into the offline store",
		Long:  `Run one query that reads. Event tables are called events_SOURCE.`,
		Example: `  lockstep sql "SELECT count(), max(bought_at) FROM events_purchases"
  lockstep sql "SELECT * FROM generations" --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				t, err := client.SQL(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.printTable(t)
			})
		},
	}
}

func (a *app) printTable(t *sdk.Table) error {
	if a.cfg.JSON {
		for _, r := range t.Rows {
			line := []byte{'{'}
			for i, f := range t.Fields {
				if i > 0 {
					line = append(line, ',')
				}
				line = append(strconv.AppendQuote(line, f.Name), ':')
				line = r.Values()[i].AppendJSON(line)
			}
			if _, err := a.out.Write(append(line, '}', '\n')); err != nil {
				return err
			}
		}
		return nil
	}
	var head []string
	for _, f := range t.Fields {
		head = append(head, f.Name)
	}
	rows := [][]string{head}
	for _, r := range t.Rows {
		var row []string
		for _, v := range r.Values() {
			if v.IsNull() {
				row = append(row, "NULL")
				continue
			}
			row = append(row, v.Text())
		}
		rows = append(rows, row)
	}
	return a.table(rows)
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Positions, lag, freshness, versions, dead letters",
		Example: "  lockstep status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				s, err := client.Status(cmd.Context())
				if err != nil {
					return err
				}
				if a.cfg.JSON {
					return a.printJSON(s)
				}
				return a.printStatus(s)
			})
		},
	}
}

func (a *app) printStatus(s *api.Status) error {
	rows := [][]string{
		{"version", s.Version + ", roles " + strings.Join(s.Roles, " ")},
		{"registry", fmt.Sprintf("revision %d", s.Revision)},
	}
	if s.Log != nil {
		text := fmt.Sprintf("%s, sequences %d to %d, durability %s", s.Log.ID, s.Log.First, s.Log.Last, s.Log.Durability)
		if s.Log.MaxBytes > 0 {
			text += fmt.Sprintf(", %.0f%% full", 100*float64(s.Log.Bytes)/float64(s.Log.MaxBytes))
		}
		rows = append(rows, []string{"log", text})
	}
	if s.Sink != nil {
		rows = append(rows, []string{"clickhouse", fmt.Sprintf("covers sequence %d, %d behind, lag %d ms", s.Sink.Watermark.Seq, s.Sink.Behind, s.Sink.LagMS)})
	}
	if s.Replica != nil {
		rows = append(rows, []string{"replica", fmt.Sprintf("at sequence %d, %d behind, lag %d ms", s.Replica.Position.Seq, s.Replica.Behind, s.Replica.LagMS)})
		for _, v := range s.Replica.Views {
			text := fmt.Sprintf("%d keys", v.Keys)
			if v.Clock != nil && v.Floor != nil {
				text += fmt.Sprintf(", answers from %s to now, newest event %s", v.Floor.Format(time.RFC3339Nano), v.Clock.Format(time.RFC3339Nano))
			}
			if v.StateBytes > 0 {
				text += fmt.Sprintf(", %d bytes of state", v.StateBytes)
			}
			if !v.Ready {
				text += ", loading its history"
			}
			rows = append(rows, []string{"  " + v.View, text})
		}
	}
	for _, c := range s.Copies {
		rows = append(rows, []string{"copy", copyText(c)})
	}
	for _, x := range s.Identity {
		rows = append(rows, []string{"copies of " + x.Source, fmt.Sprintf("%d left out, %d of them differ from their event", x.Duplicates, x.Conflicts)})
	}
	if s.DeadLetters != nil {
		rows = append(rows, []string{"dead letters", strconv.FormatUint(s.DeadLetters.Count, 10)})
	}
	for _, stale := range s.Stale {
		rows = append(rows, []string{"stale", stale})
	}
	return a.table(rows)
}

func copyText(c api.CopyStatus) string {
	text := fmt.Sprintf("%s into source %s", c.From, c.Source)
	if c.Last == nil {
		text += ", never yet"
	} else {
		text += fmt.Sprintf(", last at %s: ", c.Last.Format(time.RFC3339))
		if c.Error != "" {
			text += "failed, " + c.Error
		} else {
			text += fmt.Sprintf("%d events in %d ms", c.Rows, c.TookMS)
		}
		if c.Refused > 0 {
			text += fmt.Sprintf(", %d rows refused", c.Refused)
		}
	}
	if c.Next != nil {
		text += ", next at " + c.Next.Format(time.RFC3339)
	}
	return text
}
