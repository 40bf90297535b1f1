package offline

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

// Generations returns the import generations of a source that the log has named up to a sequence, in ascending order: those of
// all editions (rule E2).
func (s *Store) Generations(ctx context.Context, source string, seq uint64) ([]uint64, error) {
	return s.generations(ctx, source, seq, allEditions)
}

// allEditions stands for every edition of a source; no generation has this number.
const allEditions = math.MaxUint64

// generations returns those of one edition.
func (s *Store) generations(ctx context.Context, source string, seq, edition uint64) ([]uint64, error) {
	sql, err := text("generations.sql", nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := inTime(ctx, s.cfg.Patience)
	defer cancel()
	var generations []uint64
	err = s.conn.QueryRow(ctx, sql, clickhouse.Named("source", source), clickhouse.Named("seq", seq),
		clickhouse.Named("edition", edition), clickhouse.Named("all", uint64(allEditions))).Scan(&generations)
	return generations, failure("read the generations of "+source, err)
}

// generationsAt remembers the generations of sources at one cut while an answer is made from it.
type generationsAt map[editionOf][]uint64

// editionOf is an edition of a source.
type editionOf struct {
	source  string
	edition uint64
}

// generationsOf reads the generations of an edition that are visible at the cut, once.
func (s *Store) generationsOf(ctx context.Context, at generationsAt, of editionOf, cut feature.Cut) ([]uint64, error) {
	if known, ok := at[of]; ok {
		return known, nil
	}
	generations, err := s.generations(ctx, of.source, cut.Seq, of.edition)
	if err == nil && at != nil {
		at[of] = generations
	}
	return generations, err
}

// events is how a query reads the events of a source that are visible at a cut, for a view or a role of one. Its strings
// are SQL; all aliases that queries give begin with an underscore, which no column of a source does.
type events struct {
	Table           string
	KeyNames        []string // quoted columns of the key
	Keys            []string // the key's parts, never NULL
	KeyKinds        []feature.Kind
	EventTime       string // quoted
	EventMicros     string // the event time in microseconds
	AvailableMicros string // the available_at in microseconds
	Order           []term // what orders events of one time, ascending: tiebreak, sequence, index and columns (rules O1 and O2)
	Columns         []valueColumn
	Deleted         string // 1 for a deleted event, else 0
	Sequence        uint64
	Generations     []uint64 // visible ones, and 0 for what was streamed
}

// valueColumn is a column that a query returns: an expression that is never NULL, and one that says whether it was.
type valueColumn struct {
	Field feature.Field
	Expr  string
	Null  string // 1 where NULL, else 0
	Zero  string // a value of the same type
}

// newEvents prepares reads of the inputs from src, by the key columns given.
func newEvents(src *feature.Source, keys []string, inputs []feature.Input) (*events, error) {
	e := &events{Table: quote(eventTable(src.Name)), EventTime: quote(src.EventTime), Deleted: "0"}
	e.EventMicros = "toUnixTimestamp64Micro(" + e.EventTime + ")"
	e.AvailableMicros = "toUnixTimestamp64Micro(" + availableAt + ")"
	for _, k := range keys {
		f, err := field(src, k)
		if err != nil {
			return nil, err
		}
		e.KeyNames = append(e.KeyNames, quote(k))
		e.KeyKinds = append(e.KeyKinds, f.Type.Kind)
		e.Keys = append(e.Keys, keyExpr(f, quote(k)))
	}
	for i, in := range inputs {
		c, err := newInputColumn(src, in, i)
		if err != nil {
			return nil, err
		}
		e.Columns = append(e.Columns, c)
	}
	if src.Deleted != "" {
		e.Deleted = fmt.Sprintf("toUInt8(ifNull(%s, false))", quote(src.Deleted))
	}
	return e, nil
}

func field(src *feature.Source, column string) (feature.Field, error) {
	i := feature.FieldIndex(src.Columns, column)
	if i < 0 {
		return feature.Field{}, feature.Errorf(feature.CodeConflict, "source %s has no column %s any more", src.Name, column)
	}
	return src.Columns[i], nil
}

// order is O1 after the event time, ascending, NULL lowest, and with the tail also O2, which only imported events need.
func order(src *feature.Source, keys []string, tail bool) []term {
	var o []term
	if src.Tiebreak != "" && src.Tiebreak != src.EventTime {
		o = append(o, nullsFirst(newValueColumn(feature.Field{Name: src.Tiebreak, Type: tiebreakType(src)}, false))...)
	}
	o = append(o, term{"_seq", "toUInt64(0)"}, term{"_idx", "toUInt32(0)"})
	if !tail {
		return o
	}
	for _, i := range wire.ColumnOrder(src.Columns) {
		f := src.Columns[i]
		if f.Name != src.EventTime && f.Name != src.Tiebreak && !slices.Contains(keys, f.Name) { // those are equal already
			o = append(o, nullsFirst(newValueColumn(f, false))...)
		}
	}
	return o
}

func tiebreakType(src *feature.Source) feature.Type {
	if i := feature.FieldIndex(src.Columns, src.Tiebreak); i >= 0 {
		return src.Columns[i].Type
	}
	return feature.Int64
}

// term is something to order by, and a value of its type.
type term struct{ Expr, Zero string }

func nullsFirst(c valueColumn) []term {
	return []term{{"toUInt8(NOT " + c.Null + ")", "toUInt8(0)"}, {c.Expr, c.Zero}}
}

// keyExpr is a key part as reads compare it; the caller keeps NULL out.
func keyExpr(f feature.Field, name string) string {
	switch f.Type.Kind {
	case feature.KindTimestamp:
		return "toUnixTimestamp64Micro(assumeNotNull(" + name + "))"
	case feature.KindBool:
		return "toInt64(assumeNotNull(" + name + "))"
	default:
		return "assumeNotNull(" + name + ")"
	}
}

// newValueColumn is a column of an event table as queries return it: instants in microseconds, bools as int64.
func newValueColumn(f feature.Field, required bool) valueColumn {
	return newColumn(f, quote(f.Name), quote(hasPrefix+f.Name), required)
}

func newColumn(f feature.Field, name, has string, required bool) valueColumn {
	c := valueColumn{Field: f, Zero: zero(f.Type)}
	if f.Type.List {
		c.Expr, c.Null = name, "NOT "+has
		if f.Type.Kind == feature.KindTimestamp {
			c.Expr = "arrayMap(_e -> toUnixTimestamp64Micro(_e), " + name + ")"
		}
		return c
	}
	c.Null = "isNull(" + name + ")"
	value := "ifNull(" + name + ", " + scalarZero(f.Type.Kind) + ")"
	if required {
		c.Null, value = "0", name
	}
	switch f.Type.Kind {
	case feature.KindTimestamp:
		c.Expr = "toUnixTimestamp64Micro(" + name + ")"
		if !required {
			c.Expr = "ifNull(" + c.Expr + ", toInt64(0))"
		}
	case feature.KindBool:
		c.Expr = "toInt64(" + value + ")"
	default:
		c.Expr = value
	}
	return c
}

// scalarZero is a value of the stored type for ifNull.
func scalarZero(k feature.Kind) string {
	switch k {
	case feature.KindFloat64:
		return "toFloat64(0)"
	case feature.KindString:
		return "''"
	case feature.KindBool:
		return "false"
	default:
		return "toInt64(0)"
	}
}

// zero is a value of the type in which queries return t.
func zero(t feature.Type) string {
	switch {
	case t.List:
		return "CAST([], '" + columnTypeText(t) + "')"
	case t.Kind == feature.KindBool:
		return "toInt64(0)"
	default:
		return scalarZero(t.Kind)
	}
}

func columnTypeText(t feature.Type) string { return columnType(t, true, true) }

// Params are the parameters of the visibility condition.
func (e *events) params() []any {
	return []any{clickhouse.Named("seq", e.Sequence), clickhouse.Named("gens", e.Generations)}
}

// at restricts e to a cut. Streamed rows have generation 0 and imported rows sequence 0, so two conditions say it all.
func (e *events) at(seq uint64, generations []uint64) {
	e.Sequence = seq
	e.Generations = append([]uint64{0}, generations...)
}

// readOf says what of a source's events a query reads.
type readOf struct {
	edition    uint64 // of the imported events; allEditions for all
	cut        feature.Cut
	at         generationsAt // those known at the cut; may be nil
	generation uint64        // only this one; 0 for all that are visible
	keys       []string
	inputs     []feature.Input
}

// visible prepares a read of the events that are visible at the cut.
func (s *Store) visible(ctx context.Context, src *feature.Source, r readOf) (*events, error) {
	generations := []uint64{r.generation}
	if r.generation == 0 {
		var err error
		if generations, err = s.generationsOf(ctx, r.at, editionOf{src.Name, r.edition}, r.cut); err != nil {
			return nil, err
		}
	}
	e, err := newEvents(src, r.keys, r.inputs)
	if err != nil {
		return nil, err
	}
	e.at(r.cut.Seq, generations)
	e.Order = order(src, r.keys, len(generations) > 0)
	if r.generation != 0 {
		e.Generations = generations
	}
	return e, nil
}

func (e *events) types() []feature.Type {
	types := make([]feature.Type, len(e.Columns))
	for i, c := range e.Columns {
		types[i] = c.Field.Type
	}
	return types
}

// KeyColumn is the alias of part i of a key.
func keyColumn(i int) string { return fmt.Sprintf("_k%d", i) }

// KeyAliases are the aliases of all parts.
func (e *events) KeyAliases() []string {
	names := make([]string, len(e.Keys))
	for i := range names {
		names[i] = keyColumn(i)
	}
	return names
}

// Asked are the columns of a table of keys, as values of the event table's columns.
func (e *events) Asked() []string {
	names := e.KeyAliases()
	for i, k := range e.KeyKinds {
		if k == feature.KindTimestamp {
			names[i] = "fromUnixTimestamp64Micro(" + names[i] + ", 'UTC')"
		}
	}
	return names
}
