package wire_test

import (
	"fmt"
	"math"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
)

var kinds = []feature.Kind{feature.KindInt64, feature.KindFloat64, feature.KindBool, feature.KindString, feature.KindTimestamp}

// drawScalar draws a value of the kind, extremes and neighbours often.
func drawScalar(t *rapid.T, k feature.Kind) feature.Value {
	switch k {
	case feature.KindInt64:
		return feature.Int64Value(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-3, 3),
			rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 255, 256, 65535, 65536, 1 << 32})).Draw(t, "int"))
	case feature.KindTimestamp:
		return feature.TimestampValue(feature.Time(rapid.Int64Range(int64(feature.MinTime), int64(feature.MaxTime)).Draw(t, "time")))
	case feature.KindBool:
		return feature.BoolValue(rapid.Bool().Draw(t, "bool"))
	case feature.KindFloat64:
		f := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{
			0, math.Copysign(0, -1), 1, -1,
			math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64,
		})).Draw(t, "float")
		return feature.Float64Value(f)
	default:
		return feature.StringValue(rapid.OneOf(rapid.String(),
			rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 0xff}), 0, 4, -1)).Draw(t, "string"))
	}
}

func drawType(t *rapid.T) feature.Type {
	return feature.Type{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), List: rapid.IntRange(0, 3).Draw(t, "list") == 0}
}

// drawValue draws a value of the type, or NULL.
func drawValue(t *rapid.T, typ feature.Type) feature.Value {
	if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return feature.Value{}
	}
	if !typ.List {
		return drawScalar(t, typ.Kind)
	}
	elems := make([]feature.Value, rapid.IntRange(0, 3).Draw(t, "length"))
	for i := range elems {
		elems[i] = drawScalar(t, typ.Kind)
	}
	return feature.ListValue(typ.Kind, elems)
}

func drawKey(t *rapid.T) feature.Key {
	k := make(feature.Key, rapid.IntRange(0, 3).Draw(t, "parts"))
	for i := range k {
		kind := rapid.SampledFrom([]feature.Kind{feature.KindInt64, feature.KindBool, feature.KindString, feature.KindTimestamp}).Draw(t, "kind")
		k[i] = drawScalar(t, kind)
	}
	return k
}

func drawBatch(t *rapid.T) *feature.Batch {
	src := &feature.Source{Name: rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "source")}
	for i := range rapid.IntRange(1, 6).Draw(t, "columns") {
		src.Columns = append(src.Columns, feature.Field{Name: fmt.Sprintf("c%d", i), Type: drawType(t)})
	}
	b := feature.NewBatch(src)
	for range rapid.IntRange(0, 20).Draw(t, "rows") {
		row := make([]feature.Value, len(src.Columns))
		for i := range row {
			row[i] = drawValue(t, src.Columns[i].Type)
		}
		b.Append(row)
	}
	return b
}

func drawEvents(t *rapid.T) []asof.Event {
	events := make([]asof.Event, rapid.IntRange(0, 5).Draw(t, "events"))
	for i := range events {
		e := &events[i]
		e.EventTime = feature.Time(rapid.Int64Range(int64(feature.MinTime), int64(feature.MaxTime)).Draw(t, "event time"))
		e.TieNull = rapid.Bool().Draw(t, "tie null")
		e.Tie = rapid.Int64().Draw(t, "tie")
		e.Seq = rapid.Uint64().Draw(t, "seq")
		e.Idx = rapid.Uint32().Draw(t, "idx")
		e.Columns = rapid.StringN(0, 5, -1).Draw(t, "columns")
		e.Deleted = rapid.Bool().Draw(t, "deleted")
		e.Values = make([]feature.Value, rapid.IntRange(0, 4).Draw(t, "values"))
		for j := range e.Values {
			e.Values[j] = drawValue(t, drawType(t))
		}
	}
	return events
}

// diffBatch says where two batches differ, "" if they do not.
func diffBatch(got, want *feature.Batch) string {
	if got.Source != want.Source || got.Rows != want.Rows || len(got.Fields) != len(want.Fields) {
		return fmt.Sprintf("%s, %d rows, %d fields; want %s, %d, %d", got.Source, got.Rows, len(got.Fields), want.Source, want.Rows, len(want.Fields))
	}
	for c := range want.Fields {
		if got.Fields[c] != want.Fields[c] || got.Columns[c].Type != want.Columns[c].Type || got.Columns[c].Len() != want.Rows {
			return fmt.Sprintf("column %d is %v, %d long; want %v, %d", c, got.Fields[c], got.Columns[c].Len(), want.Fields[c], want.Rows)
		}
		for i := range want.Rows {
			if g, w := got.Columns[c].Value(i), want.Columns[c].Value(i); !g.Equal(w) {
				return fmt.Sprintf("row %d column %d is %v, want %v", i, c, g, w)
			}
		}
	}
	return ""
}
