package wire

import "github.com/lockstepfs/lockstep/feature"

// GroupBound returns a number of bytes that AppendGroup of b does not exceed. It looks at every string and list.
func GroupBound(b *feature.Batch) int {
	const varint = 10
	n := len(groupMagic) + groupSum + len(b.Source) + 3*varint
	for i := range b.Columns {
		c := &b.Columns[i]
		n += len(b.Fields[i].Name) + 2*varint + 2 + varint + 1 // name, type, least and width
		n += (len(c.Nulls) + 7) / 8
		n += 8 * b.Rows // fixed-width values, or lengths
		for _, s := range c.Strs {
			n += len(s)
		}
		for _, l := range c.Lists {
			n += 8 * len(l)
			for _, v := range l {
				n += len(v.Str())
			}
		}
		if c.Type.List {
			n += 2 * (varint + 1)
		}
	}
	return n
}
