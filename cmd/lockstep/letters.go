package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/sdk"
)

func (a *app) deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "What the gate refused",
		Long: `Rows that came where good rows are taken and bad ones put aside: from NATS, or by push --partial. Mend the
definitions, then replay them.`,
		Example: "  lockstep deadletters list --source purchases",
	}
	cmd.AddCommand(a.letterListCommand(), a.letterShowCommand(), a.letterReplayCommand())
	return cmd
}

// letterFlags are the flags that select dead letters.
type letterFlags struct{ source, reason, since, until string }

func (f *letterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.source, "source", "", "of one source")
	cmd.Flags().StringVar(&f.reason, "reason", "", "whose reason has this in it")
	cmd.Flags().StringVar(&f.since, "since", "", "refused at this time or later")
	cmd.Flags().StringVar(&f.until, "until", "", "refused before this time")
}

func (a *app) letterListCommand() *cobra.Command {
	var flags letterFlags
	var q api.DeadLetterQuery
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List refused rows with their reasons, oldest first",
		Example: `  lockstep deadletters list
  lockstep deadletters list --source purchases --after 120 --limit 50
  lockstep deadletters list --reason "no such column" --since 2026-03-01T00:00:00Z`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.Source, q.Reason = flags.source, flags.reason
			for flag, at := range map[string]struct {
				text string
				to   *time.Time
			}{"since": {flags.since, &q.Since}, "until": {flags.until, &q.Until}} {
				if at.text == "" {
					continue
				}
				t, err := feature.ParseTime(at.text)
				if err != nil {
					return fmt.Errorf("--%s: %w", flag, err)
				}
				*at.to = t.Std()
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				r, err := client.DeadLetters(cmd.Context(), q)
				if err != nil {
					return err
				}
				if a.cfg.JSON {
					return a.printJSON(r)
				}
				if err := a.printLetters(r.Letters); err != nil || r.Next == 0 {
					return err
				}
				return a.line("more: --after %d", r.Next)
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().Uint64Var(&q.After, "after", 0, "those after this one")
	cmd.Flags().IntVar(&q.Limit, "limit", 0, "at most so many (default: the server's)")
	return cmd
}

func (a *app) printLetters(letters []api.DeadLetter) error {
	rows := [][]string{{"SEQ", "TIME", "SOURCE", "REASON", "ROW"}}
	for _, l := range letters {
		rows = append(rows, []string{strconv.FormatUint(l.Seq, 10), l.Time.Format(time.RFC3339), l.Source, whole(l), shorten(l.Raw)})
	}
	return a.table(rows)
}

// whole is all that is known of why a row was refused.
func whole(l api.DeadLetter) string {
	d := feature.Detail{Field: l.Field, Message: l.Reason}
	return d.String()
}

func shorten(s string) string {
	if len(s) > 120 {
		return s[:117] + "..."
	}
	return s
}

func (a *app) letterShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show SEQ",
		Short:   "Show a refused row as it came, and why it was refused",
		Example: "  lockstep deadletters show 17",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seqs, err := sequences(args)
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				l, err := client.DeadLetter(cmd.Context(), seqs[0])
				if err != nil {
					return err
				}
				if a.cfg.JSON {
					return a.printJSON(l)
				}
				rows := [][]string{{"seq", strconv.FormatUint(l.Seq, 10)}, {"refused", l.Time.Format(time.RFC3339Nano)}, {"source", l.Source}, {"reason", whole(*l)}}
				return errors.Join(a.table(rows), a.line("%s", l.Raw))
			})
		},
	}
}

func sequences(args []string) ([]uint64, error) {
	var out []uint64
	for _, arg := range args {
		seq, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: expected the SEQ of a dead letter, a whole number", arg)
		}
		out = append(out, seq)
	}
	return out, nil
}

func (a *app) letterReplayCommand() *cobra.Command {
	var flags letterFlags
	var dry bool
	cmd := &cobra.Command{
		Use:   "replay [SEQ...]",
		Short: "Let refused rows come to the gate again",
		Long: `Let refused rows, some or all, come to the gate again, after a definition was mended. Rows that are taken now are
no dead letters any more; the others stay, with the reason of today. It may be repeated, also after it was cut off: a row
is taken once. Rows count as having arrived now.`,
		Example: `  lockstep deadletters replay --source purchases --dry-run
  lockstep deadletters replay --source purchases --reason "no such column"
  lockstep deadletters replay 17 18`,
		RunE: func(cmd *cobra.Command, args []string) error {
			seqs, err := sequences(args)
			if err != nil {
				return err
			}
			req := api.ReplayRequest{Letters: seqs, Source: flags.source, Reason: flags.reason, Since: flags.since, Until: flags.until, DryRun: dry}
			return a.with(cmd.Context(), func(client *sdk.Client) error { return a.replay(cmd, client, req) })
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would become of them")
	return cmd
}

func (a *app) replay(cmd *cobra.Command, client *sdk.Client, req api.ReplayRequest) error {
	show, done := a.progress("replay")
	r, err := client.ReplayDeadLetters(cmd.Context(), req, show)
	done()
	if err != nil {
		return err
	}
	if a.cfg.JSON {
		return a.printJSON(r)
	}
	text := fmt.Sprintf("%d taken, %d refused again", r.Taken, r.Refused)
	if req.DryRun {
		text = fmt.Sprintf("%d would be taken, %d refused again", r.Taken, r.Refused)
	}
	if r.Known > 0 {
		text += fmt.Sprintf("; %d were in the log already", r.Known)
	}
	if err := a.line("%s", text); err != nil || r.Refused == 0 {
		return err
	}
	return a.printLetters(r.Letters)
}
