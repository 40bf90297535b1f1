package feature_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

// A batch is a list of rows, however it was put together and cut.
func TestBatchIsAListOfRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := &feature.Source{Name: "s"}
		for i, typ := range rapid.SliceOfN(types(), 1, 4).Draw(t, "types") {
			src.Columns = append(src.Columns, feature.Field{Name: string(rune('a' + i)), Type: typ})
		}
		var want [][]feature.Value
		draw := func(most int) *feature.Batch {
			b := feature.NewBatch(src)
			for range rapid.IntRange(0, most).Draw(t, "rows") {
				row := make([]feature.Value, len(src.Columns))
				for i, f := range src.Columns {
					row[i] = valuesOf(f.Type).Draw(t, f.Name)
				}
				b.Append(row)
				want = append(want, row)
			}
			return b
		}
		b := draw(5)
		b.AppendBatch(draw(5))
		check(t, b, want)
		i := rapid.IntRange(0, b.Rows).Draw(t, "i")
		j := rapid.IntRange(i, b.Rows).Draw(t, "j")
		part := b.Slice(i, j)
		check(t, part, want[i:j])
		part.AppendBatch(b) // must not write over what lies behind the part
		check(t, b, want)
	})
}

func check(t *rapid.T, b *feature.Batch, want [][]feature.Value) {
	if b.Rows != len(want) {
		t.Fatalf("%d rows, want %d", b.Rows, len(want))
	}
	for i := range want {
		for k, v := range b.Row(i) {
			if !v.Equal(want[i][k]) {
				t.Fatalf("row %d, column %d = %s, want %s", i, k, v, want[i][k])
			}
			if c := b.Column(b.Fields[k].Name); c.IsNull(i) != v.IsNull() || c.Len() != b.Rows {
				t.Fatalf("row %d, column %d: IsNull() = %t, Len() = %d", i, k, c.IsNull(i), c.Len())
			}
		}
	}
}
