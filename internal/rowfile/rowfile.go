// Package rowfile reads and writes tables as files, Parquet, CSV, JSON lines and Arrow IPC, in chunks of rows and
// in bounded memory. What it yields obeys rules T1, V1 and V2 of docs/semantics.md: timestamps in whole
// microseconds of the years 1900 to 2299, NaN and infinities NULL, text in UTF-8, lists without NULL inside.
package rowfile

import (
	"path/filepath"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// Format is a format of files.
type Format string

// The formats. Arrow and Feather are the two framings of Arrow IPC, as a stream and as a file; either is
// recognized when read.
const (
	Parquet Format = "parquet"
	CSV     Format = "csv"
	JSONL   Format = "jsonl"
	Arrow   Format = "arrow"
	Feather Format = "feather"
)

// ChunkRows is the number of rows that a chunk of a Reader has at most.
const ChunkRows = 8192

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Parquet, CSV, JSONL, Arrow, Feather:
		return f, nil
	default:
		return "", feature.Errorf(feature.CodeInvalid, "unknown format %q: expected parquet, csv, jsonl, arrow or feather", s)
	}
}

// FormatOf returns the format that the ending of a file name stands for.
func FormatOf(name string) (Format, error) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".parquet", ".pq":
		return Parquet, nil
	case ".csv":
		return CSV, nil
	case ".jsonl", ".ndjson", ".json":
		return JSONL, nil
	case ".arrow", ".arrows":
		return Arrow, nil
	case ".feather", ".ipc":
		return Feather, nil
	default:
		return "", feature.Errorf(feature.CodeInvalid, "cannot tell the format of %q by its ending: expected .parquet, .csv, .jsonl, .arrow or .feather", name)
	}
}
