package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

func (a *app) auditCommand() *cobra.Command {
	var q api.AuditQuery
	var since string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Who did what",
		Long: `List the audit trail of a server: who applied, imported, replayed, materialized, rolled back, looked by SQL, took
training sets out, or was refused. Each action has a line when it begins and one when it ends. Every process keeps a
trail of its own.`,
		Example: `  lockstep audit
  lockstep audit --action import --since 2026-03-01T00:00:00Z
  lockstep audit --who trainer --limit 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" {
				at, err := feature.ParseTime(since)
				if err != nil {
					return feature.Errorf(feature.CodeInvalid, "--since: %w", err)
				}
				q.Since = at.Std()
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				entries, err := client.Audit(cmd.Context(), q)
				if err != nil {
					return err
				}
				return a.printAudit(entries)
			})
		},
	}
	cmd.Flags().StringVar(&q.Action, "action", "", "of one action: apply, rollback, import, replay, materialize, historical (training sets), sql, ...")
	cmd.Flags().StringVar(&q.Who, "who", "", "of one token, by its name")
	cmd.Flags().StringVar(&since, "since", "", "from this instant on, RFC 3339")
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "the newest so many")
	return cmd
}

func (a *app) printAudit(entries []api.AuditEntry) error {
	if a.cfg.JSON {
		for _, e := range entries {
			if err := a.printJSON(e); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{{"TIME", "WHO", "FROM", "ACTION", "TARGET", "WHAT"}}
	for _, e := range entries {
		what := []string{string(e.Phase)}
		if e.Status != 0 {
			what = append(what, fmt.Sprint(e.Status))
		}
		if e.Code != "" {
			what = append(what, e.Code)
		}
		for _, name := range slices.Sorted(maps.Keys(e.Details)) {
			if v := e.Details[name]; v != "" && v != "false" {
				what = append(what, name+"="+shorten(v))
			}
		}
		rows = append(rows, []string{e.Time.Format(time.RFC3339), e.Who, e.Remote, e.Action, e.Target, strings.Join(what, " ")})
	}
	return a.table(rows)
}
