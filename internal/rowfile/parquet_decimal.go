package rowfile

import (
	"errors"
	"math/big"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/lockstepfs/lockstep/feature"
)

// decimalLeaf reads decimals as text.
func decimalLeaf(k parquet.Kind, scale int) (leaf, error) {
	if scale < 0 || scale > 76 {
		return leaf{}, errors.New("the scale is out of range")
	}
	text := func(n int, to *dense, unscaled func(i int) string) {
		to.strs = to.strs[:0]
		for i := range n {
			to.strs = append(to.strs, decimalText(unscaled(i), scale))
		}
	}
	decode := func(v encoding.Values, n int, to *dense) error {
		switch k {
		case parquet.Int32:
			in := v.Int32()
			text(min(n, len(in)), to, func(i int) string { return strconv.FormatInt(int64(in[i]), 10) })
		case parquet.Int64:
			in := v.Int64()
			text(min(n, len(in)), to, func(i int) string { return strconv.FormatInt(in[i], 10) })
		case parquet.FixedLenByteArray:
			data, size := v.FixedLenByteArray()
			text(min(n, len(data)/max(size, 1)), to, func(i int) string { return bigEndian(data[i*size : (i+1)*size]).String() })
		default:
			return errors.New("decimals of this physical type are not supported")
		}
		if len(to.strs) < n {
			return errShort
		}
		return nil
	}
	return leaf{kind: feature.KindString, decode: decode, decimal: true}, nil
}

// bigEndian returns the two's complement number in b.
func bigEndian(b []byte) *big.Int {
	x := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		x.Sub(x, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return x
}

// decimalText puts the point into the digits of an unscaled number; a fraction of zeros is left out.
func decimalText(digits string, scale int) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - scale
	if frac := strings.TrimRight(digits[point:], "0"); frac != "" {
		return sign + digits[:point] + "." + frac
	}
	return sign + digits[:point]
}
