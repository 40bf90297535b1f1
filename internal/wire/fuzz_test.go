package wire_test

import (
	"bytes"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/asof"
	"github.com/lockstepfs/lockstep/internal/wire"
)

func FuzzParseKey(f *testing.F) {
	f.Add(wire.AppendKey(nil, feature.Key{feature.StringValue("JFK"), feature.Int64Value(-5)}), 2)
	f.Add(wire.AppendKey(nil, feature.Key{feature.BoolValue(true), feature.TimestampValue(feature.MinTime)}), 2)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		k, err := wire.ParseKey(b, n)
		if err == nil && !bytes.Equal(wire.AppendKey(nil, k), b) {
			t.Errorf("%x is read as %v, which is written as %x", b, k, wire.AppendKey(nil, k))
		}
	})
}

// FuzzParseGroup puts the right checksum behind the bytes, so that what is behind it is reached.
func FuzzParseGroup(f *testing.F) {
	for _, b := range []*feature.Batch{flights(0), flights(1), flights(9), everything()} {
		enc := wire.AppendGroup(nil, b)
		f.Add(enc[4 : len(enc)-8])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = wire.ParseGroup(body)
		b, err := wire.ParseGroup(sealed(body))
		if err != nil {
			return
		}
		again, err := wire.ParseGroup(wire.AppendGroup(nil, b))
		if err != nil {
			t.Fatalf("what was read is not read again: %v", err)
		}
		if d := diffBatch(again, b); d != "" {
			t.Error(d)
		}
	})
}

func FuzzParseEvents(f *testing.F) {
	f.Add(wire.AppendEvents(nil, nil))
	f.Add(wire.AppendEvents(nil, []asof.Event{
		{Position: asof.Position{EventTime: 5, Tie: 1, Seq: 7, Idx: 2}, Values: []feature.Value{feature.StringValue("x"), {}}},
		{
			Position: asof.Position{EventTime: 9, TieNull: true, Columns: "\x02\x00"}, Deleted: true,
			Values: []feature.Value{feature.ListValue(feature.KindFloat64, []feature.Value{feature.Float64Value(1.5)}), feature.BoolValue(true)},
		},
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := wire.ParseEvents(b)
		if err != nil {
			return
		}
		if _, err := wire.ParseEvents(wire.AppendEvents(nil, events)); err != nil {
			t.Errorf("what was read is not read again: %v", err)
		}
	})
}
