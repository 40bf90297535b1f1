package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lockstepfs/lockstep/api"
	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
	"github.com/lockstepfs/lockstep/sdk"
)

func (a *app) getCommand() *cobra.Command {
	var at, path string
	var events, request []string
	var explain bool
	cmd := &cobra.Command{
		Use:   "get SERVICE key=value...",
		Short: "Read features",
		Long: `Read the features of a service (SERVICE, SERVICE@VERSION, or VIEW.FEATURE names separated by commas) for one key, now or at another instant.
On-demand features may need inputs: give each with --request.

Events that are not in the log yet, such as the transaction to be scored, can be given with --event: they count for this
read as if they were the newest in the log, and are not stored.

With --explain both paths are read, and printed are for each feature its window, what the replica had summed up, and the
events: which path has them, and which are late, missing, extra or duplicate.`,
		Example: `  lockstep get purchase_model customer=7
  lockstep get purchase_model customer=7 --request amount=12.5 --request shop=12
  lockstep get last_purchase.amount,last_purchase.shop customer=7 --at 2026-03-01T12:00:00Z --path offline
  lockstep get purchase_model customer=7 --event 'purchases={"customer":7,"ts":"2026-03-01T12:00:00Z","amount":12.5}'
  lockstep get purchase_model customer=7 --explain`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := sdk.OnlineRequest{Entities: map[string]any{}, Request: map[string]any{}, Path: feature.Path(path)}
			if strings.Contains(args[0], ".") {
				req.Features = strings.Split(args[0], ",")
			} else {
				req.Service = args[0]
			}
			if err := assigned("key", args[1:], req.Entities); err != nil {
				return err
			}
			if err := assigned("input", request, req.Request); err != nil {
				return err
			}
			var err error
			if req.Events, err = eventsOf(events); err != nil {
				return err
			}
			if at != "" {
				t, err := feature.ParseTime(at)
				if err != nil {
					return feature.Errorf(feature.CodeInvalid, "--at: %w", err)
				}
				req.At = t.Std()
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				if explain {
					x, err := client.Explain(cmd.Context(), req)
					if err != nil {
						return err
					}
					return a.printExplanation(x)
				}
				resp, err := client.Online(cmd.Context(), req)
				if err != nil {
					return err
				}
				return a.printVector(resp)
			})
		},
	}
	cmd.Flags().StringArrayVar(&request, "request", nil, "an input of on-demand features, NAME=VALUE, may be repeated")
	cmd.Flags().StringVar(&at, "at", "", "the instant of the read, RFC 3339 (default now)")
	cmd.Flags().StringVar(&path, "path", "auto", "auto, online or offline")
	cmd.Flags().StringArrayVar(&events, "event", nil, "event that counts for this read alone, SOURCE=JSON; may be repeated")
	cmd.Flags().BoolVar(&explain, "explain", false, "say what both paths make of it, and of which events")
	return cmd
}

// eventsOf reads events as flags give them.
func eventsOf(flags []string) (map[string]any, error) {
	events := map[string]any{}
	for _, flag := range flags {
		source, row, ok := strings.Cut(flag, "=")
		if !ok || !json.Valid([]byte(row)) {
			return nil, feature.Errorf(feature.CodeInvalid, "--event %s: expected SOURCE=JSON, such as purchases={\"customer\":7}", flag)
		}
		rows, _ := events[source].([]json.RawMessage)
		events[source] = append(rows, json.RawMessage(row))
	}
	return events, nil
}

// assigned puts NAME=VALUE arguments into columns of one row.
func assigned(what string, args []string, into map[string]any) error {
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok || name == "" {
			return feature.Errorf(feature.CodeInvalid, "%s %q: expected %s=VALUE", what, arg, strings.ToUpper(what))
		}
		if _, twice := into[name]; twice {
			return feature.Errorf(feature.CodeInvalid, "%s %q is given twice", what, name)
		}
		into[name] = []string{value}
	}
	return nil
}

func (a *app) printVector(resp *sdk.OnlineResponse) error {
	v := resp.Vectors[0]
	if a.cfg.JSON {
		cells := map[string]api.Cell{}
		for i, name := range resp.Names {
			cells[name] = api.CellOf(v.Cells()[i])
		}
		return a.printJSON(map[string]any{"features": cells, "meta": resp.Meta})
	}
	rows := [][]string{{"FEATURE", "VALUE", "STATUS", "EVENT TIME"}}
	for i, name := range resp.Names {
		c := v.Cells()[i]
		at := "-"
		if c.HasTime {
			at = c.EventTime.String()
		}
		rows = append(rows, []string{name, c.Value.String(), c.Status.String(), at})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	for _, s := range resp.Meta.Stale {
		fmt.Fprintln(a.err, "stale:", s)
	}
	return a.line("%s path, up to sequence %d", resp.Meta.Path, resp.Meta.Seq)
}

// training is what the flags of train say.
type training struct {
	spine, sql, keysAll, at, out, format, time, clock, cut string
	keys                                                   map[string]string
}

func (a *app) trainCommand() *cobra.Command {
	var t training
	cmd := &cobra.Command{
		Use:   "train SERVICE",
		Short: "Make a training set: each spine row with its features as of its own time",
		Long: `Make a training set. The spine says for which keys and times: a file (--spine), a query (--spine-sql) or every
key of an entity (--keys-all ENTITY, at --at). Its rows and columns are kept, in order; the features follow.
Inputs of on-demand features are columns of the spine.
What it was made from (service and view versions, log sequence, import generations) is in the file's metadata,
for CSV and JSON lines in OUT.meta.json beside it. The same service version at the same --cut makes the same set again.`,
		Example: `  lockstep train purchase_model --spine spine.csv --out training.parquet
  lockstep train delay_model --spine flights.parquet --time ts --keys airport=origin --out training.arrow
  lockstep train purchase_model --keys-all customer --at 2026-04-01T00:00:00Z --out all.csv --clock available
  lockstep train purchase_model@2 --spine spine.csv --cut 81234 --out again.parquet`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.train(cmd, args[0], &t) },
	}
	f := cmd.Flags()
	f.StringVar(&t.spine, "spine", "", "file of spine rows: Parquet, CSV, JSON lines or Arrow")
	f.StringVar(&t.sql, "spine-sql", "", "query for the spine")
	f.StringVar(&t.keysAll, "keys-all", "", "entity of which every key is a row")
	f.StringVar(&t.at, "at", "", "with --keys-all the instant of every row, RFC 3339 (default now)")
	f.StringVar(&t.out, "out", "", "file to write; the ending says the format")
	f.StringVar(&t.format, "format", "", "parquet, csv, jsonl or arrow (default: by the name of --out)")
	f.StringVar(&t.time, "time", "", "time column of the spine (default: the only one of event_timestamp, ts, time)")
	f.StringToStringVar(&t.keys, "keys", nil, "spine column of a key, where named otherwise: KEY=COLUMN")
	f.StringVar(&t.clock, "clock", "event", "event: all events by event time; available: only what was available at the row's time")
	f.StringVar(&t.cut, "cut", "", "make the set of what the history held at this sequence of the log, SEQ or LOG:SEQ (default: all it holds)")
	_ = cmd.MarkFlagRequired("out") // the flag exists
	cmd.MarkFlagsOneRequired("spine", "spine-sql", "keys-all")
	cmd.MarkFlagsMutuallyExclusive("spine", "spine-sql", "keys-all")
	return cmd
}

func (a *app) train(cmd *cobra.Command, service string, t *training) error {
	req, closeSpine, err := t.request(service)
	if err != nil {
		return err
	}
	defer closeSpine()
	return a.with(cmd.Context(), func(client *sdk.Client) error {
		start := time.Now()
		_, done := a.progress("train " + service)
		meta, err := toFile(t.out, func(w *os.File) (map[string]string, error) { return client.TrainingFile(cmd.Context(), req, w) })
		done()
		if err != nil {
			return err
		}
		if f := rowfile.Format(req.Format); f == rowfile.CSV || f == rowfile.JSONL {
			b, err := json.MarshalIndent(meta, "", "  ")
			if err == nil {
				err = os.WriteFile(t.out+".meta.json", append(b, '\n'), 0o644)
			}
			if err != nil {
				return fmt.Errorf("write the metadata: %w", err)
			}
		}
		if a.cfg.JSON {
			return a.printJSON(map[string]any{"out": t.out, "meta": meta})
		}
		if stale := meta["lockstep.stale"]; stale != "" {
			fmt.Fprintln(a.err, "stale:", stale)
		}
		return a.line("%s: %s rows in %s, of %s at sequence %s", t.out, meta["lockstep.rows"], time.Since(start).Round(time.Millisecond), meta["lockstep.service"], meta["lockstep.seq"])
	})
}

// request makes the request that the flags say; closeSpine closes the spine's file.
func (t *training) request(service string) (req sdk.TrainingRequest, closeSpine func(), err error) {
	req = sdk.TrainingRequest{Service: service, SQL: t.sql, KeysAll: t.keysAll, Time: t.time, Keys: t.keys, Cut: t.cut}
	closeSpine = func() {}
	if strings.Contains(service, ".") {
		req.Service, req.Features = "", strings.Split(service, ",")
	}
	if req.Format, err = formatOf(t.out, t.format); err != nil {
		return req, closeSpine, err
	}
	if req.Clock, err = feature.ParseClock(t.clock); err != nil {
		return req, closeSpine, err
	}
	if t.at != "" {
		if t.keysAll == "" {
			return req, closeSpine, feature.Errorf(feature.CodeInvalid, "--at goes with --keys-all: the rows of a spine have times of their own")
		}
		at, err := feature.ParseTime(t.at)
		if err != nil {
			return req, closeSpine, feature.Errorf(feature.CodeInvalid, "--at: %w", err)
		}
		req.At = at.Std()
	}
	if t.spine != "" {
		if req.FileFormat, err = formatOf(t.spine, ""); err != nil {
			return req, closeSpine, err
		}
		f, err := openFile(t.spine)
		if err != nil {
			return req, closeSpine, err
		}
		req.File, closeSpine = f, func() { f.Close() }
	}
	return req, closeSpine, nil
}

// toFile writes beside path and renames at the end, so that path never holds a part of a training set.
func toFile(path string, write func(*os.File) (map[string]string, error)) (map[string]string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, &fs.PathError{Op: "write", Path: path, Err: e.Err} // the temporary name means nothing to the user
	}
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) // of no consequence once it is renamed
	meta, err := write(f)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return nil, err
	}
	return meta, os.Rename(f.Name(), path)
}

func (a *app) verifyCommand() *cobra.Command {
	var at []string
	var sample int
	cmd := &cobra.Command{
		Use:   "verify SERVICE",
		Short: "Read both paths for the same keys at the same instants and compare every value",
		Long: `Read a sample of keys from the replica and from ClickHouse, at the same instants and the same place in the log,
and compare every value, status and event time. Exit code 1 if anything differs, if a path refuses to answer, or
if fewer than half of the values say something.`,
		Example: `  lockstep verify purchase_model
  lockstep verify delay_model --at 2001-06-25T12:00:00Z --at 2001-06-30T00:00:00Z --sample 5000`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := api.VerifyRequest{Service: args[0], At: at, Sample: sample}
			if strings.Contains(args[0], ".") {
				req.Service, req.Features = "", strings.Split(args[0], ",")
			}
			return a.with(cmd.Context(), func(client *sdk.Client) error {
				show, done := a.progress("verify " + args[0])
				r, err := client.Verify(cmd.Context(), req, show)
				done()
				if err != nil {
					return err
				}
				return a.printVerification(r)
			})
		},
	}
	cmd.Flags().StringArrayVar(&at, "at", nil, "an instant, RFC 3339, may be repeated (default: the newest the replica knows, and one half as far back as it keeps)")
	cmd.Flags().IntVar(&sample, "sample", 1000, "keys for each instant")
	return cmd
}

func (a *app) printVerification(r *api.VerifyResult) error {
	if a.cfg.JSON {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, d := range r.Differences {
			var keys []string
			for name, v := range d.Keys {
				keys = append(keys, name+"="+v.Text())
			}
			slices.Sort(keys)
			fmt.Fprintf(a.out, "%s %s at %s\n  online  %s\n  offline %s\n", d.Feature, strings.Join(keys, " "), d.At.Format(time.RFC3339Nano), cellText(d.Online), cellText(d.Offline))
			if d.Explained != nil {
				if err := writeExplained(a.out, d.Explained); err != nil {
					return err
				}
			}
		}
		fmt.Fprintf(a.out, "compared %d values, %d informative, differences: %d\n", r.Compared, r.Informative, r.Different)
	}
	if r.Problem != "" {
		fmt.Fprintln(a.err, "lockstep:", r.Problem)
		return errSilent
	}
	return nil
}

func cellText(c api.Cell) string {
	at := ""
	if c.EventTime != nil {
		at = " of " + c.EventTime.Format(time.RFC3339Nano)
	}
	return c.Value.String() + " (" + c.Status.String() + ")" + at
}
