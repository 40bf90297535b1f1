package wire_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

func drawPosition(t *rapid.T) asof.Position {
	p := asof.Position{EventTime: feature.Time(rapid.OneOf(rapid.Int64Range(-2, 2), rapid.Int64()).Draw(t, "time"))}
	if p.TieNull = rapid.Bool().Draw(t, "null"); !p.TieNull {
		p.Tie = rapid.OneOf(rapid.Int64Range(-2, 2), rapid.Int64()).Draw(t, "tie")
	}
	p.Seq = rapid.OneOf(rapid.Uint64Range(0, 2), rapid.Uint64Range(254, 257), rapid.Uint64()).Draw(t, "seq")
	p.Idx = rapid.OneOf(rapid.Uint32Range(0, 2), rapid.Uint32()).Draw(t, "idx")
	if p.Seq == 0 {
		var b []byte
		for _, name := range []string{"a", "b"} {
			b = wire.AppendOrderedColumn(b, name, drawValue(t, feature.Int64))
		}
		p.Columns = string(wire.AppendRowPlace(b, rapid.Uint64Range(0, 300).Draw(t, "generation"), rapid.Uint64Range(0, 2).Draw(t, "row")))
	}
	return p
}

// TestPosition checks that bytes of positions are ordered as the positions, and give them back.
func TestPosition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPosition(t), drawPosition(t)
		a, b := wire.AppendPosition(nil, &p), wire.AppendPosition(nil, &q)
		if got, want := bytes.Compare(a, b), asof.Compare(p, q); got != want {
			t.Fatalf("%+v is %x, %+v is %x: they compare as %d, want %d", p, a, q, b, got, want)
		}
		if back, err := wire.ParsePosition(a); err != nil || back != p {
			t.Fatalf("%x is read as %+v, %v, want %+v", a, back, err, p)
		}
		if !bytes.HasPrefix(a, wire.AppendInstant(nil, p.EventTime)) {
			t.Fatalf("%x does not begin with its event time", a)
		}
	})
}

// TestPositionBytes checks the example of the format's page.
func TestPositionBytes(t *testing.T) {
	got := fmt.Sprintf("% x", wire.AppendPosition(nil, &asof.Position{EventTime: 5, Tie: -1, Seq: 700, Idx: 2}))
	if want := "80 00 00 00 00 00 00 05 01 7f ff ff ff ff ff ff ff 02 02 bc 01 02"; got != want {
		t.Errorf("AppendPosition = %s, want %s", got, want)
	}
}

// TestRowPlace checks that which row an event is decides only between events of equal columns.
func TestRowPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func() (columns, placed []byte) {
			for _, name := range []string{"a", "b", "c"} {
				columns = wire.AppendOrderedColumn(columns, name, drawValue(t, feature.Int64))
			}
			return columns, wire.AppendRowPlace(slices.Clone(columns), rapid.Uint64().Draw(t, "generation"), rapid.Uint64().Draw(t, "row"))
		}
		a, placedA := draw()
		b, placedB := draw()
		if c := bytes.Compare(a, b); c != 0 && bytes.Compare(placedA, placedB) != c {
			t.Fatalf("%x and %x compare as %d, but %x and %x do not", a, b, c, placedA, placedB)
		}
	})
}

// TestRow checks that rows are read as they were written, and no others.
func TestRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := make([]feature.Value, rapid.IntRange(0, 3).Draw(t, "values"))
		for i := range values {
			values[i] = drawValue(t, drawType(t))
		}
		deleted := rapid.Bool().Draw(t, "deleted")
		b := wire.AppendRow(nil, deleted, values)
		into := make([]feature.Value, len(values))
		got, err := wire.ParseRow(b, into)
		if err != nil || got != deleted || !slices.EqualFunc(into, values, feature.Value.Equal) {
			t.Fatalf("%x is read as %t, %v, %v, want %t, %v", b, got, into, err, deleted, values)
		}
		if _, err := wire.ParseRow(append(b, 0), into); err == nil {
			t.Fatalf("a byte too many is no error")
		}
	})
}

func TestKeyLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := drawKey(t)
		b := wire.AppendKey(nil, k)
		if n, err := wire.KeyLength(append(b, 1, 2, 3), len(k)); err != nil || n != len(b) {
			t.Fatalf("KeyLength of %v and more = %d, %v, want %d", k, n, err, len(b))
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	f.Add(wire.AppendPosition(nil, &asof.Position{EventTime: 5, Tie: -1, Seq: 700, Idx: 2}))
	f.Add(wire.AppendPosition(nil, &asof.Position{EventTime: -5, TieNull: true, Columns: "\x9e\xff\x06\x01"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := wire.ParsePosition(b)
		if err == nil && !bytes.Equal(wire.AppendPosition(nil, &p), b) {
			t.Errorf("%x is read as %+v, which is written as %x", b, p, wire.AppendPosition(nil, &p))
		}
	})
}

func FuzzParseRow(f *testing.F) {
	f.Add(wire.AppendRow(nil, true, []feature.Value{feature.Int64Value(5), {}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		into := make([]feature.Value, 2)
		deleted, err := wire.ParseRow(b, into)
		if err != nil {
			return
		}
		if _, err := wire.ParseRow(wire.AppendRow(nil, deleted, into), into); err != nil {
			t.Errorf("what was read is not read again: %v", err)
		}
	})
}
