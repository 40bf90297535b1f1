package offline

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/feature"
)

// CountErased returns how many events an erasure at a sequence of the log would take out (rule E3).
func (s *Store) CountErased(ctx context.Context, e feature.Erasure, seq uint64) (rows uint64, err error) {
	sql, args, err := s.erasure(ctx, "erase_count.sql", e, seq)
	if err != nil {
		return 0, err
	}
	err = s.conn.QueryRow(ctx, sql, args...).Scan(&rows)
	return rows, failure("count the events to be erased from "+e.Source, err)
}

// erase takes out the events of erasures at a sequence of the log. When it returns they are in no part of a table that
// queries read; ClickHouse deletes the files of the parts before within minutes.
func (s *Store) erase(ctx context.Context, erasures []feature.Erasure, seq uint64) error {
	for _, e := range erasures {
		sql, args, err := s.erasure(ctx, "erase.sql", e, seq)
		if err != nil {
			return err
		}
		if err := s.conn.Exec(ctx, sql, args...); err != nil {
			return failure("erase events from "+e.Source, err)
		}
	}
	return nil
}

// erasure renders a statement about the events of an erasure: those before the sequence, and those of imports whose
// record is before it.
func (s *Store) erasure(ctx context.Context, name string, e feature.Erasure, seq uint64) (sql string, args []any, err error) {
	generations, err := s.Generations(ctx, e.Source, seq)
	if err != nil {
		return "", nil, err
	}
	match, args := matching(e)
	args = append(args, clickhouse.Named("seq", seq), clickhouse.Named("gens", append([]uint64{0}, generations...)))
	sql, err = text(name, struct{ Table, Match string }{quote(eventTable(e.Source)), match})
	return sql, args, err
}

// matching returns the condition that an event has one of the keys, and what is bound in it.
func matching(e feature.Erasure) (sql string, args []any) {
	keys := make([]string, len(e.Keys))
	for i, key := range e.Keys {
		parts := make([]string, len(key))
		for part, v := range key {
			param := fmt.Sprintf("k%d_%d", i, part)
			expr, bound := keyParam(param, v)
			parts[part] = quote(e.Columns[part]) + " = " + expr
			args = append(args, clickhouse.Named(param, bound))
		}
		keys[i] = "(" + strings.Join(parts, " AND ") + ")"
	}
	return "ifNull(" + strings.Join(keys, " OR ") + ", false)", args
}

// ErasedIDs returns the events that an erasure at a sequence of the log takes out of a source with an id, as long as they are
// there: the columns of the id and the event time. Of other sources it returns nothing.
func (s *Store) ErasedIDs(ctx context.Context, e feature.Erasure, seq uint64) iter.Seq2[*feature.Batch, error] {
	return func(yield func(*feature.Batch, error) bool) {
		src := s.source(e.Source)
		if src == nil {
			yield(nil, feature.Errorf(feature.CodeUnavailable, "the definition of source %s has not arrived at the history yet", e.Source))
			return
		}
		if len(src.ID) == 0 {
			return
		}
		a, err := s.arrived(ctx, src, readOf{edition: allEditions, cut: feature.Cut{Seq: seq}})
		if err == nil {
			var args []any
			a.Only, args = matching(e)
			err = s.streamArrived(ctx, src, a, append(args, a.params()...), func(events *feature.Arrivals, err error) bool {
				if err != nil {
					return yield(nil, err)
				}
				return yield(identified(src, events), nil)
			})
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// identified returns events as a batch of the columns of the id and the event time alone.
func identified(src *feature.Source, events *feature.Arrivals) *feature.Batch {
	out := &feature.Batch{Source: src.Name, Rows: len(events.Times)}
	for i, name := range src.ID {
		out.Fields, out.Columns = append(out.Fields, feature.Field{Name: name, Type: events.IDs[i].Type}), append(out.Columns, events.IDs[i])
	}
	if slices.Contains(src.ID, src.EventTime) {
		return out
	}
	times := feature.Column{Type: feature.Timestamp}
	for _, t := range events.Times {
		times.Append(feature.TimestampValue(t))
	}
	out.Fields, out.Columns = append(out.Fields, feature.Field{Name: src.EventTime, Type: feature.Timestamp}), append(out.Columns, times)
	return out
}

// keyParam returns how a part of a key stands in a statement, as a parameter, and what is bound to it.
func keyParam(name string, v feature.Value) (expr string, bound any) {
	switch v.Type() {
	case feature.String:
		return "{" + name + ":String}", v.Str()
	case feature.Bool:
		return "{" + name + ":Bool}", v.Bool()
	case feature.Timestamp:
		return "fromUnixTimestamp64Micro({" + name + ":Int64}, 'UTC')", int64(v.Time())
	default:
		return "{" + name + ":Int64}", v.Int64()
	}
}
