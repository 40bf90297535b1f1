package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/lockstepfs/lockstep/feature"
)

// AppendKey appends the encoding of k: of each part its kind and value, self-delimiting, so that equal keys
// and only those have equal bytes (rule K1). It panics if a part is NULL or of a type no key has. The format
// is docs/format/key.md. The order of the bytes means nothing.
func AppendKey(dst []byte, k feature.Key) []byte {
	for _, v := range k {
		t := v.Type()
		if !t.KeyPart() {
			panic(fmt.Sprintf("wire: a key with a %s part", t))
		}
		dst = append(dst, byte(t.Kind))
		dst = appendScalar(dst, t.Kind, v)
	}
	return dst
}

// ParseKey reads a key of n parts, which must be all of b.
func ParseKey(b []byte, n int) (feature.Key, error) {
	r := reader{format: "key", b: b}
	if n < 0 || n > len(b)/2 { // a part takes at least two bytes
		r.fail("expected %d parts in %d bytes", n, len(b))
		return nil, r.err
	}
	k := make(feature.Key, n)
	for i := range k {
		kind := feature.Kind(r.byte("kind of a part"))
		if r.err == nil && !(feature.Type{Kind: kind}).KeyPart() {
			r.fail("part %d is of %s, which no key has", i, kind)
		}
		k[i] = r.scalar(kind, "")
	}
	r.end()
	if r.err != nil {
		return nil, r.err
	}
	return k, nil
}

// appendScalar appends the value of a scalar that is not NULL, without its kind.
func appendScalar(dst []byte, kind feature.Kind, v feature.Value) []byte {
	switch kind {
	case feature.KindInt64:
		return binary.AppendVarint(dst, v.Int64())
	case feature.KindTimestamp:
		return binary.AppendVarint(dst, int64(v.Time()))
	case feature.KindBool:
		if v.Bool() {
			return append(dst, 1)
		}
		return append(dst, 0)
	case feature.KindFloat64:
		return binary.LittleEndian.AppendUint64(dst, floatBits(v.Float64()))
	case feature.KindString:
		dst = binary.AppendUvarint(dst, uint64(len(v.Str())))
		return append(dst, v.Str()...)
	default:
		panic(fmt.Sprintf("wire: a scalar of %s", kind))
	}
}

// scalar reads what appendScalar wrote. Where whole is not "" it is the input as a string, and a string value
// becomes a piece of it instead of a copy.
func (r *reader) scalar(kind feature.Kind, whole string) feature.Value {
	if r.err != nil {
		return feature.Value{}
	}
	switch kind {
	case feature.KindInt64:
		return feature.Int64Value(r.varint("int64"))
	case feature.KindTimestamp:
		return feature.TimestampValue(feature.Time(r.varint("timestamp")))
	case feature.KindBool:
		c := r.byte("bool")
		if c > 1 {
			r.fail("bool: expected 0 or 1, got %d", c)
		}
		return feature.BoolValue(c == 1)
	case feature.KindFloat64:
		if p := r.take(8, "float64"); p != nil {
			return r.float(binary.LittleEndian.Uint64(p))
		}
	case feature.KindString:
		n := r.count("length of a string")
		from := r.off
		p := r.take(n, "string")
		if whole != "" && r.err == nil {
			return feature.StringValue(whole[from : from+n])
		}
		return feature.StringValue(string(p))
	default:
		r.fail("unknown kind %d", kind)
	}
	return feature.Value{}
}
