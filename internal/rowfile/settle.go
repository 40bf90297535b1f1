package rowfile

import (
	"errors"
	"math"
	"unicode/utf8"

	"github.com/lockstepfs/lockstep/feature"
)

var errUTF8 = errors.New("the string is not valid UTF-8")

// settle makes what a decoder yielded obey rules T1, V1 and V2 and converts it to the wanted type. It changes c.
// On an error row is the index of the first bad place.
func settle(c *feature.Column, want feature.Type) (out feature.Column, row int, err error) {
	if !c.Type.List {
		switch c.Type.Kind {
		case feature.KindFloat64:
			finite(c)
		case feature.KindString:
			for i, s := range c.Strs {
				if !utf8.ValidString(s) {
					return *c, i, errUTF8
				}
			}
		case feature.KindTimestamp:
			for i, x := range c.Ints {
				if !feature.Time(x).Valid() {
					_, err := feature.Convert(feature.TimestampValue(feature.Time(x)), feature.Timestamp)
					return *c, i, err
				}
			}
		default: // always right
		}
		if c.Type == want {
			return *c, 0, nil
		}
	}
	out = feature.Column{Type: want}
	for i := range c.Len() {
		v, err := feature.Convert(c.Value(i), want)
		if err != nil {
			return *c, i, err
		}
		out.Append(v)
	}
	return out, 0, nil
}

// finite makes NULL of what is not finite and 0 of -0.
func finite(c *feature.Column) {
	for i, f := range c.Floats {
		switch {
		case !(math.Abs(f) <= math.MaxFloat64):
			if c.Nulls == nil {
				c.Nulls = make([]bool, len(c.Floats))
			}
			c.Nulls[i], c.Floats[i] = true, 0
		case f == 0:
			c.Floats[i] = 0
		}
	}
}

// scale returns x times by, or an instant outside all valid time where that overflows.
func scale(x, by int64) int64 {
	switch limit := math.MaxInt64 / by; {
	case x > limit:
		return math.MaxInt64
	case x < -limit:
		return math.MinInt64
	default:
		return x * by
	}
}

// floorDiv returns x / by rounded toward minus infinity (rule T1); by is positive.
func floorDiv(x, by int64) int64 {
	q := x / by
	if x%by < 0 {
		q--
	}
	return q
}
