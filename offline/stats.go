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

// eventRows is the number of rows of a source's event table when the set was begun.
func (t *TrainingSet) eventRows(ctx context.Context, source string) (uint64, error) {
	if t.rows == nil {
		all, err := t.store.Stats(ctx)
		if err != nil {
			return 0, err
		}
		t.rows = map[string]uint64{}
		for _, one := range all {
			t.rows[one.Source] = one.Rows
		}
	}
	return t.rows[source], nil
}
