package offline

import (
	"context"
	"crypto/rand"
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

// FindImports returns the imports of a file of this content into a source that did not come to a bad end: those that the log names
// first, then whole ones, then the newest.
func (s *Store) FindImports(ctx context.Context, src *feature.Source, hash string) ([]feature.Imported, error) {
	sql, err := text("import_find.sql", nil)
	if err != nil {
		return nil, err
	}
	var found []feature.Imported
	q := query{"look for earlier imports", sql, []any{clickhouse.Named("source", src.Name), clickhouse.Named("hash", hash)}}
	err = s.each(ctx, q, func(r driver.Rows) error {
		var im feature.Imported
		var version, at int64
		var whole, recorded, alone uint8
		err := r.Scan(&im.Generation, &im.Edition, &version, &im.Name, &im.Hash, &im.Rows, &at, &whole, &recorded, &alone)
		im.Version, im.At, im.Whole, im.Recorded, im.Alone = int(version), feature.Time(at), whole != 0, recorded != 0, alone != 0
		found = append(found, im)
		return err
	})
	return found, err
}

// BeginImport begins a new generation of imported events: of the edition that there is, or with replace one that begins an edition
// (rule E2). Nobody sees its rows before Append has met its record in the log. Imports of the source that nobody has gone on with for a
// week are taken back.
func (s *Store) BeginImport(ctx context.Context, src *feature.Source, file feature.File, replace bool) (*feature.Imported, error) {
	if err := s.dropAbandoned(ctx, src); err != nil {
		return nil, err
	}
	im := &feature.Imported{Generation: s.nextGeneration(src.Edition.Number), Edition: src.Edition.Number, Version: src.Version, File: file}
	if replace {
		im.Edition = im.Generation
	}
	return im, s.importStep(ctx, src, im, importBegun)
}

// nextGeneration returns a number that no generation has, greater than after.
func (s *Store) nextGeneration(after uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = max(s.latest+1, after+1, uint64(now()))
	return s.latest
}

// ResumeImport takes out what came in of an import behind its Rows, so that InsertImport can go on with it. It waits for inserts
// of the import that were given up and that ClickHouse goes on with.
func (s *Store) ResumeImport(ctx context.Context, src *feature.Source, im *feature.Imported) error {
	return s.cutImport(ctx, src, im.Generation, im.Rows)
}

// InsertImport adds rows to the import and counts them in im.Rows: the order of calls is that in which rows of one generation
// arrive (rule E1). After an error it is not known which of them are in, until ResumeImport. The batch is not kept.
func (s *Store) InsertImport(ctx context.Context, src *feature.Source, im *feature.Imported, b *feature.Batch) error {
	if b.Rows == 0 {
		return nil
	}
	m := marks{available: importedAt(src, b), seq: make([]uint64, b.Rows), idx: make([]uint32, b.Rows), gen: make([]uint64, b.Rows), row: make([]uint64, b.Rows)}
	for i := range m.gen {
		m.gen[i], m.row[i] = im.Generation, uint64(im.Rows)+uint64(i)
	}
	in := insertion{table: eventTable(src.Name), columns: append(eventRows(b, src.EventTime), m.columns()...)}
	in.token = importToken(im.Generation) + rand.Text() // else ClickHouse leaves out rows like some that ResumeImport took out
	if err := s.insert(ctx, in); err != nil {
		return failure("import into "+src.Name, err)
	}
	im.Rows += int64(b.Rows)
	return s.importStep(ctx, src, im, importBegun)
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

// FinishImport records that the import is whole.
func (s *Store) FinishImport(ctx context.Context, src *feature.Source, im *feature.Imported) error {
	im.Whole = true
	return s.importStep(ctx, src, im, importWhole)
}

// AbortImport removes the import's rows, which nobody has seen.
func (s *Store) AbortImport(ctx context.Context, src *feature.Source, im *feature.Imported) error {
	if err := s.importStep(ctx, src, im, importAborted); err != nil {
		return err
	}
	return s.cutImport(ctx, src, im.Generation, 0)
}

// importToken begins the tokens of the inserts of a generation.
func importToken(generation uint64) string { return fmt.Sprintf("import/%d/", generation) }

// outlast waits until ClickHouse works on no insert of the generation: whoever began it may have died, or given it up, and what it
// adds would not be taken out.
func (s *Store) outlast(ctx context.Context, generation uint64) error {
	ctx, cancel := inTime(ctx, insertLimit)
	defer cancel()
	sql, err := text("import_running.sql", nil)
	if err != nil {
		return err
	}
	for {
		var running uint64
		err := s.conn.QueryRow(ctx, sql, clickhouse.Named("prefix", importToken(generation))).Scan(&running)
		if err != nil || running == 0 {
			return failure("look for inserts that were given up", err)
		}
		select {
		case <-ctx.Done():
			return feature.Errorf(feature.CodeUnavailable, "ClickHouse still works on an insert of the import that was given up: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// cutImport removes the rows of a generation from one on, and those that are on their way.
func (s *Store) cutImport(ctx context.Context, src *feature.Source, generation uint64, from int64) error {
	if err := s.outlast(ctx, generation); err != nil {
		return err
	}
	sql, err := text("import_abort.sql", quote(eventTable(src.Name)))
	if err != nil {
		return err
	}
	err = s.conn.Exec(ctx, sql, clickhouse.Named("generation", generation), clickhouse.Named("from", uint64(from)))
	return failure("remove rows of an import", err)
}

// abandoned is how long an import that came to no end may be gone on with.
const abandoned = 7 * 24 * time.Hour

func (s *Store) dropAbandoned(ctx context.Context, src *feature.Source) error {
	sql, err := text("import_abandoned.sql", nil)
	if err != nil {
		return err
	}
	var left []*feature.Imported
	q := query{"look for imports without an end", sql, []any{clickhouse.Named("source", src.Name), clickhouse.Named("age", int64(abandoned/time.Second))}}
	err = s.each(ctx, q, func(r driver.Rows) error {
		im := &feature.Imported{}
		left = append(left, im)
		return r.Scan(&im.Generation, (*int64)(&im.At))
	})
	for _, im := range left {
		if err == nil {
			err = s.AbortImport(ctx, src, im)
		}
	}
	return err
}

// importStep adds a row to the imports table, later than the last of its import, whatever the clocks say.
func (s *Store) importStep(ctx context.Context, src *feature.Source, im *feature.Imported, state string) error {
	im.At = max(feature.Time(now()), im.At+1)
	in := insertion{table: "imports", columns: []stored{
		{"source", "String", []string{src.Name}},
		{"generation", "UInt64", []uint64{im.Generation}},
		{"name", "String", []string{im.Name}},
		{"hash", "String", []string{im.Hash}},
		{"state", "String", []string{state}},
		{"rows", "Int64", []int64{im.Rows}},
		{"edition", "UInt64", []uint64{im.Edition}},
		{"version", "Int64", []int64{int64(im.Version)}},
		{"at", "DateTime64(6, 'UTC')", []time.Time{im.At.Std()}},
	}}
	return failure("record an import", s.insert(ctx, in))
}
