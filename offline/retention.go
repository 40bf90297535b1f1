package offline

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
)

// retained is the comment of an event table: what ClickHouse removes of it by itself.
type retained struct {
	Retention feature.Span `json:"retention,omitempty"`   // by which the table's TTL was made; 0: none
	Gone      feature.Time `json:"gone_before,omitempty"` // events before it may have been removed under another retention; microseconds, 0: none
}

// kept returns from when on all events are there, by a clock that says now.
func (r retained) kept(src *feature.Source, now feature.Time) feature.Time {
	kept := src.Kept(now)
	if r.Gone != 0 {
		kept = max(kept, r.Gone)
	}
	return kept
}

// retain gives the table of a source the TTL that its retention asks for (rule E4), and returns what it keeps. ClickHouse
// then removes whole parts, each once its last event is old enough. The comment is written last: what was cut off is done again.
func (s *Store) retain(ctx context.Context, src *feature.Source, at feature.Time) (retained, error) {
	was, err := s.retained(ctx, src)
	if err != nil || was.Retention == src.Retention {
		return was, err
	}
	is := retained{src.Retention, was.Gone}
	if was.Retention > 0 {
		is.Gone = max(is.Gone, (&feature.Source{Retention: was.Retention}).Kept(at))
	}
	comment, err := json.Marshal(is)
	if err != nil {
		return was, err
	}
	table := quote(eventTable(src.Name))
	statements := []string{"ALTER TABLE " + table + " REMOVE TTL"}
	if src.Retention > 0 {
		statements = []string{
			"ALTER TABLE " + table + " MODIFY SETTING ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1",
			// ClickHouse keeps the instant as an uint32 of seconds, in which 0 means never: it wraps what lies outside.
			fmt.Sprintf("ALTER TABLE %s MODIFY TTL toDateTime(least(greatest(intDiv(toUnixTimestamp64Micro(%s), 1000000) + %d, 1), 4294967295)) DELETE",
				table, quote(src.EventTime), (src.Retention+2*feature.RetentionSlack)/feature.Second),
		}
	}
	statements = append(statements, fmt.Sprintf("ALTER TABLE %s MODIFY COMMENT '%s'", table, comment))
	for _, sql := range statements {
		if err := s.conn.Exec(ctx, sql); err != nil {
			return was, failure("set the retention of "+src.Name, err)
		}
	}
	return is, nil
}

func (s *Store) retained(ctx context.Context, src *feature.Source) (retained, error) {
	var r retained
	q := query{
		"read what is kept of " + src.Name, "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
		[]any{clickhouse.Named("table", eventTable(src.Name))},
	}
	err := s.each(ctx, q, func(rows driver.Rows) error {
		var comment string
		if err := rows.Scan(&comment); err != nil || comment == "" {
			return err
		}
		if err := json.Unmarshal([]byte(comment), &r); err != nil {
			return fmt.Errorf("the comment of table %s is not ours: %w", eventTable(src.Name), err)
		}
		return nil
	})
	return r, err
}

// checkKept refuses a read of a view at t that could depend on events that are gone (rule E4).
func (s *Store) checkKept(v *feature.View, src *feature.Source, t feature.Time) error {
	s.mu.Lock()
	r := s.retains[src.Name]
	s.mu.Unlock()
	kept := r.kept(src, feature.Time(now()))
	if kept == math.MinInt64 {
		return nil
	}
	return v.CheckKept(t, kept)
}

// checkKept refuses a training set with rows that could depend on events that are gone.
func (t *TrainingSet) checkKept(ctx context.Context) error {
	first, what := t.spine.first, "the earliest row of the spine"
	if t.ask.KeysAll { // which may be none because they are gone
		first, what = t.ask.At, "all keys"
	} else if t.spine.rows == 0 {
		return nil
	}
	for _, it := range t.ask.Plan.Items {
		src, err := t.store.known(ctx, it.View.Source)
		if err != nil || src == nil {
			return err
		}
		if err := t.store.checkKept(it.View, src, first); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
