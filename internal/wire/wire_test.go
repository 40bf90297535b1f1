package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/wire"
)

func TestKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := drawKey(t)
		got, err := wire.ParseKey(wire.AppendKey([]byte(nil), k), len(k))
		if err != nil || !got.Equal(k) {
			t.Fatalf("ParseKey(AppendKey(%v)) = %v, %v", k, got, err)
		}
	})
}

func TestKeyInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawKey(t), drawKey(t)
		if same := bytes.Equal(wire.AppendKey(nil, a), wire.AppendKey(nil, b)); same != a.Equal(b) {
			t.Fatalf("%v and %v: equal bytes %v, equal keys %v", a, b, same, a.Equal(b))
		}
	})
	for _, p := range [][2]feature.Key{
		{{feature.Int64Value(1), feature.Int64Value(11)}, {feature.Int64Value(11), feature.Int64Value(1)}},
		{{feature.StringValue("a"), feature.StringValue("")}, {feature.StringValue(""), feature.StringValue("a")}},
		{{feature.Int64Value(1)}, {feature.BoolValue(true)}},
		{{feature.Int64Value(5)}, {feature.StringValue("5")}},
		{{feature.Int64Value(5)}, {feature.TimestampValue(5)}},
	} {
		if bytes.Equal(wire.AppendKey(nil, p[0]), wire.AppendKey(nil, p[1])) {
			t.Errorf("%v and %v have equal bytes", p[0], p[1])
		}
	}
}

// TestOrdered holds AppendOrdered against feature.Compare for tuples: the bytes of concatenations compare as
// the tuples do (rule O2).
func TestOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		types := make([]feature.Type, rapid.IntRange(1, 4).Draw(t, "types"))
		for i := range types {
			types[i] = drawType(t)
		}
		var rows [2][]feature.Value
		var enc [2][]byte
		for r := range rows {
			for i, typ := range types {
				v := drawValue(t, typ)
				if r == 1 && rapid.Bool().Draw(t, "same") {
					v = rows[0][i]
				}
				rows[r] = append(rows[r], v)
				enc[r] = wire.AppendOrdered(enc[r], v)
			}
		}
		if got, want := bytes.Compare(enc[0], enc[1]), slices.CompareFunc(rows[0], rows[1], feature.Compare); got != want {
			t.Fatalf("%v and %v: bytes compare %d, values %d", rows[0], rows[1], got, want)
		}
	})
}

// TestOrderedAcrossTypes holds it for values of any two types, which Compare orders too.
func TestOrderedAcrossTypes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawValue(t, drawType(t)), drawValue(t, drawType(t))
		got := bytes.Compare(wire.AppendOrdered(nil, a), wire.AppendOrdered(nil, b))
		if want := feature.Compare(a, b); got != want {
			t.Fatalf("%v and %v: bytes compare %d, values %d", a, b, got, want)
		}
	})
}

func TestColumnOrder(t *testing.T) {
	fields := []feature.Field{{Name: "b"}, {Name: "a"}, {Name: "B"}, {Name: "aa"}}
	if got := wire.ColumnOrder(fields); !slices.Equal(got, []int{2, 1, 3, 0}) {
		t.Errorf("ColumnOrder = %v, want [2 1 3 0]", got)
	}
}

// TestAppendRowOrder compares rows with every choice of NULL and two values in columns whose names begin each other, and
// rows of a batch that lacks the columns in which they are NULL (O2).
func TestAppendRowOrder(t *testing.T) {
	names := []string{"a", "ab", "b", "B"} // in order of name: B, a, ab, b
	var rows [][]feature.Value
	var encoded []string
	for n := range 81 {
		row := make([]feature.Value, len(names))
		all, some := &feature.Batch{}, &feature.Batch{}
		for i := range names {
			if digit := n % 3; digit > 0 {
				row[i] = feature.Int64Value(int64(digit))
				some.Fields = append(some.Fields, feature.Field{Name: names[i], Type: feature.Int64})
				some.Columns = append(some.Columns, feature.Column{Type: feature.Int64})
				some.Columns[len(some.Columns)-1].Append(row[i])
			}
			all.Fields = append(all.Fields, feature.Field{Name: names[i], Type: feature.Int64})
			all.Columns = append(all.Columns, feature.Column{Type: feature.Int64})
			all.Columns[i].Append(row[i])
			n /= 3
		}
		rows = append(rows, row)
		encoded = append(encoded, string(wire.AppendRowOrder(nil, all, 0, wire.ColumnOrder(all.Fields))))
		if got := string(wire.AppendRowOrder(nil, some, 0, wire.ColumnOrder(some.Fields))); got != encoded[len(encoded)-1] {
			t.Errorf("%v is %x, and %x without the columns that are NULL", row, encoded[len(encoded)-1], got)
		}
	}
	for i, a := range rows {
		for j, b := range rows {
			want := 0
			for _, c := range []int{3, 0, 1, 2} {
				if want = feature.Compare(a[c], b[c]); want != 0 {
					break
				}
			}
			if got := strings.Compare(encoded[i], encoded[j]); got != want {
				t.Fatalf("%v and %v compare %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestGroupRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		enc := wire.AppendGroup([]byte("before"), b)
		got, err := wire.ParseGroup(enc[len("before"):])
		if err != nil {
			t.Fatalf("ParseGroup: %v", err)
		}
		if d := diffBatch(got, b); d != "" {
			t.Fatalf("ParseGroup(AppendGroup(b)): %s", d)
		}
		if again := wire.AppendGroup(nil, got); !bytes.Equal(again, enc[len("before"):]) {
			t.Fatalf("the group encodes differently the second time")
		}
	})
}

// TestGroupOfSlice encodes a part of a batch, whose columns share memory with the whole.
func TestGroupOfSlice(t *testing.T) {
	b := flights(100)
	got, err := wire.ParseGroup(wire.AppendGroup(nil, b.Slice(10, 20)))
	if err != nil {
		t.Fatal(err)
	}
	if d := diffBatch(got, b.Slice(10, 20)); d != "" {
		t.Error(d)
	}
}

func TestGroupEveryFlippedByte(t *testing.T) {
	enc := wire.AppendGroup(nil, flights(20))
	for i := range enc {
		bad := bytes.Clone(enc)
		bad[i] ^= 0x10
		if _, err := wire.ParseGroup(bad); err == nil {
			t.Fatalf("byte %d flipped: no error", i)
		}
		if _, err := wire.ParseGroup(enc[:i]); err == nil {
			t.Fatalf("cut at byte %d: no error", i)
		}
	}
}

// TestGroupClaims gives the reader groups with right checksums that claim more than they hold.
func TestGroupClaims(t *testing.T) {
	column := func(kind feature.Kind, flags byte, rest ...byte) []byte {
		return append([]byte{1, 'c', byte(kind), flags, 0}, rest...)
	}
	for name, tc := range map[string]struct {
		body []byte
		want string
	}{
		"rows":           {[]byte{1, 's', 0xff, 0xff, 0xff, 0xff, 0x0f, 1}, "number of rows"},
		"no columns":     {[]byte{1, 's', 1, 0}, "without columns"},
		"columns":        {[]byte{1, 's', 0, 9}, "number of columns"},
		"kind":           {append([]byte{1, 's', 1, 1}, column(9, 0, 0, 1, 7)...), "a column of kind 9"},
		"flags":          {append([]byte{1, 's', 1, 1}, column(1, 8, 0, 1, 7)...), "flags 0x8"},
		"width":          {append([]byte{1, 's', 1, 1}, column(1, 0, 0, 0, 7)...), "width of a column"},
		"bool":           {append([]byte{1, 's', 1, 1}, column(feature.KindBool, 0, 0, 1, 7)...), "expected 0 or 1"},
		"string lengths": {append([]byte{1, 's', 1, 1}, column(feature.KindString, 0, 0, 1, 7)...), "only 0 bytes are left"},
		"negative":       {append([]byte{1, 's', 1, 1}, column(feature.KindString, 0, 1, 1, 0)...), "-1"},
		"list lengths":   {append([]byte{1, 's', 1, 1}, column(1, 1, 0, 1, 200, 0, 1)...), "200"},
		"trailing":       {append([]byte{1, 's', 1, 1}, column(1, 0, 0, 1, 7, 7)...), "too many"},
		"not shortest":   {[]byte{0x81, 0x00, 's', 0, 0}, "shortest"},
	} {
		_, err := wire.ParseGroup(sealed(tc.body))
		if _, ok := errors.AsType[*wire.Error](err); !ok || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want a *wire.Error with %q", name, err, tc.want)
		}
	}
}

// sealed makes a row group of a body: magic before, checksum behind.
func sealed(body []byte) []byte {
	b := append([]byte("LSG\x01"), body...)
	return binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))
}

func TestEventsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := drawEvents(t)
		got, err := wire.ParseEvents(wire.AppendEvents(nil, events))
		if err != nil {
			t.Fatalf("ParseEvents: %v", err)
		}
		if d := gocmp.Diff(events, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("ParseEvents(AppendEvents) (-want +got):\n%s", d)
		}
	})
}

func TestEventsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		enc := wire.AppendEvents(nil, drawEvents(t))
		for i := range enc {
			if _, err := wire.ParseEvents(enc[:i]); err == nil {
				t.Fatalf("cut at byte %d of %d: no error", i, len(enc))
			}
		}
	})
}

func TestErrorSaysWhere(t *testing.T) {
	_, err := wire.ParseKey([]byte{1, 2, 99, 0}, 2)
	const want = "broken key at byte 3: part 1 is of kind(99), which no key has"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = wire.ParseEvents([]byte{9})
	if err == nil || err.Error() != "broken state at byte 0: version 9 is not known, expected 1" {
		t.Errorf("got %v", err)
	}
}

func TestGroupBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		if size, bound := len(wire.AppendGroup(nil, b)), wire.GroupBound(b); size > bound {
			t.Fatalf("a group of %d bytes, bound %d", size, bound)
		}
	})
}
