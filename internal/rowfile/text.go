package rowfile

import (
	"bytes"
	"strconv"

	"github.com/lockstepfs/lockstep/feature"
)

// maxLine is the longest line, or CSV record, that is read.
const maxLine = 16 << 20

// appendText adds the text of a CSV field, which is not NULL, to c, as of type c.Type. Besides what
// feature.ParseText reads it takes what other tools write: True and FALSE, and 5.0 for the int64 5.
func appendText(c *feature.Column, text []byte) error {
	if !c.Type.List && len(text) > 0 {
		switch c.Type.Kind {
		case feature.KindInt64:
			if n, ok := parseInt(text); ok {
				c.Ints = append(c.Ints, n)
				notNull(c)
				return nil
			}
		case feature.KindTimestamp:
			at, err := feature.ParseTime(string(text))
			if err != nil {
				return err
			}
			c.Ints = append(c.Ints, int64(at))
			notNull(c)
			return nil
		case feature.KindBool:
			text = bytes.ToLower(text)
		default:
		}
	}
	v, err := feature.ParseText(string(text), c.Type)
	if err != nil {
		return err
	}
	c.Append(v)
	return nil
}

// notNull records that the place just added is not NULL.
func notNull(c *feature.Column) {
	if c.Nulls != nil {
		c.Nulls = append(c.Nulls, false)
	}
}

func parseInt(text []byte) (int64, bool) {
	whole, zeros, dotted := bytes.Cut(text, []byte("."))
	if dotted && (len(zeros) == 0 || len(bytes.Trim(zeros, "0")) > 0) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(whole), 10, 64)
	return n, err == nil
}

// columnOf returns an empty column with room for a chunk.
func columnOf(t feature.Type) feature.Column {
	c := feature.Column{Type: t}
	if t.List {
		c.Lists = make([][]feature.Value, 0, ChunkRows)
		return c
	}
	makeRoom(&c, ChunkRows)
	return c
}
