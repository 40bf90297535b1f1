package semtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
)

// reading is one read command: some keys at some instants.
type reading struct {
	plan  *feature.Plan
	times []feature.Time
	path  feature.Path
	cut   uint64
	keys  [][]feature.Value // as in feature.Lookup
	asked []*feature.Batch  // as in feature.Lookup
	input [][]feature.Value // likewise
	shown []string          // for each key what stands before its cells; nil for a key given inline
}

// parseKeys takes the keys from the arguments, or from the table of the input.
func (r *reading) parseKeys(input string, inline map[string]string) error {
	var header []string
	var rows [][]string
	if input == "" {
		var row []string
		for name, cell := range inline {
			header, row = append(header, name), append(row, cell)
		}
		rows = [][]string{row}
	} else {
		var err error
		if header, rows, err = splitTable(input); err != nil {
			return err
		}
	}
	keys := len(r.plan.Keys)
	for place, f := range append(slices.Clip(r.plan.Keys), r.plan.Inputs...) {
		at := slices.Index(header, f.Name)
		if at < 0 && place < keys {
			return feature.Errorf(feature.CodeInvalid, "key %s is missing", f.Name)
		}
		if at < 0 {
			r.input = append(r.input, nil)
			continue
		}
		column := make([]feature.Value, len(rows))
		for i, row := range rows {
			v, err := cellValue(row[at], f.Type)
			if err != nil {
				return &feature.Error{Code: feature.CodeInvalid, Details: []feature.Detail{{Row: &i, Field: f.Name, Message: err.Error()}}}
			}
			column[i] = v
		}
		if place < keys {
			r.keys = append(r.keys, column)
		} else {
			r.input = append(r.input, column)
		}
	}
	if input != "" {
		for _, row := range rows {
			r.shown = append(r.shown, strings.Join(row, " "))
		}
	}
	return nil
}

func (r *reading) run(t *testing.T, engine Engine) (string, error) {
	var out strings.Builder
	for _, at := range r.times {
		cells, err := r.cells(t, engine, at)
		if feature.CodeOf(err) == feature.CodeBelowFloor && r.path == feature.PathOnline {
			r.print(&out, at, -1, "below floor")
			continue
		}
		if err != nil {
			return "", err
		}
		n := len(r.plan.Slots)
		if len(cells) != n*len(r.keys[0]) {
			return "", fmt.Errorf("%d cells for %d keys of %d features", len(cells), len(r.keys[0]), n)
		}
		for row := range r.keys[0] {
			var parts []string
			for _, c := range cells[row*n : (row+1)*n] {
				parts = append(parts, printCell(c))
			}
			r.print(&out, at, row, parts...)
		}
	}
	return out.String(), nil
}

func (r *reading) cells(t *testing.T, engine Engine, at feature.Time) ([]feature.Cell, error) {
	l := &feature.Lookup{Plan: r.plan, Keys: r.keys, Inputs: r.input, At: at, Events: r.asked}
	replica, isReplica := engine.(Replica)
	archive, isArchive := engine.(Archive)
	if isReplica && r.path != feature.PathOffline && r.cut == 0 {
		cells, err := replica.Read(t.Context(), l)
		if feature.CodeOf(err) == feature.CodeBelowFloor && r.path == feature.PathAuto {
			return nil, fmt.Errorf("the read at %s is below the floor: state both path=online and path=offline", shortTime(at))
		}
		return cells, err
	}
	if isArchive {
		return archive.ReadAt(t.Context(), l, r.cut)
	}
	return nil, fmt.Errorf("the execution is neither replica nor archive")
}

// print writes the cells of one key at one instant, or what stands for those of all keys (row -1): on a line,
// after what tells it from other lines; the cells of the only key, given inline, a line each with their names.
func (r *reading) print(out *strings.Builder, at feature.Time, row int, cells ...string) {
	var parts []string
	if len(r.times) > 1 {
		parts = append(parts, shortTime(at))
	}
	if len(r.shown) > 0 && row >= 0 {
		parts = append(parts, r.shown[row])
	}
	if len(parts) == 0 && len(cells) > 1 {
		for i, c := range cells {
			fmt.Fprintf(out, "%s = %s\n", r.plan.Names[i], c)
		}
		return
	}
	fmt.Fprintln(out, strings.Join(append(parts, cells...), " | "))
}
