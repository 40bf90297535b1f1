package offline

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lockstepfs/lockstep/feature"
)

// spine is a staged spine: a table ordered by row number, with all of the spine's columns and its keys and time as reads
// need them.
type spine struct {
	store  *Store
	table  string // not quoted
	fields []feature.Field
	keys   []spineKey // for each of the plan's keys
	late   []string   // tables of some of the rows, not quoted
	at     []int      // for each of the plan's keys its place among the fields
	rows   uint64
	first  feature.Time // least time
	last   feature.Time // greatest time
}

// spineKey is a key part of the staged rows.
type spineKey struct {
	Column string // quoted; NULL where the spine has NULL
	Expr   string // as events have it, never NULL
}

// stageRows is how many rows go into the staged table by one insert.
const stageRows = 200_000

func (s *Store) stage(ctx context.Context, ask *Training) (*spine, error) {
	sp := &spine{store: s, table: fmt.Sprintf("%s%d_%s", spinePrefix, now(), strings.ToLower(rand.Text()))}
	var err error
	switch {
	case ask.Spine != nil:
		err = sp.stageBatches(ctx, ask)
	case ask.KeysAll:
		err = sp.stageKeys(ctx, ask)
	default:
		err = sp.stageSQL(ctx, ask)
	}
	if err != nil {
		if dropErr := sp.drop(); dropErr != nil {
			s.cfg.Logger.Warn("a staged spine stays in ClickHouse until the next start", slog.String("table", sp.table), slog.Any("error", dropErr))
		}
		return nil, err
	}
	return sp, nil
}

// dropWait bounds the removal of a staged table, which does not end with the request.
const dropWait = 30 * time.Second

func (sp *spine) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), dropWait)
	defer cancel()
	var errs []error
	for _, table := range append(sp.late, sp.table) {
		errs = append(errs, failure("remove a staged spine", sp.store.conn.Exec(ctx, "DROP TABLE IF EXISTS "+quote(table))))
	}
	return errors.Join(errs...)
}

// Names of the columns of a staged table: spines may use any names, these are by place.
func spineColumn(i int) string         { return fmt.Sprintf("c%d", i) }
func spineHas(i int) string            { return fmt.Sprintf("h%d", i) }
func convertedKey(i int) string        { return fmt.Sprintf("k%d", i) }
func stagedType(t feature.Type) string { return columnType(t, true, false) }

// stagedColumn is a column of the staged table.
type stagedColumn struct{ Name, Type string }

// create makes the table; converted are the plan's keys that need a column of their own.
func (sp *spine) create(ctx context.Context, converted []stagedColumn) error {
	columns := []stagedColumn{{"_rid", "UInt64"}, {"_t", "Int64"}}
	for i, f := range sp.fields {
		columns = append(columns, stagedColumn{spineColumn(i), stagedType(f.Type)})
		if f.Type.List {
			columns = append(columns, stagedColumn{spineHas(i), "Bool"})
		}
	}
	sql, err := text("spine_create.sql", struct {
		Table   string
		Columns []stagedColumn
	}{quote(sp.table), append(columns, converted...)})
	if err != nil {
		return err
	}
	return failure("stage the spine", sp.store.conn.Exec(ctx, sql))
}

// useKeys makes sp.keys: for each of the plan's keys the name of its column, and its place among the fields.
func (sp *spine) useKeys(plan *feature.Plan, columns []string, at []int) {
	sp.at = at
	for i, f := range plan.Keys {
		name := quote(columns[i])
		expr := "assumeNotNull(" + name + ")"
		if f.Type.Kind == feature.KindBool {
			expr = "toInt64(" + expr + ")"
		}
		sp.keys = append(sp.keys, spineKey{name, expr})
	}
}

// stageBatches stages rows that come from the caller. Keys and times are converted where nothing is lost (rule K4).
func (sp *spine) stageBatches(ctx context.Context, ask *Training) error {
	var st *stager
	if ask.Fields != nil {
		var err error
		if st, err = sp.stager(ctx, ask, ask.Fields); err != nil {
			return err
		}
	}
	for b, err := range ask.Spine {
		if err != nil {
			return fmt.Errorf("read the spine: %w", err)
		}
		if st == nil {
			if st, err = sp.stager(ctx, ask, b.Fields); err != nil {
				return err
			}
		}
		if err := st.add(ctx, b); err != nil {
			return err
		}
	}
	if st == nil {
		return feature.Errorf(feature.CodeInvalid, "the spine is empty and has no columns")
	}
	return st.flush(ctx)
}

// stager collects rows for the staged table.
type stager struct {
	sp      *spine
	plan    *feature.Plan
	layout  layout
	convert []bool // for each of the plan's keys whether it has a column of its own

	pending feature.Batch
	times   []int64
	keys    []feature.Column
}

func (sp *spine) stager(ctx context.Context, ask *Training, fields []feature.Field) (*stager, error) {
	at, err := ask.arrange(fields)
	if err != nil {
		return nil, err
	}
	sp.fields, sp.last = slices.Clone(fields), feature.MinTime
	sp.first = feature.MaxTime
	st := &stager{sp: sp, plan: ask.Plan, layout: at}
	var converted []stagedColumn
	var names []string
	for i, key := range ask.Plan.Keys {
		differs := fields[at.keys[i]].Type != key.Type
		st.convert = append(st.convert, differs)
		name := spineColumn(at.keys[i])
		if differs {
			name = convertedKey(i)
			converted = append(converted, stagedColumn{name, stagedType(key.Type)})
		}
		names = append(names, name)
	}
	sp.useKeys(ask.Plan, names, at.keys)
	st.reset()
	return st, sp.create(ctx, converted)
}

func (st *stager) reset() {
	st.pending = feature.Batch{Fields: st.sp.fields, Columns: make([]feature.Column, len(st.sp.fields))}
	for i, f := range st.sp.fields {
		st.pending.Columns[i].Type = f.Type
	}
	st.times = nil
	st.keys = make([]feature.Column, len(st.plan.Keys))
	for i, f := range st.plan.Keys {
		st.keys[i].Type = f.Type
	}
}

func (st *stager) add(ctx context.Context, b *feature.Batch) error {
	if !slices.Equal(b.Fields, st.sp.fields) {
		return feature.Errorf(feature.CodeInvalid, "the spine changes its columns after row %d", st.sp.rows+uint64(len(st.times)))
	}
	first := st.sp.rows + uint64(len(st.times))
	if err := st.addTimes(&b.Columns[st.layout.time], first); err != nil {
		return err
	}
	for i, differs := range st.convert {
		if differs {
			if err := st.addKey(i, &b.Columns[st.layout.keys[i]], first); err != nil {
				return err
			}
		}
	}
	st.pending.AppendBatch(b)
	if st.pending.Rows < stageRows {
		return nil
	}
	return st.flush(ctx)
}

func (st *stager) addTimes(c *feature.Column, first uint64) error {
	for i := range c.Len() {
		v, err := feature.Convert(c.Value(i), feature.Timestamp)
		if err != nil {
			return st.badRow(first+uint64(i), st.layout.time, err.Error())
		}
		if v.IsNull() {
			return st.badRow(first+uint64(i), st.layout.time, "the time of a spine row must not be NULL")
		}
		st.times = append(st.times, int64(v.Time()))
		st.sp.first, st.sp.last = min(st.sp.first, v.Time()), max(st.sp.last, v.Time())
	}
	return nil
}

func (st *stager) addKey(key int, c *feature.Column, first uint64) error {
	for i := range c.Len() {
		v, err := feature.Convert(c.Value(i), st.plan.Keys[key].Type)
		if err != nil {
			return st.badRow(first+uint64(i), st.layout.keys[key], err.Error())
		}
		st.keys[key].Append(v)
	}
	return nil
}

func (st *stager) badRow(row uint64, column int, message string) error {
	at := int(row)
	return &feature.Error{
		Code: feature.CodeInvalid, Message: "the spine has a bad row (rows count from 0)",
		Details: []feature.Detail{{Row: &at, Field: st.sp.fields[column].Name, Message: message}},
	}
}

func (st *stager) flush(ctx context.Context) error {
	n := st.pending.Rows
	if n == 0 {
		return nil
	}
	rids := make([]uint64, n)
	for i := range rids {
		rids[i] = st.sp.rows + uint64(i)
	}
	columns := []stored{{"_rid", "UInt64", rids}, {"_t", "Int64", st.times}}
	for i := range st.pending.Columns {
		columns = append(columns, columnData(spineColumn(i), spineHas(i), &st.pending.Columns[i], false)...)
	}
	for i, differs := range st.convert {
		if differs {
			columns = append(columns, columnData(convertedKey(i), "", &st.keys[i], false)...)
		}
	}
	if err := st.sp.store.insert(ctx, insertion{table: st.sp.table, columns: columns}); err != nil {
		return failure("stage the spine", err)
	}
	st.sp.rows += uint64(n)
	st.reset()
	return nil
}
