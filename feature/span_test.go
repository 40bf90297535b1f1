package feature_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

func TestParseSpan(t *testing.T) {
	tests := []struct {
		in   string
		want feature.Span
	}{
		{"0", 0},
		{"0s", 0},
		{"1us", 1},
		{"1\u00b5s", 1},
		{"1\u03bcs", 1},
		{"1.5ms", 1500},
		{"0.000001s", 1},
		{"7d", 7 * feature.Day},
		{"2w", 14 * feature.Day},
		{"3h30m", 3*feature.Hour + 30*feature.Minute},
		{"30m3h", 3*feature.Hour + 30*feature.Minute},
		{"1h1h", 2 * feature.Hour},
		{"0.5d", 12 * feature.Hour},
		{"1.50000000000000000000s", 1500 * feature.Millisecond},
		{"6d23h59m59.999999s", 7*feature.Day - 1},
		{"0.999999999375w", 604_799_999_622}, // exact although the product of the digits needs 80 bits
		{"366000d", 366_000 * feature.Day},
	}
	for _, tt := range tests {
		if got, err := feature.ParseSpan(tt.in); err != nil || got != tt.want {
			t.Errorf("ParseSpan(%q) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
}

func TestParseSpanRefuses(t *testing.T) {
	for _, in := range []string{
		"", "-1s", "+1s", "s", "1", "1.s", ".5s", ".s", "1..2s", "1.2.3s", "1 s", " 1s", "1S", "1y", "1e3s", "0.1us", "0.0000001s",
		"1.0000001s", "366001d", "9223372036854775807us", "9223372036854775808us", "99999999999999999999w", "366000d366000d", "1us2",
		"0.999999999999w", "1\xb5s",
	} {
		if got, err := feature.ParseSpan(in); err == nil || !strings.Contains(err.Error(), "expected something like 7d") {
			t.Errorf("ParseSpan(%q) = %d, %v, want an error", in, got, err)
		}
	}
}

func TestSpanString(t *testing.T) {
	for in, want := range map[feature.Span]string{
		0:                   "0s",
		1:                   "1us",
		999:                 "999us",
		1000:                "1ms",
		1500:                "0.0015s",
		7*feature.Day - 1:   "6d23h59m59.999999s",
		8 * feature.Day:     "8d",
		90 * feature.Minute: "1h30m",
		-feature.Second:     "-1s",
		math.MinInt64:       "-106751991d4h54.775808s",
	} {
		if got := in.String(); got != want {
			t.Errorf("Span(%d).String() = %q, want %q", int64(in), got, want)
		}
	}
}

func TestSpanRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := feature.Span(rapid.Int64Range(0, int64(366_000*feature.Day)).Draw(t, "span"))
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got feature.Span
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Fatalf("UnmarshalText(%s) = %d, %v, want %d", text, got, err, want)
		}
	})
}

func FuzzParseSpan(f *testing.F) {
	for _, s := range []string{"7d", "3h30m", "6d23h59m59.999999s", "0.999999999375w", "1.5us", "\u00b5s", "1us2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		span, err := feature.ParseSpan(s)
		if err != nil {
			return
		}
		if span < 0 || span > 366_000*feature.Day {
			t.Fatalf("ParseSpan(%q) = %d", s, span)
		}
		if again, err := feature.ParseSpan(span.String()); err != nil || again != span {
			t.Fatalf("ParseSpan(%q) = %d, but %q reads as %d, %v", s, span, span.String(), again, err)
		}
	})
}
