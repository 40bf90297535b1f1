package oracle_test

import (
	"math"
	"testing"

	"github.com/lockstepfs/lockstep/feature"
	"github.com/lockstepfs/lockstep/internal/oracle"
)

// TestEvaluate states rule D2, as far as random histories need it.
func TestEvaluate(t *testing.T) {
	values := map[string]feature.Value{
		"n": feature.Int64Value(7), "least": feature.Int64Value(math.MinInt64), "big": feature.Int64Value(1<<53 + 1), "x": feature.Float64Value(0.5), "near": feature.Float64Value(1 << 53),
		"yes": feature.BoolValue(true), "s": feature.StringValue("aé"), "v.at": feature.TimestampValue(10), "list": feature.ListValue(feature.KindInt64, nil),
	}
	read := func(name string) (feature.Value, feature.Type) {
		v := values[name]
		if name == "none" {
			return v, feature.Bool
		}
		return v, v.Type()
	}
	null, truth := feature.Value{}, feature.BoolValue
	for _, c := range []struct {
		text string
		want feature.Value
	}{
		{"1 + 2 * n - 3", feature.Int64Value(12)},
		{"(1 + 2) * n", feature.Int64Value(21)},
		{"n / 2", feature.Float64Value(3.5)},
		{"n / 0", null},
		{"n % 0", null},
		{"(0 - n) % 4", feature.Int64Value(-3)},
		{"least % (0 - 1)", feature.Int64Value(0)},
		{"least - 1", feature.Int64Value(math.MaxInt64)},
		{"n + x", feature.Float64Value(7.5)},
		{"0 * (x - 1)", feature.Float64Value(0)},
		{"big > near", truth(true)},
		{"none and not (yes)", truth(false)},
		{"none or yes", truth(true)},
		{"none and yes", null},
		{"not none", null},
		{"none ? 1 : 2", feature.Int64Value(2)},
		{"yes ? nil : 2", null},
		{"none ?? yes", truth(true)},
		{"isNull(none) and n >= 7", truth(true)},
		{"len(s) + len(list)", feature.Int64Value(2)},
		{"toString(n) == '7'", truth(true)},
		{"v.at - v.at", feature.Int64Value(0)},
		{"n + none", null},
	} {
		if got := oracle.Evaluate(c.text, read); !got.Equal(c.want) {
			t.Errorf("%s = %s, want %s", c.text, got, c.want)
		}
	}
}
