package agg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/lockstepfs/lockstep/feature"
)

// State is what an operator knows of a set of events. It is not safe for concurrent use; reading it (Value, Append, and
// being merged into another) may be concurrent.
type State interface {
	// Add takes the value of an event that is later than all before. The value is of the Spec's Input, or NULL, which is
	// ignored (rule W2) except by count "*".
	Add(v feature.Value)
	// Merge takes the events of o, which are all later than those taken before. o, of the same Spec, stays as it is and
	// shares no memory with the receiver that either changes.
	Merge(o State)
	// Value returns the result (rule W3).
	Value() feature.Value
	// Reset forgets all events and keeps memory for reuse.
	Reset()
	// Append appends the State's bytes to dst; docs/format/aggregates.md has the format.
	Append(dst []byte) []byte
	// Decode replaces the State by what Append wrote and returns the rest of src. After an error the State is without use.
	Decode(src []byte) (rest []byte, err error)
}

// New returns a State without events. The Spec must be one for which Output returns no error.
func New(s Spec) State {
	s = s.WithDefaults()
	isInt := s.Input.Kind == feature.KindInt64
	switch s.Op {
	case Count:
		return &count{star: s.Input == (feature.Type{})}
	case Sum:
		if isInt {
			return &sumInt{}
		}
		return &sumFloat{}
	case Avg:
		return &average{whole: isInt}
	case Min:
		return &extreme{kind: s.Input.Kind, sign: -1}
	case Max:
		return &extreme{kind: s.Input.Kind, sign: 1}
	case VarPop, VarSamp, StddevPop, StddevSamp:
		return &moments{op: s.Op, whole: isInt}
	case First, Last:
		return &end{typ: s.Input, last: s.Op == Last}
	case FirstN, LastN:
		return &run{kind: s.Input.Kind, n: s.N, last: s.Op == LastN}
	case CountDistinct:
		return &histogram{kind: s.Input.Kind}
	case TopK:
		return &histogram{kind: s.Input.Kind, k: s.N}
	case ApproxCountDistinct:
		return &registers{bits: s.Precision}
	case ApproxQuantile:
		return &bins{q: s.Quantile, bits: s.Precision}
	default:
		panic(fmt.Sprintf("agg: no operator %q", s.Op))
	}
}

// ErrDamaged is returned by Decode for bytes that Append did not write.
var ErrDamaged = errors.New("cut off or damaged")

// errShort says that bytes end too early or hold what Append never writes.
func errShort(what string) error {
	return fmt.Errorf("state of %s: %w", what, ErrDamaged)
}

func uvarint(src []byte) (uint64, []byte, bool) {
	v, n := binary.Uvarint(src)
	if n <= 0 {
		return 0, nil, false
	}
	return v, src[n:], true
}

func appendFloat(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}

func float(src []byte) (float64, []byte, bool) {
	if len(src) < 8 {
		return 0, nil, false
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(src)), src[8:], true
}

// appendScalar appends a value that is not NULL and whose kind the reader knows.
func appendScalar(dst []byte, v feature.Value) []byte {
	switch v.Type().Kind {
	case feature.KindFloat64:
		return appendFloat(dst, v.Float64())
	case feature.KindString:
		dst = binary.AppendUvarint(dst, uint64(len(v.Str())))
		return append(dst, v.Str()...)
	case feature.KindBool:
		if v.Bool() {
			return append(dst, 1)
		}
		return append(dst, 0)
	case feature.KindTimestamp:
		return binary.AppendVarint(dst, int64(v.Time()))
	default:
		return binary.AppendVarint(dst, v.Int64())
	}
}

func scalar(src []byte, kind feature.Kind) (feature.Value, []byte, bool) {
	switch kind {
	case feature.KindFloat64:
		f, rest, ok := float(src)
		v := feature.Float64Value(f)
		return v, rest, ok && !v.IsNull()
	case feature.KindString:
		n, rest, ok := uvarint(src)
		if !ok || n > uint64(len(rest)) {
			return feature.Value{}, nil, false
		}
		return feature.StringValue(string(rest[:n])), rest[n:], true
	case feature.KindBool:
		if len(src) == 0 || src[0] > 1 {
			return feature.Value{}, nil, false
		}
		return feature.BoolValue(src[0] == 1), src[1:], true
	default:
		n, used := binary.Varint(src)
		if used <= 0 {
			return feature.Value{}, nil, false
		}
		if kind == feature.KindTimestamp {
			return feature.TimestampValue(feature.Time(n)), src[used:], true
		}
		return feature.Int64Value(n), src[used:], true
	}
}

// appendValues appends how many there are and then each.
func appendValues(dst []byte, values []feature.Value) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	for _, v := range values {
		dst = appendScalar(dst, v)
	}
	return dst
}

func values(src []byte, kind feature.Kind, into []feature.Value) ([]feature.Value, []byte, bool) {
	n, src, ok := uvarint(src)
	if !ok || n > uint64(len(src)) { // a scalar has a byte at least
		return nil, nil, false
	}
	for range n {
		var v feature.Value
		if v, src, ok = scalar(src, kind); !ok {
			return nil, nil, false
		}
		into = append(into, v)
	}
	return into, src, true
}
