package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/lockstepfs/lockstep/api"
)

// printJSON writes v for machines, on one line.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// table writes rows in columns; the first row is the heading.
func (a *app) table(rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// interactive reports whether progress has somebody to see it.
func (a *app) interactive() bool {
	f, ok := a.err.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && !a.cfg.JSON
}

// progress shows how a long operation goes, on a terminal only. done clears it.
func (a *app) progress(what string) (show func(api.Progress), done func()) {
	if !a.interactive() {
		return func(api.Progress) {}, func() {}
	}
	bar := progressbar.NewOptions64(1000, progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(true), progressbar.OptionSetPredictTime(false))
	show = func(p api.Progress) {
		text := what
		if p.Stage != "" {
			text = p.Stage
		}
		if p.Rows > 0 {
			text += fmt.Sprintf(" %d rows", p.Rows)
		}
		bar.Describe(text)
		if p.Done >= 0 {
			_ = bar.Set64(int64(min(p.Done, 1) * 999)) // a bar that cannot be drawn is no failure
		}
	}
	return show, func() { _ = bar.Clear() }
}

// upload counts what is read from r as the progress of sending it.
func (a *app) upload(r io.Reader, size int64, show func(api.Progress)) io.Reader {
	if size <= 0 || !a.interactive() {
		return r
	}
	return &counted{r: r, size: size, show: show}
}

type counted struct {
	r         io.Reader
	n, size   int64
	lastShown int64
	show      func(api.Progress)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.n-c.lastShown > 1<<20 {
		c.lastShown = c.n
		c.show(api.Progress{Stage: "send", Done: float64(c.n) / float64(c.size)})
	}
	return n, err
}
