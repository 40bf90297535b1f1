package offline

import (
	"context"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/agg"
)

// piece is spine rows that follow each other, all of them or some.
type piece struct {
	from, to    uint64       // numbers, without to
	first, last feature.Time // read times
}

// pieceBlocks is into about how many blocks a spine is cut, of which pieces are made: few rows each, because a row of a hot key may
// have a large map.
const pieceBlocks = 1 << 20

// mapped reports whether ClickHouse makes a map of the values in each window, all maps of a query before it uses the first.
func mapped(w *feature.Window) bool {
	return w != nil && (w.Operator == string(agg.TopK) || w.Operator == string(agg.ApproxQuantile))
}

// pieces cuts the spine, which ask is about, so that the maps of each piece hold at most Config.MapValues, or are those of one
// block.
func (t *TrainingSet) pieces(ctx context.Context, src *feature.Source, ask windowAsk) (pieces []piece, err error) {
	v := *ask.item.View
	ask.features = slices.DeleteFunc(slices.Clone(ask.features), func(f int) bool { return !mapped(v.Features[f].Window) })
	events, err := t.eventRows(ctx, src.Name)
	if most := t.store.cfg.MapValues; err != nil || float64(events)*float64(t.spine.rows)*float64(len(ask.features)) <= float64(most) {
		return []piece{ask.piece}, err
	}
	v.Features = slices.Clone(v.Features)
	for _, f := range ask.features {
		w := *v.Features[f].Window
		w.Operator = string(agg.Count)
		v.Features[f].Window = &w
	}
	ask.item = &feature.Item{View: &v}
	q, err := t.store.windowQuery(ctx, src, ask)
	if err != nil {
		return nil, err
	}
	counts, err := q.ranges()
	if err != nil {
		return nil, err
	}
	sql, err := text("window_pieces.sql", struct {
		*windowQuery
		Counts string
	}{q, counts})
	if err != nil {
		return nil, err
	}
	return t.cut(ctx, sql, q.args)
}

// cut makes pieces of blocks.
func (t *TrainingSet) cut(ctx context.Context, sql string, args []any) ([]piece, error) {
	const doing = "cut the spine"
	size := t.spine.rows/pieceBlocks + 1
	rows, err := t.store.conn.Query(ctx, sql, append(args, clickhouse.Named("block", size))...)
	if err != nil {
		return nil, failure(doing, err)
	}
	defer rows.Close()
	var pieces []piece
	held := 0.0
	for rows.Next() {
		var block uint64
		var first, last int64
		var values float64
		if err := rows.Scan(&block, &first, &last, &values); err != nil {
			return nil, failure(doing, err)
		}
		if held += values; len(pieces) == 0 || held > float64(t.store.cfg.MapValues) {
			held = values
			pieces = append(pieces, piece{from: block * size, first: feature.MaxTime, last: feature.MinTime})
		}
		p := &pieces[len(pieces)-1]
		p.to = (block + 1) * size
		p.first, p.last = min(p.first, feature.Time(first)), max(p.last, feature.Time(last))
	}
	return pieces, failure(doing, rows.Err())
}
