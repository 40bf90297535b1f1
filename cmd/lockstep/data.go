package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/sdk"
)

func (a *app) importCommand() *cobra.Command {
	var format string
	var replace bool
	cmd := &cobra.Command{
		Use:   "import SOURCE FILE...",
		Short: "Take Parquet, CSV, JSON lines or Arrow files into the history of a source",
		Long: `Take files into the history of a source, each whole or not at all, in bounded memory. A file of the same
content is imported once, however often it is named; an import that was cut off is gone on with when the file
is imported again. Rows that are wrong are named, and then nothing of the file is taken. Training sets have it
at once, live reads when their replicas have loaded it: lockstep materialize returns when all have.

With --replace the first file takes the place of everything that was imported before, and the others are added to
it. Views on the source become new versions that see what is imported from then on, and all that was pushed.
Services stay on what they see until they are moved with apply --upgrade.`,
		Example: `  lockstep import purchases purchases.csv
  lockstep import purchases 2025-*.parquet
  lockstep import purchases corrected.parquet --replace`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				for i, path := range args[1:] {
					req := sdk.ImportRequest{Source: args[0], Format: format, Replace: replace && i == 0}
					if err := a.importFile(cmd.Context(), client, req, path); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "parquet, csv, jsonl or arrow (default: by the file's name)")
	cmd.Flags().BoolVar(&replace, "replace", false, "take the place of everything that was imported into the source before")
	return cmd
}

// formatOf returns the format named, or that of the file's name.
func formatOf(name, format string) (string, error) {
	if format != "" {
		f, err := rowfile.ParseFormat(format)
		return string(f), err
	}
	f, err := rowfile.FormatOf(name)
	return string(f), err
}

// openFile opens a file to read; a folder is refused here, because reading it fails far from who knows its name.
func openFile(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, feature.Errorf(feature.CodeInvalid, "%s is a folder: expected a file", path)
	}
	return os.Open(path)
}

func (a *app) importFile(ctx context.Context, client *sdk.Client, req sdk.ImportRequest, path string) (err error) {
	if req.Format, err = formatOf(path, req.Format); err != nil {
		return err
	}
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size := int64(0)
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	start := time.Now()
	show, done := a.progress("import " + filepath.Base(path))
	req.File, req.Name = a.upload(f, size, show), filepath.Base(path)
	r, err := client.Import(ctx, req, show)
	done()
	if err != nil {
		return fmt.Errorf("import %s: %w", path, err)
	}
	if a.cfg.JSON {
		return a.printJSON(r)
	}
	a.imported(path, r, time.Since(start))
	return nil
}

// imported says what an import did.
func (a *app) imported(path string, r *api.ImportResult, took time.Duration) {
	if len(r.Views) > 0 {
		fmt.Fprintf(a.out, "what was imported before is replaced; it is seen no more by %s\n", strings.Join(r.Views, ", "))
	}
	if len(r.Behind) > 0 {
		fmt.Fprintf(a.out, "%s still see it: move them with lockstep apply --upgrade\n", strings.Join(r.Behind, ", "))
	}
	if r.Known {
		fmt.Fprintf(a.out, "%s: these %d rows were imported before; nothing was added\n", path, r.Rows)
		return
	}
	fmt.Fprintf(a.out, "%s: %d rows in %s (%.0f rows/s), generation %d at sequence %d\n",
		path, r.Rows, took.Round(time.Millisecond), float64(r.Rows-r.Resumed)/took.Seconds(), r.Generation, r.Seq)
	if r.Resumed > 0 {
		fmt.Fprintf(a.out, "%d of them had been brought in by an import that was cut off\n", r.Resumed)
	}
	a.copies(int(r.Duplicates), int(r.Conflicts))
}

func (a *app) pushCommand() *cobra.Command {
	var partial bool
	cmd := &cobra.Command{
		Use:   "push SOURCE [FILE]",
		Short: "Push JSON lines into the log",
		Long: `Push JSON lines, from FILE or standard input, into the log, and return when they are on disk. They go in
chunks; a bad row ends the push with its line, and its chunk is not taken. With --partial good rows are taken
and bad ones become dead letters.`,
		Example: `  lockstep push purchases new.jsonl
  echo '{"purchase_id": 1, "customer": 7, "bought_at": "2026-04-01T10:00:00Z", "amount": 9.5, "shop": "lyon"}' | lockstep push purchases`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, size := a.in, int64(0)
			if len(args) == 2 && args[1] != "-" {
				f, err := openFile(args[1])
				if err != nil {
					return err
				}
				defer f.Close()
				if info, err := f.Stat(); err == nil {
					size = info.Size()
				}
				in = f
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				return a.push(cmd.Context(), client, args[0], in, size, partial)
			})
		},
	}
	cmd.Flags().BoolVar(&partial, "partial", false, "take good rows; bad ones become dead letters")
	return cmd
}

func (a *app) push(ctx context.Context, client *sdk.Client, source string, in io.Reader, size int64, partial bool) error {
	start := time.Now()
	show, done := a.progress("push " + source)
	r, err := client.PushLines(ctx, sdk.LinesRequest{Source: source, Lines: a.upload(in, size, show), Partial: partial})
	done()
	if r != nil && err != nil && r.Accepted > 0 {
		fmt.Fprintf(a.err, "%d rows before the failure are in the log\n", r.Accepted)
	}
	if err != nil {
		return err
	}
	if a.cfg.JSON {
		return a.printJSON(r)
	}
	took := time.Since(start)
	fmt.Fprintf(a.out, "%d rows in %s (%.0f rows/s), on disk up to sequence %d\n", r.Accepted, took.Round(time.Millisecond), float64(r.Accepted)/took.Seconds(), r.Seq)
	a.copies(r.Duplicates, r.Conflicts)
	for i, d := range r.Refused {
		if i == 20 {
			fmt.Fprintf(a.out, "... and %d more\n", len(r.Refused)-i)
			break
		}
		fmt.Fprintf(a.out, "refused: %s\n", d)
	}
	return nil
}

// copies says how many rows were left out because they are copies of events (rule E1).
func (a *app) copies(duplicates, conflicts int) {
	switch {
	case conflicts > 0:
		fmt.Fprintf(a.out, "%d rows are copies of events that were there and were left out; %d of them differ from their event: see lockstep deadletters list\n", duplicates, conflicts)
	case duplicates > 0:
		fmt.Fprintf(a.out, "%d rows are copies of events that were there and were left out\n", duplicates)
	}
}

func (a *app) line(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format+"\n", args...)
	return err
}
