package offline

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Explain is Lookup of a lookup of one row, with what each slot of the plan was made of.
func (s *Store) Explain(ctx context.Context, l *feature.Lookup, cut feature.Cut) (*feature.Answer, []asof.Trace, error) {
	if l.Rows() != 1 {
		return nil, nil, feature.Errorf(feature.CodeInvalid, "%d keys: expected one to explain", l.Rows())
	}
	ctx, cancel := inTime(ctx, s.cfg.Patience)
	defer cancel()
	a, err := s.Lookup(ctx, l, cut)
	if err != nil {
		return nil, nil, err
	}
	traces := make([]asof.Trace, len(l.Plan.Slots))
	for i := range l.Plan.Items {
		hi := asof.Hi(l.At, l.Plan.Items[i].View.Delay)
		events, err := s.explainItem(ctx, l, i, cut)
		if err != nil {
			return nil, nil, err
		}
		for j, slot := range l.Plan.Slots {
			if slot.Item == i {
				traces[j] = traceOf(l.Plan.Items[i].View, slot.Feature, hi, events)
			}
		}
	}
	return a, traces, nil
}

// traceOf takes what a feature is made of out of the newest events of its key, the newest first.
func traceOf(v *feature.View, f int, hi feature.Time, events []explained) asof.Trace {
	t := asof.Trace{Lo: asof.Ever, Hi: hi}
	w, input := v.Features[f].Window, v.InputOf(f, v.Inputs())
	if w != nil {
		t.Lo = asof.Lo(w, hi)
	}
	for i := range events {
		e := &events[i]
		if e.EventTime <= t.Lo || w == nil && i > 0 {
			return t
		}
		if t.More = len(t.Events) == asof.MaxTraced; t.More {
			return t
		}
		t.Events = append(t.Events, asof.Traced{Position: e.Position, Deleted: e.Deleted, Value: e.Values[input], AvailableAt: e.available})
	}
	return t
}

// explained is an event of a key.
type explained struct {
	asof.Event
	available feature.Time
}

// explainItem reads the newest events of the key in the view of an item, the newest first.
func (s *Store) explainItem(ctx context.Context, l *feature.Lookup, item int, cut feature.Cut) ([]explained, error) {
	ctx, of, err := s.prepare(ctx, l, item, lookupOf{cut: cut})
	if len(of.keys) == 0 || err != nil {
		return nil, err
	}
	v := of.item.View
	e, err := s.visible(ctx, of.src, readOf{edition: v.Edition.Number, cut: cut, keys: v.Keys, inputs: v.Inputs()})
	if err != nil {
		return nil, err
	}
	k := &keptQuery{view: v, query: query{doing: "explain " + v.Ref().String()}}
	k.selectAll(e, of.src)
	if of.asks {
		e.ask(of.src)
	}
	if k.sql, err = text("explain.sql", e); err != nil {
		return nil, err
	}
	k.args = append(e.params(), clickhouse.Named("hi", int64(min(of.hi, feature.MaxTime))), clickhouse.Named("limit", uint64(asof.MaxTraced+1)))
	var eventTime, available int64
	var p asof.Position
	var generation, place uint64
	row, intoRow := newCells(k.types)
	into := append([]any{&eventTime, &p.Seq, &p.Idx, &generation, &place, &available}, intoRow...)
	var events []explained
	err = s.each(ctx, k.query, func(rows driver.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		p.EventTime = feature.Time(eventTime)
		x := explained{k.event(row, p), feature.Time(available)}
		switch {
		case x.Seq > cut.Seq: // the request brings it
			x.Seq = asof.Asked
		case x.Seq == 0 && v.Windowed():
			x.Columns = string(wire.AppendRowPlace([]byte(x.Columns), generation, place))
		}
		events = append(events, x)
		return nil
	})
	return events, err
}
