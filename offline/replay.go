package offline

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// settleTime is how long an insert of a process that is gone may still be adding a part whose token it has entered.
const settleTime = 2 * time.Second

// complete adds the rows of g that are still missing after an insert that was begun before was made again. A table without
// replication enters the token of a part into its list, and then adds the part: a kill in between leaves a token
// without its part, and from then on every insert with this token leaves the part out.
func (s *Store) complete(ctx context.Context, g *rowGroup, in insertion) error {
	lost, err := s.lost(ctx, g)
	if err != nil || len(lost) == 0 {
		return err
	}
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if lost, err = s.lost(ctx, g); err != nil || len(lost) == 0 {
		return err
	}
	s.cfg.Logger.Warn("an insert was interrupted between a token and its part; the part is added under another token",
		slog.String("table", in.table), slog.String("token", in.token), slog.Int("rows", len(lost)))
	rest := g.only(lost).insertion()
	rest.token = in.token + "/" + rand.Text()
	return s.insert(ctx, rest)
}

// place is where the log has a row.
type place struct {
	seq uint64
	idx uint32
}

// lost returns the rows of g that are not in their table.
func (s *Store) lost(ctx context.Context, g *rowGroup) ([]int, error) {
	times := g.batch.Column(g.eventTime).Ints
	sql, err := text("begun.sql", struct{ Table, EventTime string }{quote(eventTable(g.source)), quote(g.eventTime)})
	if err != nil {
		return nil, err
	}
	there := map[place]bool{}
	q := query{"look for the rows of a batch that was begun before", sql, []any{
		clickhouse.Named("first", slices.Min(g.marks.seq)), clickhouse.Named("last", slices.Max(g.marks.seq)),
		clickhouse.Named("from", slices.Min(times)), clickhouse.Named("to", slices.Max(times)),
	}}
	err = s.each(ctx, q, func(rows driver.Rows) error {
		var p place
		err := rows.Scan(&p.seq, &p.idx)
		there[p] = true
		return err
	})
	var lost []int
	for i := range g.batch.Rows {
		if !there[place{g.marks.seq[i], g.marks.idx[i]}] {
			lost = append(lost, i)
		}
	}
	return lost, err
}

// only returns some rows of g as a group of their own.
func (g *rowGroup) only(rows []int) *rowGroup {
	part := &rowGroup{source: g.source, eventTime: g.eventTime, batch: *g.batch.Slice(0, 0)}
	for _, i := range rows {
		part.batch.AppendBatch(g.batch.Slice(i, i+1))
		part.marks.available = append(part.marks.available, g.marks.available[i])
		part.marks.seq = append(part.marks.seq, g.marks.seq[i])
		part.marks.idx = append(part.marks.idx, g.marks.idx[i])
		part.marks.gen = append(part.marks.gen, g.marks.gen[i])
	}
	return part
}
