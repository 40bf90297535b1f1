package offline

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// States of an import, as the imports table has them.
const (
	importBegun   = "begun"
	importWhole   = "whole"
	importAborted = "aborted"
)

// FindImport returns the generation that holds a file of this content whole, if there is one (rule E2): one that the log
// names already, or else the newest, whose record may still be on its way.
func (s *Store) FindImport(ctx context.Context, src *feature.Source, hash string) (generation uint64, rows int64, found bool, err error) {
	sql, err := text("import_find.sql", nil)
	if err != nil {
		return 0, 0, false, err
	}
	q := query{"look for an earlier import", sql, []any{clickhouse.Named("source", src.Name), clickhouse.Named("hash", hash)}}
	err = s.each(ctx, q, func(r driver.Rows) error {
		found = true
		return r.Scan(&generation, &rows)
	})
	return generation, rows, found, err
}

// BeginImport returns the number of a new generation of imported events. Nobody sees its rows before Append has met its
// record in the log.
func (s *Store) BeginImport(ctx context.Context, src *feature.Source, name, hash string) (generation uint64, err error) {
	generation = s.nextGeneration()
	return generation, s.importStep(ctx, importStep{source: src.Name, generation: generation, name: name, hash: hash, state: importBegun})
}

func (s *Store) nextGeneration() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = max(s.latest+1, uint64(now()))
	return s.latest
}

// InsertImport adds rows to the generation, the first of which is the first'th of it, from 0: the order in which rows of
// one generation arrive (rule E1). The same rows twice add nothing. The batch is not kept.
func (s *Store) InsertImport(ctx context.Context, src *feature.Source, generation uint64, first int64, b *feature.Batch) error {
	if b.Rows == 0 {
		return nil
	}
	m := marks{available: importedAt(src, b), seq: make([]uint64, b.Rows), idx: make([]uint32, b.Rows), gen: make([]uint64, b.Rows), row: make([]uint64, b.Rows)}
	for i := range m.gen {
		m.gen[i], m.row[i] = generation, uint64(first)+uint64(i)
	}
	in := insertion{table: eventTable(src.Name), columns: append(eventRows(b, src.EventTime), m.columns()...)}
	in.token = fmt.Sprintf("import/%d/%d/%s", generation, first, in.table)
	return failure("import into "+src.Name, s.insert(ctx, in))
}

// importedAt is when imported events could be known: the declared column, else (also where that is NULL) the event time
// (rule T2).
func importedAt(src *feature.Source, b *feature.Batch) []int64 {
	at := make([]int64, b.Rows)
	if c := b.Column(src.EventTime); c != nil {
		copy(at, c.Ints)
	}
	if src.AvailableAt == "" {
		return at
	}
	if c := b.Column(src.AvailableAt); c != nil {
		for i := range at {
			if !c.IsNull(i) {
				at[i] = c.Ints[i]
			}
		}
	}
	return at
}

// FinishImport records that the generation is whole, with its number of rows.
func (s *Store) FinishImport(ctx context.Context, src *feature.Source, generation uint64, rows int64) error {
	return s.endImport(ctx, importStep{source: src.Name, generation: generation, rows: rows, state: importWhole})
}

// AbortImport removes the generation's rows, which nobody has seen.
func (s *Store) AbortImport(ctx context.Context, src *feature.Source, generation uint64) error {
	if err := s.endImport(ctx, importStep{source: src.Name, generation: generation, state: importAborted}); err != nil {
		return err
	}
	sql, err := text("import_abort.sql", quote(eventTable(src.Name)))
	if err != nil {
		return err
	}
	return failure("remove an import", s.conn.Exec(ctx, sql, clickhouse.Named("generation", generation)))
}

// endImport adds a last step that keeps name and hash of the first, and is later, whatever the clocks say.
func (s *Store) endImport(ctx context.Context, step importStep) error {
	sql, err := text("import_begun.sql", nil)
	if err != nil {
		return err
	}
	var begun time.Time
	err = s.conn.QueryRow(ctx, sql, clickhouse.Named("source", step.source), clickhouse.Named("generation", step.generation)).Scan(&step.name, &step.hash, &begun)
	if err != nil {
		return failure("read an import", err)
	}
	step.at = max(now(), begun.UnixMicro()+1)
	return s.importStep(ctx, step)
}

// importStep is a row of the imports table.
type importStep struct {
	source     string
	generation uint64
	name, hash string
	state      string
	rows       int64
	at         int64 // microseconds; 0 for now, by ClickHouse's clock
}

func (s *Store) importStep(ctx context.Context, step importStep) error {
	in := insertion{table: "imports", columns: []stored{
		{"source", "String", []string{step.source}},
		{"generation", "UInt64", []uint64{step.generation}},
		{"name", "String", []string{step.name}},
		{"hash", "String", []string{step.hash}},
		{"state", "String", []string{step.state}},
		{"rows", "Int64", []int64{step.rows}},
	}}
	if step.at != 0 {
		in.columns = append(in.columns, stored{"at", "DateTime64(6, 'UTC')", []time.Time{time.UnixMicro(step.at).UTC()}})
	}
	return failure("record an import", s.insert(ctx, in))
}
