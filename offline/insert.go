package offline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// insertion is one insert of whole columns.
type insertion struct {
	table   string // not quoted
	token   string // deduplication token, or ""
	columns []stored
}

// insert sends all rows as one block. The same token again adds nothing, whatever became of the first attempt.
func (s *Store) insert(ctx context.Context, in insertion) (err error) {
	ctx, cancel := inTime(ctx, insertLimit)
	defer cancel()
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), errSlow) {
			err = fmt.Errorf("%w: %w", errSlow, err)
		}
	}()
	names := make([]string, len(in.columns))
	types := make([]clickhouse.ColumnNameAndType, len(in.columns))
	for i, c := range in.columns {
		names[i] = quote(c.name)
		types[i] = clickhouse.ColumnNameAndType{Name: c.name, Type: c.typ}
	}
	settings := clickhouse.Settings{"async_insert": 0, "max_partitions_per_insert_block": 0, "wait_end_of_query": 1}
	if in.token != "" {
		settings["insert_deduplicate"] = 1
		settings["insert_deduplication_token"] = in.token
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings), clickhouse.WithColumnNamesAndTypes(types))
	sql := fmt.Sprintf("INSERT INTO %s (%s)", quote(in.table), strings.Join(names, ", "))
	batch, err := s.conn.conn.PrepareBatch(ctx, sql)
	if err != nil {
		return err
	}
	defer batch.Close()
	for i, c := range in.columns {
		if err := batch.Column(i).Append(c.data); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return batch.Send()
}

// eventRows collects the columns of b as they go into the event table of a source, without those of the system.
func eventRows(b *feature.Batch, eventTime string) []stored {
	var columns []stored
	for i, f := range b.Fields {
		columns = append(columns, eventColumns(f, &b.Columns[i], f.Name == eventTime)...)
	}
	return columns
}

// marks are the columns of the system, one place for each row.
type marks struct {
	available []int64 // microseconds
	seq       []uint64
	idx       []uint32
	gen       []uint64
	row       []uint64 // nil for what was streamed
}

func (m *marks) columns() []stored {
	columns := []stored{
		{rawPrefix + availableAt, "Int64", m.available}, {"_seq", "UInt64", m.seq}, {"_idx", "UInt32", m.idx}, {"_gen", "UInt64", m.gen},
	}
	if m.row != nil {
		columns = append(columns, stored{"_row", "UInt64", m.row})
	}
	return columns
}
