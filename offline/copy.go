package offline

import (
	"context"
	"log/slog"
	"math"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// longestCopy is how long one statement of a copy may take.
const longestCopy = 2 * time.Hour

// comparedRows is how many rows of a copy are compared with what is known, in memory, before they go in.
const comparedRows = 10_000_000

// examplesShown is how many refused rows of a copy are told.
const examplesShown = 100

// Copy copies what the source's table has past the stored cursor, less the overlap, or all that it has, into a new generation, inside
// ClickHouse: rows that the gate would refuse and rows whose id is known stay out (rule E1). Nobody sees its rows before
// Append has met its record in the log, and until then the next Copy goes on from the same cursor. Where there is nothing to
// add and the cursor stays, the generation is 0. One Copy of a source may run at a time. read is called with the number of
// rows read so far, from another goroutine; it may be nil.
func (s *Store) Copy(ctx context.Context, req feature.CopyRequest, read func(rows int64)) (feature.Copied, error) {
	o, err := s.origin(ctx, req.Source)
	if err != nil {
		return feature.Copied{}, err
	}
	c := &copying{Store: s, origin: o, req: req}
	if err := c.begin(ctx); err != nil {
		return feature.Copied{}, err
	}
	defer c.drop(ctx)
	if begun, err := c.run(ctx, read); err != nil {
		if begun {
			c.abort(ctx)
		}
		return feature.Copied{}, err
	}
	return c.state.copied, nil
}

// copying is one copy under way.
type copying struct {
	*Store
	*origin
	req   feature.CopyRequest
	from  *int64 // the cursor that it goes on from; nil for none
	least *int64 // the least cursor that it looks at; nil for all
	gens  []uint64
	state copyState
}

func (c *copying) begin(ctx context.Context) error {
	steps, err := c.tableCopies(ctx, c.src)
	if err != nil {
		return err
	}
	c.state.origin = c.mark()
	for _, step := range steps {
		if step.seq == 0 {
			return feature.Errorf(feature.CodeConflict, "an earlier copy into source %s has to be finished first", c.src.Name)
		}
		c.state.copied.Previous = step.copied.Generation
		if step.origin == c.state.origin {
			c.from = step.cursor
		}
	}
	if c.gens, err = c.generations(ctx, c.src.Name, math.MaxInt64, c.src.Edition.Number); err != nil {
		return err
	}
	c.gens = append(c.gens, 0)
	if !c.req.Full {
		c.least = c.since(c.from)
	}
	c.state.cursor = c.from
	c.state.copied.Generation = c.nextGeneration(c.src.Edition.Number)
	return nil
}

// run copies; it reports whether the generation exists and must be taken back if what follows fails.
func (c *copying) run(ctx context.Context, read func(int64)) (begun bool, err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0, "max_partitions_per_insert_block": 0, "wait_end_of_query": 1,
		"max_execution_time": int(longestCopy / time.Second), "max_bytes_before_external_sort": 1 << 30, "max_bytes_before_external_group_by": 1 << 30,
	}))
	for _, step := range []func(context.Context) error{func(ctx context.Context) error { return c.stage(ctx, read) }, c.measure, c.decide} {
		if err := step(ctx); err != nil {
			return false, err
		}
	}
	did := &c.state.copied
	moved := c.state.cursor != nil && (c.from == nil || *c.from < *c.state.cursor)
	if c.req.DryRun || did.Rows == 0 && !moved {
		did.Generation = 0
		return false, nil
	}
	if did.Rows > 0 {
		c.state.state = importBegun
		if err := c.copyStep(ctx, c.src, c.state); err != nil {
			return true, err
		}
		if err := c.exec(ctx, "copy_insert.sql", clickhouse.Named("generation", did.Generation)); err != nil {
			return true, err
		}
	}
	c.state.state = importWhole
	return true, c.copyStep(ctx, c.src, c.state)
}

// stage takes a picture of what is past the cursor, so that everything after it is decided on the same rows.
func (c *copying) stage(ctx context.Context, read func(int64)) error {
	if err := c.exec(ctx, "copy_stage.sql"); err != nil {
		return err
	}
	if err := c.exec(ctx, "copy_known_create.sql"); err != nil {
		return err
	}
	if read != nil {
		watching, stop := context.WithCancel(ctx)
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			c.watch(watching, read)
		}()
		defer func() { stop(); <-watched }()
	}
	var args []any
	if c.least != nil {
		args = append(args, clickhouse.Named("since", *c.least))
	}
	return c.exec(ctx, "copy_fill.sql", args...)
}

// watch tells how many rows are staged until ctx ends.
func (c *copying) watch(ctx context.Context, read func(int64)) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var rows *uint64
		q := "SELECT total_rows FROM system.tables WHERE database = currentDatabase() AND name = {name:String}"
		if c.conn.QueryRow(ctx, q, clickhouse.Named("name", c.stageTable())).Scan(&rows) == nil && rows != nil {
			read(int64(*rows))
		}
	}
}

// measure counts what was staged and finds the next cursor. A time in the future does not move the cursor past now:
// a single wrong one would hide all rows after it.
func (c *copying) measure(ctx context.Context) error {
	sql, err := text("copy_measure.sql", c)
	if err != nil {
		return err
	}
	var read, refused uint64
	var cursor *int64
	did := &c.state.copied
	var first, last int64
	if err := c.conn.QueryRow(ctx, sql).Scan(&read, &refused, &first, &last, &cursor); err != nil {
		return c.failed(err)
	}
	did.Read, did.Refused, did.First, did.Last = int64(read), int64(refused), feature.Time(first), feature.Time(last)
	if cursor != nil {
		if c.cursor.isTime {
			*cursor = min(*cursor, int64(c.req.Arrival))
		}
		if c.from == nil || *c.from < *cursor {
			c.state.cursor = cursor
		}
	}
	if refused == 0 {
		return nil
	}
	return c.examples(ctx)
}

// examples reads some of the refused rows, first of all those that no earlier copy has met.
func (c *copying) examples(ctx context.Context) error {
	sql, err := text("copy_refused.sql", c)
	if err != nil {
		return err
	}
	past, cursor := c.from == nil, int64(0)
	if !past {
		cursor = *c.from
	}
	faults := c.Faults()
	args := []any{clickhouse.Named("past", past && c.cursor.name != "" || c.state.copied.Previous == 0), clickhouse.Named("cursor", cursor), clickhouse.Named("n", int64(examplesShown))}
	return c.each(ctx, query{"read refused rows", sql, args}, func(r driver.Rows) error {
		var number uint16
		var row feature.RefusedRow
		var isNew *bool
		if err := r.Scan(&number, &row.Raw, &isNew); err != nil {
			return err
		}
		row.New = isNew != nil && *isNew
		row.Field, row.Reason = faults[number-1].Field, faults[number-1].Reason
		c.state.copied.Examples = append(c.state.copied.Examples, row)
		return nil
	})
}

// decide finds the rows of the copy that are known (rule E1), so that what copies overlap in is not stored again and again.
// Rows that are copies of each other, or of what arrives before the record of the generation, Append finds at the record; so
// it does with all of more rows than are compared here at once.
func (c *copying) decide(ctx context.Context) error {
	did := &c.state.copied
	good := did.Read - did.Refused
	if good > 0 && good <= comparedRows {
		first, last := max(did.First-feature.Time(c.src.Dedup), feature.MinTime), min(did.Last+feature.Time(c.src.Dedup), feature.MaxTime)
		err := c.exec(ctx, "copy_known.sql", clickhouse.Named("gens", c.gens), clickhouse.Named("first", int64(first)), clickhouse.Named("last", int64(last)))
		if err != nil {
			return err
		}
		if err := c.count(ctx); err != nil {
			return err
		}
	}
	did.Rows = good - did.Duplicates
	return nil
}

func (c *copying) count(ctx context.Context) error {
	sql, err := text("copy_count.sql", c)
	if err != nil {
		return err
	}
	did := &c.state.copied
	var duplicates, conflicts uint64
	dedup := clickhouse.Named("dedup", int64(c.src.Dedup))
	if err := c.conn.QueryRow(ctx, sql, dedup).Scan(&duplicates, &conflicts); err != nil {
		return c.failed(err)
	}
	did.Duplicates, did.Conflicts = int64(duplicates), int64(conflicts)
	if duplicates == 0 {
		return nil
	}
	if sql, err = text("copy_span.sql", c); err != nil {
		return err
	}
	var first, last int64
	if err := c.conn.QueryRow(ctx, sql, dedup).Scan(&first, &last); err != nil {
		return c.failed(err)
	}
	did.First, did.Last = feature.Time(first), feature.Time(last)
	return nil
}

// exec runs the statement of a template. Of the parameters those that it does not name are passed over.
func (c *copying) exec(ctx context.Context, name string, args ...any) error {
	sql, err := text(name, c)
	if err != nil {
		return err
	}
	args = append(args, clickhouse.Named("dedup", int64(c.src.Dedup)))
	return c.failed(c.conn.Exec(ctx, sql, args...))
}

func (c *copying) failed(err error) error {
	return failure("copy "+c.src.From.Name()+" into source "+c.src.Name, err)
}

// drop removes the staged tables.
func (c *copying) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, table := range []string{c.stageTable(), c.knownTable()} {
		if err := c.conn.Exec(ctx, "DROP TABLE IF EXISTS "+quote(table)+" SYNC"); err != nil {
			c.cfg.Logger.Warn("a staged copy stays in ClickHouse until the next copy of the source", slog.String("table", table), slog.Any("error", err))
		}
	}
}

func (c *copying) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := c.AbortCopy(ctx, c.src, c.state.copied.Generation); err != nil {
		c.cfg.Logger.Warn("rows of a copy that ended early stay in ClickHouse, where nobody reads them, until the next copy of the source",
			slog.String("source", c.src.Name), slog.Uint64("generation", c.state.copied.Generation), slog.Any("error", err))
	}
}

// AbortCopy removes the generation's rows, which nobody has seen.
func (s *Store) AbortCopy(ctx context.Context, src *feature.Source, generation uint64) error {
	if err := s.cutImport(ctx, src, generation, 0); err != nil {
		return err
	}
	return s.copyStep(ctx, src, copyState{copied: feature.Copied{Generation: generation}, state: importAborted})
}

// RecoverCopies removes what copies of src left that did not come to their end, and returns those that did and that the
// log does not name, as far as ClickHouse covers the log. No Copy of src may be running.
func (s *Store) RecoverCopies(ctx context.Context, src *feature.Source) ([]feature.Copied, error) {
	if err := s.dropStaged(ctx, src); err != nil {
		return nil, err
	}
	steps, err := s.tableCopies(ctx, src)
	if err != nil {
		return nil, err
	}
	var whole []feature.Copied
	for _, step := range steps {
		switch {
		case step.state == importBegun:
			err = s.AbortCopy(ctx, src, step.copied.Generation)
		case step.seq == 0:
			whole = append(whole, step.copied)
		}
		if err != nil {
			return nil, err
		}
	}
	return whole, nil
}

func (s *Store) dropStaged(ctx context.Context, src *feature.Source) error {
	var names []string
	sql := "SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND match(name, {pattern:String})"
	pattern := "^(" + stagePrefix + "|" + knownPrefix + ")[0-9]+_" + src.Name + "$"
	if err := s.conn.QueryRow(ctx, sql, clickhouse.Named("pattern", pattern)).Scan(&names); err != nil {
		return failure("look for staged copies", err)
	}
	for _, name := range names {
		if err := s.conn.Exec(ctx, "DROP TABLE IF EXISTS "+quote(name)+" SYNC"); err != nil {
			return failure("remove a staged copy", err)
		}
	}
	return nil
}
