package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lockstepfs/lockstep/api"
)

// printExplanation says for each feature what both paths make of it, and of which events.
func (a *app) printExplanation(x *api.Explanation) error {
	if a.cfg.JSON {
		return a.printJSON(x)
	}
	for i := range x.Features {
		f := &x.Features[i]
		fmt.Fprintln(a.out, f.Feature)
		if f.Online != nil {
			fmt.Fprintln(a.out, "  online ", cellText(*f.Online))
		}
		fmt.Fprintln(a.out, "  offline", cellText(f.Offline))
		if f.Differs {
			fmt.Fprintln(a.out, "  the paths differ")
		}
		if err := writeExplained(a.out, f); err != nil {
			return err
		}
	}
	if x.Refused != "" {
		fmt.Fprintln(a.err, "the replica does not answer:", x.Refused)
	}
	return a.line("at %s, both paths at sequence %d", x.At.Format(time.RFC3339Nano), x.Seq)
}

// writeExplained writes the window of a feature and the events behind it.
func writeExplained(out io.Writer, f *api.Explained) error {
	fmt.Fprintf(out, "  looks at %s\n", between(f.After, f.Until))
	for _, s := range f.Sums {
		fmt.Fprintf(out, "  summed up %s, level %d", between(s.After, s.Until), s.Level)
		if s.Events > 0 {
			fmt.Fprintf(out, ", %d events", s.Events)
		}
		fmt.Fprintf(out, ": %s", s.Online.String())
		if s.Differs {
			fmt.Fprintf(out, ", but %s of the events in ClickHouse", s.Offline.String())
		}
		fmt.Fprintln(out)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for i, e := range f.Events {
		if i == 0 {
			fmt.Fprintln(w, "  EVENT TIME\tSEQ\tIDX\tVALUE\tONLINE\tOFFLINE\tNOTES")
		}
		notes := e.Notes
		for _, more := range []struct {
			text  string
			holds bool
		}{{"deleted", e.Deleted}, {"of the request", e.Request}} {
			if more.holds {
				notes = append(notes, more.text)
			}
		}
		fmt.Fprintf(w, "  %s\t%d\t%d\t%s\t%s\t%s\t%s\n", e.EventTime.Format(time.RFC3339Nano), e.Seq, e.Idx, e.Value.String(), yes(e.Online), yes(e.Offline), strings.Join(notes, ", "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	switch {
	case f.More > 0 && f.Older:
		fmt.Fprintf(out, "  and %d more, and older ones\n", f.More)
	case f.More > 0:
		fmt.Fprintln(out, "  and "+strconv.Itoa(f.More)+" more")
	case f.Older:
		fmt.Fprintln(out, "  and older ones")
	}
	return nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// between says in words where events lie.
func between(after, until *time.Time) string {
	var parts []string
	if after != nil {
		parts = append(parts, "later than "+after.Format(time.RFC3339Nano))
	}
	if until != nil {
		parts = append(parts, "until "+until.Format(time.RFC3339Nano))
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ", ")
}
