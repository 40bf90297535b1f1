package oracle

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"strings"

	"github.com/lockstepfs/lockstep/feature"
)

// Condition reports whether an expression is true of the values, by column, of an event of src (W2).
type Condition func(src *feature.Source, where string, values map[string]feature.Value) bool

// window returns the cell of a window feature (W1 to W4, K3).
func (o *Oracle) window(r reading, f *feature.Feature) feature.Cell {
	for _, name := range r.item.Keys {
		if r.request[name].IsNull() {
			return feature.Cell{Status: feature.Missing, Value: f.Default}
		}
	}
	value := worth(f, o.taken(r, f))
	if value.IsNull() {
		return feature.Cell{Status: feature.Null, Value: f.Default}
	}
	return feature.Cell{Status: feature.Present, Value: value}
}

// taken returns the values that the window takes, oldest first (W1, W2, R3).
func (o *Oracle) taken(r reading, f *feature.Feature) []feature.Value {
	src := o.catalog.Source(r.item.View.Source)
	var in []*Event
	for i := range o.events {
		e := &o.events[i]
		if e.Source != src.Name || !r.sees(e) || int64(e.EventTime) <= lower(f.Window, int64(r.hi())) {
			continue
		}
		if src.Deleted != "" && !e.Values[src.Deleted].IsNull() && e.Values[src.Deleted].Bool() {
			continue
		}
		if f.Window.Where == "" || o.Holds(src, f.Window.Where, e.Values) {
			in = append(in, e)
		}
	}
	slices.SortFunc(in, func(a, b *Event) int {
		if newer(src, b, a) {
			return -1
		}
		return 1
	})
	var values []feature.Value
	for _, e := range in {
		if f.Window.Input == "*" {
			values = append(values, feature.BoolValue(true))
		} else if v := o.value(r.item.View, e, f.Window.Input); !v.IsNull() {
			values = append(values, v)
		}
	}
	return values
}

// slack is how far two right answers may lie apart (V3).
func (o *Oracle) slack(r reading, f *feature.Feature) float64 {
	const relative = 1e-9
	if f.Window == nil || f.Type != feature.Float64 {
		return 0
	}
	values := o.taken(r, f)
	n := float64(len(values))
	if n == 0 {
		return 0
	}
	size := new(big.Rat)
	for _, x := range exact(values) {
		size.Add(size, x.Abs(x))
	}
	sizes, _ := size.Float64()
	switch f.Window.Operator {
	case "sum":
		return relative * sizes
	case "avg":
		return relative * sizes / n
	case "var_pop", "var_samp", "stddev_pop", "stddev_samp":
		squared := *f
		window := *f.Window
		squared.Window = &window
		window.Operator = strings.Replace(window.Operator, "stddev", "var", 1)
		v := worth(&squared, values)
		if v.IsNull() {
			return 0
		}
		mean := average(values)
		apart := relative * (v.Float64() + mean*mean)
		if window.Operator == f.Window.Operator {
			return apart
		}
		return math.Sqrt(v.Float64()+apart) - math.Sqrt(max(0, v.Float64()-apart))
	default:
		return 0
	}
}

// lower is the edge that a window's events lie above (W1).
func lower(w *feature.Window, hi int64) int64 {
	if w.Width == 0 {
		return math.MinInt64
	}
	at := hi - int64(w.Width)
	if w.Hop == 0 {
		return at
	}
	hops := at / int64(w.Hop)
	if at%int64(w.Hop) < 0 {
		hops--
	}
	return hops * int64(w.Hop)
}

// worth is what values, oldest first, none of them NULL, are worth (W3, W4).
func worth(f *feature.Feature, values []feature.Value) feature.Value {
	n := len(values)
	switch f.Window.Operator {
	case "count":
		return feature.Int64Value(int64(n))
	case "sum":
		return sum(f.Type, values)
	case "count_distinct":
		return feature.Int64Value(int64(len(distinct(values))))
	case "approx_count_distinct":
		return feature.Int64Value(estimate(f.Window.Precision, values))
	case "first_n":
		return feature.ListValue(f.Type.Kind, values[:min(n, f.Window.N)])
	case "last_n":
		return feature.ListValue(f.Type.Kind, values[max(0, n-f.Window.N):])
	case "top_k":
		return topK(f, values)
	}
	if n == 0 {
		return feature.Value{}
	}
	switch f.Window.Operator {
	case "first":
		return values[0]
	case "last":
		return values[n-1]
	case "min":
		return slices.MinFunc(values, order)
	case "max":
		return slices.MaxFunc(values, order)
	case "avg":
		return finite(average(values))
	case "approx_quantile":
		return quantile(f.Window, values)
	default:
		return variance(f.Window.Operator, values)
	}
}

// finite is x, or NULL (V2).
func finite(x float64) feature.Value {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return feature.Value{}
	}
	return feature.Float64Value(x + 0)
}

// exact returns the numbers as fractions without error.
func exact(values []feature.Value) []*big.Rat {
	out := make([]*big.Rat, len(values))
	for i, v := range values {
		if v.Type().Kind == feature.KindInt64 {
			out[i] = new(big.Rat).SetInt64(v.Int64())
		} else {
			out[i] = new(big.Rat).SetFloat64(v.Float64())
		}
	}
	return out
}

func total(numbers []*big.Rat) *big.Rat {
	t := new(big.Rat)
	for _, x := range numbers {
		t.Add(t, x)
	}
	return t
}

// sum is modulo 2^64 for int64, and what no rounding touched until the end for float64 (V3).
func sum(t feature.Type, values []feature.Value) feature.Value {
	if t.Kind == feature.KindInt64 {
		var s uint64
		for _, v := range values {
			s += uint64(v.Int64())
		}
		return feature.Int64Value(int64(s))
	}
	x, _ := total(exact(values)).Float64()
	return finite(x)
}

func average(values []feature.Value) float64 {
	mean := total(exact(values))
	x, _ := mean.Quo(mean, new(big.Rat).SetInt64(int64(len(values)))).Float64()
	return x
}

// variance is the mean square of the distance from the mean, without error until the end.
func variance(operator string, values []feature.Value) feature.Value {
	numbers := exact(values)
	n := int64(len(numbers))
	mean := total(numbers)
	mean.Quo(mean, new(big.Rat).SetInt64(n))
	squares := new(big.Rat)
	for _, x := range numbers {
		d := new(big.Rat).Sub(x, mean)
		squares.Add(squares, d.Mul(d, d))
	}
	if operator == "var_samp" || operator == "stddev_samp" {
		n--
	}
	if n == 0 {
		return feature.Value{}
	}
	v, _ := squares.Quo(squares, new(big.Rat).SetInt64(n)).Float64()
	if operator == "stddev_pop" || operator == "stddev_samp" {
		v = math.Sqrt(v)
	}
	return finite(v)
}

// distinct returns the different values, smallest first, and how often each is there.
func distinct(values []feature.Value) (out []struct {
	value feature.Value
	times int
},
) {
	sorted := slices.SortedFunc(slices.Values(values), order)
	for i, v := range sorted {
		if i == 0 || order(v, sorted[i-1]) != 0 {
			out = append(out, struct {
				value feature.Value
				times int
			}{v, 0})
		}
		out[len(out)-1].times++
	}
	return out
}

func topK(f *feature.Feature, values []feature.Value) feature.Value {
	found := distinct(values)
	top := []feature.Value{}
	for len(top) < f.Window.N && len(found) > 0 {
		best := 0
		for i := range found {
			if found[i].times > found[best].times {
				best = i
			}
		}
		top = append(top, found[best].value)
		found = slices.Delete(found, best, best+1)
	}
	return feature.ListValue(f.Type.Kind, top)
}

// quantile reads docs/format/aggregates.md: the least number of the bin in which the value of rank ceil(q·n) lies.
func quantile(w *feature.Window, values []feature.Value) feature.Value {
	dropped := 52 - w.Precision
	var cut []float64 // every value moved to the end of its bin that is nearer to 0, which keeps the order
	for _, v := range values {
		x := 0.0
		if v.Type().Kind == feature.KindInt64 {
			x = float64(v.Int64())
		} else {
			x = v.Float64()
		}
		cut = append(cut, math.Float64frombits(math.Float64bits(x)>>dropped<<dropped)+0)
	}
	slices.Sort(cut)
	rank := max(1, int(math.Ceil(w.Quantile*float64(len(cut)))))
	return feature.Float64Value(cut[rank-1])
}

// estimate reads docs/format/aggregates.md: HyperLogLog over xxHash64.
func estimate(precision int, values []feature.Value) int64 {
	m := 1 << precision
	greatest := make([]int, m)
	for _, v := range values {
		h := hash(v)
		rank := min(bits.TrailingZeros64(h>>precision)+1, 50)
		at := int(h % uint64(m))
		greatest[at] = max(greatest[at], rank)
	}
	zero, inverse := 0, 0.0
	for _, rank := range greatest {
		if rank == 0 {
			zero++
		}
		inverse += math.Ldexp(1, -rank)
	}
	alpha, known := map[int]float64{16: 0.673, 32: 0.697, 64: 0.709}[m]
	if !known {
		alpha = 0.7213 / (1 + 1.079/float64(m))
	}
	e := alpha * float64(m) * float64(m) / inverse
	if e <= 2.5*float64(m) && zero > 0 {
		e = float64(m) * math.Log(float64(m)/float64(zero))
	}
	return int64(math.Round(e))
}

// hash is xxHash64 with seed 0 of a value's bytes (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
func hash(v feature.Value) uint64 {
	switch v.Type().Kind {
	case feature.KindString:
		return xxh64([]byte(v.Str()))
	case feature.KindBool:
		if v.Bool() {
			return xxh64([]byte{1})
		}
		return xxh64([]byte{0})
	case feature.KindFloat64:
		return xxh64(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v.Float64())))
	case feature.KindTimestamp:
		return xxh64(binary.LittleEndian.AppendUint64(nil, uint64(v.Time())))
	default:
		return xxh64(binary.LittleEndian.AppendUint64(nil, uint64(v.Int64())))
	}
}

const (
	prime1 uint64 = 0x9E3779B185EBCA87
	prime2 uint64 = 0xC2B2AE3D27D4EB4F
	prime3 uint64 = 0x165667B19E3779F9
	prime4 uint64 = 0x85EBCA77C2B2AE63
	prime5 uint64 = 0x27D4EB2F165667C5
)

func xxh64(b []byte) uint64 {
	round := func(acc, lane uint64) uint64 { return bits.RotateLeft64(acc+lane*prime2, 31) * prime1 }
	n := uint64(len(b))
	p1, p2 := prime1, prime2 // their sum wraps
	acc := prime5
	if len(b) >= 32 {
		lanes := [4]uint64{p1 + p2, p2, 0, -p1}
		for ; len(b) >= 32; b = b[32:] {
			for i := range lanes {
				lanes[i] = round(lanes[i], binary.LittleEndian.Uint64(b[8*i:]))
			}
		}
		acc = bits.RotateLeft64(lanes[0], 1) + bits.RotateLeft64(lanes[1], 7) + bits.RotateLeft64(lanes[2], 12) + bits.RotateLeft64(lanes[3], 18)
		for _, lane := range lanes {
			acc = (acc^round(0, lane))*prime1 + prime4
		}
	}
	acc += n
	for ; len(b) >= 8; b = b[8:] {
		acc = bits.RotateLeft64(acc^round(0, binary.LittleEndian.Uint64(b)), 27)*prime1 + prime4
	}
	if len(b) >= 4 {
		acc = bits.RotateLeft64(acc^uint64(binary.LittleEndian.Uint32(b))*prime1, 23)*prime2 + prime3
		b = b[4:]
	}
	for _, c := range b {
		acc = bits.RotateLeft64(acc^uint64(c)*prime5, 11) * prime1
	}
	acc = (acc ^ acc>>33) * prime2
	acc = (acc ^ acc>>29) * prime3
	return acc ^ acc>>32
}
