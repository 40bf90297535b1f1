package offline

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// SourceStats says how much the history holds of a source, visible or not.
type SourceStats struct {
	Source string `json:"source"`
	Rows   uint64 `json:"rows"`
	Bytes  uint64 `json:"bytes"` // on disk
}

// Stats returns the size of every source's event table, in order of name.
func (s *Store) Stats(ctx context.Context) ([]SourceStats, error) {
	sql, err := text("stats.sql", nil)
	if err != nil {
		return nil, err
	}
	var all []SourceStats
	q := query{"measure the history", sql, []any{clickhouse.Named("prefix", eventTable(""))}}
	err = s.each(ctx, q, func(rows driver.Rows) error {
		var one SourceStats
		err := rows.Scan(&one.Source, &one.Rows, &one.Bytes)
		all = append(all, one)
		return err
	})
	return all, err
}

// eventRows is the number of rows of a source's event table.
func (s *Store) eventRows(ctx context.Context, source string) (uint64, error) {
	all, err := s.Stats(ctx)
	for _, one := range all {
		if one.Source == source {
			return one.Rows, err
		}
	}
	return 0, err
}
