// Package semtest states what the product does, in scripts, and runs them on every execution of the law of
// docs/semantics.md: the oracle, the online store, the stream followed by a read, and ClickHouse. The scripts
// lie in testdata/semantics; their language is described at Run. History draws random definitions, events
// and reads, so that the executions can be compared where no script has been written yet.
package semtest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/expr"
)

// Engine is one execution of the law with a catalog and no events yet. It is also a Replica, an Archive, or
// both. Rows come as JSON objects, as producers send them, and pass the gate; rows that it refuses are a
// *feature.Error whose details name row and field, and then none is taken.
type Engine interface {
	// Push adds the rows as one message of the log. It blocks until reads see them.
	Push(ctx context.Context, m Message) (Receipt, error)
	// Import adds the rows as one import with its record in the log. It blocks until reads see them.
	Import(ctx context.Context, m Message) (Receipt, error)
	// Replace is Import of what begins an edition (E2); the receipt names it. Reads see it when Change brings views that do.
	Replace(ctx context.Context, m Message) (Receipt, error)
	// Erase erases a key of an entity (E3). It blocks until reads see it.
	Erase(ctx context.Context, entity string, key feature.Key) (Receipt, error)
	// Asked passes rows that reads bring (D4) through the gate.
	Asked(m Message) (*feature.Batch, error)
	// Change makes c, a later state of the same registry, the definitions. It blocks until reads see it.
	Change(ctx context.Context, c *feature.Catalog) error
	// Close ends the execution and removes what it stored.
	Close() error
}

// Message is some rows of a source.
type Message struct {
	Source string
	Rows   []json.RawMessage
	Taken  feature.Time // when the log takes it; an execution that cannot force it ignores it
}

// Receipt says where a message or the record of an import came to stand in the log, and what was left out of it.
type Receipt struct {
	Seq        uint64 // if all rows are copies, that of what they are copies of
	Taken      feature.Time
	Duplicates int // rows that are copies of events that were there before (E1)
	Conflicts  int // those of them that differ
	Edition    feature.Edition
}

// Replica answers as the online path does (C5): an error of code below_floor where it does not keep what the
// read sees.
type Replica interface {
	Read(ctx context.Context, l *feature.Lookup) ([]feature.Cell, error)
}

// Archive answers as the offline path does: from the whole history, at any cut.
type Archive interface {
	// ReadAt reads at the state that the log had at sequence cut; 0 means now.
	ReadAt(ctx context.Context, l *feature.Lookup, cut uint64) ([]feature.Cell, error)
	// Train makes a training set. The result has the columns and rows of S1.
	Train(ctx context.Context, r Training) (*feature.Batch, error)
}

// AllKeysTime is the time column of a training set without a spine.
const AllKeysTime = "event_timestamp"

// Training asks for a training set.
type Training struct {
	Plan  *feature.Plan
	Spine *feature.Batch // nil for keys: all (S3)
	Time  string         // the spine's time column; AllKeysTime without a spine
	At    feature.Time   // the instant for keys: all
	Clock feature.Clock
	Cut   uint64 // 0 means now
}

// Execution is a way to carry the law out.
type Execution struct {
	Name        string
	ForcesTaken bool // whether Push obeys Message.Taken
	Open        func(ctx context.Context, c *feature.Catalog) (Engine, error)
}

// Holds reports whether a condition that the registry has taken is true of an event's values, which are by column.
func Holds(src *feature.Source, where string, values map[string]feature.Value) bool {
	e, err := expr.Parse(where, feature.TypeIn(src.Columns))
	if err != nil {
		panic(err)
	}
	row := make([]feature.Value, len(e.Names()))
	for i, name := range e.Names() {
		row[i] = values[name]
	}
	v := e.Compile(e.Names())(row)
	return !v.IsNull() && v.Bool()
}

// Run runs every script in dir on the execution, each as a subtest. A script is a dialogue of commands and
// what they must print (github.com/cockroachdb/datadriven); testdata/semantics/README.md describes the
// language.
func Run(t *testing.T, dir string, x Execution) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != "" {
			continue
		}
		path := filepath.Join(dir, e.Name())
		needs, err := needs(path)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(needs, "taken") && !x.ForcesTaken {
			continue
		}
		ran++
		t.Run(e.Name(), func(t *testing.T) {
			s := &script{execution: x}
			defer s.close(t)
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
		})
	}
	if ran == 0 {
		t.Fatalf("no script in %s", dir)
	}
}

// Formula is oracle.Formula: the value of an expression of an on-demand feature.
func Formula(text string, read func(name string) (feature.Value, feature.Type)) feature.Value {
	e, err := expr.Parse(text, func(name string) (feature.Type, bool) {
		_, t := read(name)
		return t, t != feature.Type{}
	})
	if err != nil {
		panic(err) // the registry has taken it
	}
	row := make([]feature.Value, len(e.Names()))
	for i, name := range e.Names() {
		row[i], _ = read(name)
	}
	return e.Compile(e.Names())(row)
}
