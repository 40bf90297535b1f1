package offline

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// Sample is a part of what Kept returns, to see what the whole would take.
type Sample struct {
	Clock  feature.Time // asof.NoClock without events
	Keys   uint64       // of the whole, within some percent
	Events uint64       // of the whole: those that some window sees
	Rows   iter.Seq2[asof.Kept, error]
}

// Sample is Kept for about so many keys of a view, which need not be registered, chosen at random and the same each time. A source without an
// event table has no events.
func (s *Store) Sample(ctx context.Context, v *feature.View, cut feature.Cut, keys uint64) (*Sample, error) {
	out := &Sample{Clock: asof.NoClock, Rows: func(func(asof.Kept, error) bool) {}}
	src, err := s.known(ctx, v.Source)
	if src == nil || err != nil {
		return out, err
	}
	e, err := s.visible(ctx, src, readOf{edition: v.Edition.Number, cut: cut, keys: v.Keys, inputs: v.Inputs()})
	if err != nil {
		return nil, err
	}
	if out.Clock, err = s.clock(ctx, e); err != nil || out.Clock == asof.NoClock {
		return out, err
	}
	keep := asof.Keep(out.Clock, v.History, v.Delay)
	from := clickhouse.Named("from", int64(max(asof.KeepFrom(v, keep), feature.MinTime-1)))
	sql, err := text("measure.sql", e)
	if err != nil {
		return nil, err
	}
	if err := s.conn.QueryRow(ctx, sql, append(e.params(), from)...).Scan(&out.Keys, &out.Events); err != nil {
		return nil, failure("measure "+v.Ref().String(), err)
	}
	e.Table = fmt.Sprintf("(SELECT * FROM %s WHERE cityHash64(%s) %% {share:UInt64} = 0)", e.Table, strings.Join(e.KeyNames, ", "))
	k, err := newKeptQuery(e, src, v)
	if err != nil {
		return nil, err
	}
	k.doing = "sample the history of " + v.Ref().String()
	k.args = append(e.params(), clickhouse.Named("keep", int64(max(keep, feature.MinTime-1))), from, clickhouse.Named("share", max(1, out.Keys/keys)))
	out.Rows = func(yield func(asof.Kept, error) bool) { s.streamKept(ctx, k, yield) }
	return out, nil
}
