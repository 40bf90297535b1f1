package semtest_test

import (
	"errors"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/identity"
	"github.com/lockstepfs/lockstep/internal/semtest"
)

// knowing returns an index of ids in memory that knows the sources of the catalog, which have no events yet.
func knowing(c *feature.Catalog) (*identity.Index, error) {
	x, err := identity.Open(identity.Config{})
	if err != nil {
		return nil, err
	}
	return x, adopt(x, c)
}

// adopt makes the index know the sources that it does not know yet.
func adopt(x *identity.Index, c *feature.Catalog) (err error) {
	for _, src := range c.Sources {
		if len(src.ID) > 0 && !x.Knows(src) {
			err = errors.Join(err, x.Adopt(src))
		}
	}
	return err
}

// distinct returns the rows that are events (E1), which the index then knows, and says how many are not. The rows arrive
// at sequence seq.
func distinct(x *identity.Index, c *feature.Catalog, rows *feature.Batch, seq uint64) (*feature.Batch, semtest.Receipt, error) {
	src := c.Source(rows.Source)
	receipt := semtest.Receipt{Seq: seq}
	if len(src.ID) == 0 {
		return rows, receipt, nil
	}
	v, err := x.Judge(src, rows)
	if err != nil {
		return nil, receipt, err
	}
	receipt.Duplicates = len(v.Copies)
	for _, copied := range v.Copies {
		if copied.Conflict {
			receipt.Conflicts++
		}
	}
	return v.Fresh, receipt, x.Add(src, v.Fresh, func(i int) feature.Place { return feature.Place{Seq: seq, Row: uint64(i)} })
}

// judged returns the lookup without the copies among the events that it brings (E1).
func judged(x *identity.Index, c *feature.Catalog, l *feature.Lookup) (*feature.Lookup, error) {
	out := *l
	out.Events = nil
	for _, b := range l.Events {
		if src := c.Source(b.Source); len(src.ID) > 0 {
			v, err := x.Judge(src, b)
			if err != nil {
				return nil, err
			}
			b = v.Fresh
		}
		out.Events = append(out.Events, b)
	}
	return &out, nil
}
