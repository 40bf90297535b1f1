package identity

import (
	"bytes"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
)

// FuzzParseStored: bytes of the index are an event or damaged; what is read is written the same.
func FuzzParseStored(f *testing.F) {
	key := appendTime(append(prefix(7), "id"...), 1704103200_000000)
	value := appendStored(nil, 42, feature.Place{Seq: 300, Row: 1 << 40})
	f.Add(key, value)
	f.Add(key, value[:len(value)-1])
	f.Add(key, append(value, 0))
	f.Add(key[:timeBytes], appendStored(nil, 0, feature.Place{}))
	f.Add(key[:timeBytes-1], value)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		s, err := parseStored(key, value)
		if err != nil {
			return
		}
		again, err := parseStored(appendTime(nil, s.time), appendStored(nil, s.sum, s.place))
		if err != nil || again != s || !bytes.HasSuffix(key, appendTime(nil, s.time)) {
			t.Fatalf("%x = %x was read as %+v and then as %+v, %v", key, value, s, again, err)
		}
	})
}
