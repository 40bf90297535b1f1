package semtest

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

// drawWindow draws what a window feature computes.
func (w *world) drawWindow(t *rapid.T, label string) string {
	column := rapid.SampledFrom([]string{"a", "a", "m", "ts", "x", "*"}).Draw(t, label+" input")
	ops := []string{"count"}
	if column != "*" {
		typ := w.typeOf(column)
		ops = append(ops, "first", "last")
		if !typ.List {
			ops = append(ops, "min", "max", "first_n", "last_n", "count_distinct", "top_k", "approx_count_distinct")
		}
		if typ == feature.Int64 || typ == feature.Float64 {
			ops = append(ops, "sum", "avg", "var_pop", "var_samp", "stddev_pop", "stddev_samp", "approx_quantile")
		}
	}
	op := rapid.SampledFrom(ops).Draw(t, label+" operator")
	f := fmt.Sprintf("%s: %q", op, column)
	switch op {
	case "first_n", "last_n":
		f += fmt.Sprintf(", n: %d", rapid.IntRange(1, 3).Draw(t, label+" n"))
	case "top_k":
		f += fmt.Sprintf(", k: %d", rapid.IntRange(1, 3).Draw(t, label+" k"))
	case "approx_quantile":
		f += ", q: " + rapid.SampledFrom([]string{"0", "0.5", "0.9", "1"}).Draw(t, label+" q")
		f += rapid.SampledFrom([]string{"", ", precision: 1", ", precision: 12"}).Draw(t, label+" precision")
	case "approx_count_distinct":
		f += rapid.SampledFrom([]string{"", ", precision: 4", ", precision: 12"}).Draw(t, label+" precision")
	}
	widths := []string{"1us", "1s", "1s", "2s", "3s", "3s", "lifetime"}
	if slices.Contains([]string{"count_distinct", "top_k"}, op) {
		widths = widths[:len(widths)-1]
	}
	width := rapid.SampledFrom(widths).Draw(t, label+" window")
	f += ", window: " + width
	hops := map[string][]string{"1us": {""}, "1s": {"", ", hop: 500ms", ", hop: 1s"}, "2s": {"", ", hop: 1s", ", hop: 2s"}, "3s": {"", ", hop: 1s", ", hop: 3s"}, "lifetime": {""}}
	f += rapid.SampledFrom(hops[width]).Draw(t, label+" hop")
	conditions := []string{"", "", "", `, where: "a > 0"`, `, where: "a != 11 or isNull(a)"`, `, where: "not (a > 0)"`, `, where: "x == x and a > 0"`}
	if !w.typeOf("m").List { // lists are for on-demand features
		conditions = append(conditions, `, where: "isNull(m)"`)
	}
	f += rapid.SampledFrom(conditions).Draw(t, label+" where")
	if slices.Contains([]string{"sum", "avg", "min", "count"}, op) && column == "a" {
		f += rapid.SampledFrom([]string{"", ", default: 7"}).Draw(t, label+" default")
	}
	return f
}
