// Command prepare turns the 3,000,000 flights of the npm package vega-datasets into what the demo needs: the
// history known before the last week (Parquet), the last week as a stream (JSON lines in the order in which it
// became known) and a spine of 20,000 flights with their label (Parquet).
package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/rowfile"
)

// flight is one row of the data set. known is when its arrival delay is known.
type flight struct {
	id, distance, delay int64
	origin, destination string
	scheduled, known    feature.Time
}

// cut is where the stream begins.
const cut = "2001-06-24T00:00:00Z"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: prepare FLIGHTS.parquet DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

func run(in, dir string) error {
	flights, err := read(in)
	if err != nil {
		return err
	}
	number(flights)
	from, err := feature.ParseTime(cut)
	if err != nil {
		return err
	}
	var history, week []*flight
	for i := range flights {
		if f := &flights[i]; f.known < from {
			history = append(history, f)
		} else {
			week = append(week, f)
		}
	}
	slices.SortStableFunc(week, func(a, b *flight) int { return cmp.Compare(a.known, b.known) })
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeParquet(filepath.Join(dir, "history.parquet"), historyFields, history, historyRow); err != nil {
		return err
	}
	if err := writeLines(filepath.Join(dir, "week.jsonl"), week); err != nil {
		return err
	}
	var spine []*flight
	for i := range flights {
		if flights[i].id%150 == 7 {
			spine = append(spine, &flights[i])
		}
	}
	if err := writeParquet(filepath.Join(dir, "spine.parquet"), spineFields, spine, spineRow); err != nil {
		return err
	}
	fmt.Printf("%d flights: %d known before %s, %d after, %d in the spine\n", len(flights), len(history), cut, len(week), len(spine))
	return nil
}

func read(path string) ([]flight, error) {
	types := map[string]feature.Type{
		"date": feature.Timestamp, "delay": feature.Int64, "distance": feature.Int64, "origin": feature.String, "destination": feature.String,
	}
	r, err := rowfile.Open(path, rowfile.Parquet, types)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	interned := map[string]string{}
	intern := func(s string) string {
		if known, ok := interned[s]; ok {
			return known
		}
		interned[strings.Clone(s)] = strings.Clone(s)
		return interned[s]
	}
	var out []flight
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		date, delay, distance := b.Column("date"), b.Column("delay"), b.Column("distance")
		origin, destination := b.Column("origin"), b.Column("destination")
		for i := range b.Rows {
			out = append(out, flight{
				scheduled: feature.Time(date.Ints[i]), delay: delay.Ints[i], distance: distance.Ints[i],
				origin: intern(origin.Strs[i]), destination: intern(destination.Strs[i]),
			})
		}
	}
}

// number gives each flight its id, the row number by (date, origin, destination, distance, delay), and the
// instant at which its delay is known: half an hour and the distance at 460 miles an hour after the scheduled
// departure, plus the delay, but never before the departure.
func number(flights []flight) {
	slices.SortFunc(flights, func(a, b flight) int {
		return cmp.Or(cmp.Compare(a.scheduled, b.scheduled), cmp.Compare(a.origin, b.origin), cmp.Compare(a.destination, b.destination),
			cmp.Compare(a.distance, b.distance), cmp.Compare(a.delay, b.delay))
	})
	for i := range flights {
		f := &flights[i]
		f.id = int64(i + 1)
		minutes := 30 + f.distance*60/460 + f.delay
		f.known = max(f.scheduled, f.scheduled.Add(feature.Span(minutes)*feature.Minute))
	}
}

var (
	historyFields = []feature.Field{
		{Name: "flight_id", Type: feature.Int64},
		{Name: "origin", Type: feature.String},
		{Name: "destination", Type: feature.String},
		{Name: "scheduled", Type: feature.Timestamp},
		{Name: "known_at", Type: feature.Timestamp},
		{Name: "distance", Type: feature.Int64},
		{Name: "delay", Type: feature.Int64},
	}
	spineFields = []feature.Field{
		{Name: "flight_id", Type: feature.Int64},
		{Name: "origin", Type: feature.String},
		{Name: "destination", Type: feature.String},
		{Name: "ts", Type: feature.Timestamp},
		{Name: "planned_distance", Type: feature.Int64},
		{Name: "late", Type: feature.Bool},
	}
)

func historyRow(f *flight) []feature.Value {
	return []feature.Value{
		feature.Int64Value(f.id), feature.StringValue(f.origin), feature.StringValue(f.destination),
		feature.TimestampValue(f.scheduled), feature.TimestampValue(f.known), feature.Int64Value(f.distance), feature.Int64Value(f.delay),
	}
}

// spineRow reads half an hour before departure; the label is a delay of a quarter of an hour or more.
func spineRow(f *flight) []feature.Value {
	return []feature.Value{
		feature.Int64Value(f.id), feature.StringValue(f.origin), feature.StringValue(f.destination),
		feature.TimestampValue(f.scheduled.Add(-30 * feature.Minute)), feature.Int64Value(f.distance), feature.BoolValue(f.delay >= 15),
	}
}

func writeParquet(path string, fields []feature.Field, flights []*flight, row func(*flight) []feature.Value) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w, err := rowfile.NewWriter(file, rowfile.Parquet, fields, nil)
	if err != nil {
		return err
	}
	for part := range slices.Chunk(flights, 8192) {
		b := &feature.Batch{Fields: fields, Columns: make([]feature.Column, len(fields))}
		for i, f := range fields {
			b.Columns[i].Type = f.Type
		}
		for _, f := range part {
			b.Append(row(f))
		}
		if err := w.Write(b); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}

func writeLines(path string, flights []*flight) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	var line []byte
	for _, f := range flights {
		line = append(line[:0], '{')
		for i, v := range historyRow(f) {
			if i > 0 {
				line = append(line, ',')
			}
			line = append(line, '"')
			line = append(line, historyFields[i].Name...)
			line = append(line, '"', ':')
			line = v.AppendJSON(line)
		}
		line = append(line, '}', '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Close()
}
