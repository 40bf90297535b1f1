package offline

import (
	"context"
	"log/slog"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

// stageSQL stages what the user's SELECT returns, inside ClickHouse. describe has checked it before it gets into the INSERT.
func (sp *spine) stageSQL(ctx context.Context, ask *Training) error {
	columns, err := sp.store.describe(ctx, ask.SQL, nil)
	if err != nil {
		return err
	}
	for _, c := range columns {
		sp.fields = append(sp.fields, feature.Field{Name: c.name, Type: c.typ})
	}
	at, err := ask.arrange(sp.fields)
	if err != nil {
		return err
	}
	if err := sp.checkTypes(ask, at); err != nil {
		return err
	}
	if err := sp.create(ctx, nil); err != nil {
		return err
	}
	sql, err := text("spine_sql.sql", struct {
		Table, Time, Query string
		Columns            []selectedColumn
	}{quote(sp.table), spineColumn(at.time), inner(ask.SQL), selected(columns)})
	if err != nil {
		return err
	}
	if err := sp.store.conn.Exec(quietly(ctx), sql); err != nil {
		return refused("run the spine's SQL", err)
	}
	var names []string
	for _, i := range at.keys {
		names = append(names, spineColumn(i))
	}
	sp.useKeys(ask.Plan, names, at.keys)
	return sp.measure(ctx, at)
}

// inner is a SELECT as it stands in parentheses: without its final semicolon, and safe against a comment at its end.
func inner(sql string) string { return strings.TrimRight(strings.TrimSpace(sql), "; \t\r\n") + "\n" }

// quietly keeps the order of the user's rows: sorting inside a subquery counts here.
func quietly(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"query_plan_remove_redundant_sorting": 0, "max_insert_threads": 1, "parallel_view_processing": 0, "wait_end_of_query": 1,
		"max_memory_usage": fenceMemory,
	}))
}

// described is a column that a SELECT returns.
type described struct {
	name string
	conversion
}

// asText takes a column of any type as text.
func asText(name string) conversion { return conversion{feature.String, "toString(" + name + ")"} }

// describe checks a user's SELECT and returns its columns. Columns of types without a counterpart go through other, or are an error
// when it is nil.
func (s *Store) describe(ctx context.Context, sql string, other func(name string) conversion) ([]described, error) {
	if err := s.check(ctx, sql, ownTables); err != nil {
		return nil, err
	}
	var columns []described
	var wrong []feature.Detail
	rows, err := s.conn.Query(fenced(ctx), "DESCRIBE TABLE (\n"+inner(sql)+")")
	if err != nil {
		return nil, refused("read the SQL", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, typ string
		if err := scanFirst(rows, &name, &typ); err != nil {
			return nil, failure("read the SQL", err)
		}
		c, err := convert(typ, quote(name))
		switch {
		case err != nil && other != nil:
			c = other(quote(name))
		case err != nil:
			wrong = append(wrong, feature.Detail{Field: name, Message: err.Error() + ": cast it in the SQL"})
		}
		columns = append(columns, described{name, c})
	}
	if err := rows.Err(); err != nil {
		return nil, refused("read the SQL", err)
	}
	if len(wrong) > 0 {
		return nil, &feature.Error{Code: feature.CodeInvalid, Message: "the SQL returns columns of unknown types", Details: wrong}
	}
	return columns, nil
}

// scanFirst scans the first columns of a row and drops the others.
func scanFirst(rows driver.Rows, into ...any) error {
	for range len(rows.Columns()) - len(into) {
		into = append(into, new(string))
	}
	return rows.Scan(into...)
}

// selectedColumn is a column of a spine's SQL in the staged table.
type selectedColumn struct {
	Expr, Name, Has string // Has only for a list
}

func selected(columns []described) []selectedColumn {
	out := make([]selectedColumn, len(columns))
	for i, c := range columns {
		out[i] = selectedColumn{Expr: c.expr, Name: spineColumn(i)}
		if c.typ.List {
			out[i].Has = spineHas(i)
		}
	}
	return out
}

func (sp *spine) checkTypes(ask *Training, at layout) error {
	var wrong []feature.Detail
	check := func(i int, want feature.Type, what string) {
		if f := sp.fields[i]; f.Type != want {
			wrong = append(wrong, feature.Detail{Field: f.Name, Message: what + " must be " + want.String() + ", not " + f.Type.String() + ": cast it in the SQL"})
		}
	}
	check(at.time, feature.Timestamp, "the time")
	for i, key := range ask.Plan.Keys {
		check(at.keys[i], key.Type, "key "+key.Name)
	}
	if len(wrong) > 0 {
		return &feature.Error{Code: feature.CodeInvalid, Message: "the spine does not fit", Details: wrong}
	}
	return nil
}

// measure reads the number of rows, the least and the greatest time, and refuses rows without a valid time.
func (sp *spine) measure(ctx context.Context, at layout) error {
	sql, err := text("spine_measure.sql", struct{ Table, Time string }{quote(sp.table), spineColumn(at.time)})
	if err != nil {
		return err
	}
	var bad, badRow uint64
	var first, last int64
	err = sp.store.conn.QueryRow(ctx, sql, clickhouse.Named("min", int64(feature.MinTime)), clickhouse.Named("max", int64(feature.MaxTime))).
		Scan(&sp.rows, &first, &last, &bad, &badRow)
	if err != nil {
		return failure("measure the spine", err)
	}
	if bad > 0 {
		row := int(badRow)
		return &feature.Error{
			Code: feature.CodeInvalid, Message: "the spine has a bad row (rows count from 0)",
			Details: []feature.Detail{{Row: &row, Field: sp.fields[at.time].Name, Message: "the time of a spine row must not be NULL, and lie in the years 1900 to 2299"}},
		}
	}
	sp.first, sp.last = max(feature.MinTime, feature.Time(first)), max(feature.MinTime, feature.Time(last))
	return nil
}

// stageKeys stages every key that has an event at or before hi in one of the plan's views (rule S3), ordered by key. The
// views must be of one entity, asked for under one set of names.
func (sp *spine) stageKeys(ctx context.Context, ask *Training) error {
	sp.fields = append(append(sp.fields, ask.Plan.Keys...), feature.Field{Name: keysAllTime, Type: feature.Timestamp})
	ask.TimeColumn, ask.Keys = keysAllTime, nil
	at, err := ask.arrange(sp.fields)
	if err != nil {
		return err
	}
	if err := sp.create(ctx, nil); err != nil {
		return err
	}
	for i := range ask.Plan.Items {
		it := &ask.Plan.Items[i]
		if len(it.Keys) != len(ask.Plan.Keys) {
			return feature.Errorf(feature.CodeInvalid, "all keys are those of one entity under one set of names; %s has key %s, the plan has %s",
				it.Role, strings.Join(it.Keys, ", "), fieldNames(ask.Plan.Keys))
		}
		if err := sp.addKeys(ctx, ask, it); err != nil {
			return err
		}
	}
	if err := sp.numberKeys(ctx, len(ask.Plan.Keys)); err != nil {
		return err
	}
	var names []string
	for i := range ask.Plan.Keys {
		names = append(names, spineColumn(i))
	}
	sp.useKeys(ask.Plan, names, at.keys)
	return sp.measure(ctx, at)
}

// addKeys adds the keys of one view to the staged table, not yet numbered.
func (sp *spine) addKeys(ctx context.Context, ask *Training, it *feature.Item) error {
	src, err := sp.store.known(ctx, it.View.Source)
	hi := asof.Hi(ask.At, it.View.Delay)
	if src == nil || err != nil || hi < feature.MinTime {
		return err
	}
	e, err := sp.store.visible(ctx, src, readOf{edition: it.View.Edition.Number, cut: ask.Cut, keys: it.View.Keys})
	if err != nil {
		return err
	}
	data := struct {
		*events
		Spine     string
		Place     []string // for each part of the entity's key the staged column
		Time      string
		Available bool
	}{events: e, Spine: quote(sp.table), Time: spineColumn(len(ask.Plan.Keys)), Available: ask.Clock == feature.ClockAvailable}
	for _, name := range it.Keys {
		data.Place = append(data.Place, spineColumn(feature.FieldIndex(ask.Plan.Keys, name)))
	}
	sql, err := text("spine_keys.sql", data)
	if err != nil {
		return err
	}
	args := append(e.params(), clickhouse.Named("hi", int64(hi)), clickhouse.Named("at", int64(ask.At)))
	return failure("find all keys of "+it.View.Ref().String(), sp.store.conn.Exec(ctx, sql, args...))
}

// numberKeys makes the distinct keys, in order, the rows of the spine.
func (sp *spine) numberKeys(ctx context.Context, keys int) error {
	data := struct {
		Table, From string
		Keys        []string
		Time        string
	}{quote(sp.table), quote(sp.table + "_all"), nil, spineColumn(keys)}
	for i := range keys {
		data.Keys = append(data.Keys, spineColumn(i))
	}
	if err := sp.store.conn.Exec(ctx, "RENAME TABLE "+data.Table+" TO "+data.From); err != nil {
		return failure("number the keys", err)
	}
	defer func() {
		old := *sp
		old.table += "_all"
		if err := old.drop(); err != nil {
			sp.store.cfg.Logger.Warn("a staged spine stays in ClickHouse until the next start", slog.String("table", old.table), slog.Any("error", err))
		}
	}()
	if err := sp.create(ctx, nil); err != nil {
		return err
	}
	sql, err := text("spine_number.sql", data)
	if err != nil {
		return err
	}
	return failure("number the keys", sp.store.conn.Exec(quietly(ctx), sql))
}
