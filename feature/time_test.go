package feature_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstepfs/lockstep/feature"
)

func TestParseTime(t *testing.T) {
	tests := []struct {
		in   string
		want feature.Time
	}{
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:00.000001Z", 1},
		{"1970-01-01T00:00:00.000001999Z", 1},
		{"1969-12-31T23:59:59.999999Z", -1},
		{"1969-12-31T23:59:59.9999999Z", -1}, // T1: floored, not truncated toward 1970
		{"1969-12-31T23:59:59.9999990001Z", -1},
		{"1969-12-31T23:59:59.9999980Z", -2},
		{"1969-12-31T23:59:59.999997999Z", -3},
		{"2001-06-25T12:00:00Z", 993470400000000},
		{"2001-06-25 12:00:00Z", 993470400000000},
		{"2001-06-25T12:00:00", 993470400000000},
		{"2001-06-25 12:00:00", 993470400000000},
		{"2001-06-25 12:00:00.5", 993470400500000},
		{"2001-06-25T12:00", 993470400000000},
		{"2001-06-25T12:00Z", 993470400000000},
		{"2001-06-25 12:00Z", 993470400000000},
		{"2001-06-25 12:00", 993470400000000},
		{"2001-06-25", 993427200000000},
		{"2001-06-25T14:00:00+02:00", 993470400000000},
		{"2001-06-25 07:00:00-05:00", 993470400000000},
		{"2000-02-29T00:00:00Z", 951782400000000},
		{"1900-01-01T00:00:00Z", feature.MinTime},
		{"1900-01-01", feature.MinTime},
		{"1900-01-01T01:00:00+01:00", feature.MinTime},
		{"2299-12-31T23:59:59.999999Z", feature.MaxTime},
		{"2299-12-31T23:59:59.999999999Z", feature.MaxTime}, // floored into the range
	}
	for _, tt := range tests {
		if got, err := feature.ParseTime(tt.in); err != nil || got != tt.want {
			t.Errorf("ParseTime(%q) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	tests := []struct{ in, message string }{
		{"1899-12-31T23:59:59.999999Z", "outside the years 1900 to 2299"},
		{"1899-12-31T23:59:59.9999999Z", "outside the years 1900 to 2299"},
		{"1900-01-01T00:00:00+00:01", "outside the years 1900 to 2299"},
		{"2300-01-01T00:00:00Z", "outside the years 1900 to 2299"},
		{"2299-12-31T23:59:59-00:01", "outside the years 1900 to 2299"},
		{"0000-01-01T00:00:00Z", "outside the years 1900 to 2299"},
		{"9999-12-31", "outside the years 1900 to 2299"},
		{"", "expected RFC 3339"},
		{"now", "expected RFC 3339"},
		{"993470400", "expected RFC 3339"},
		{"2001-02-29T00:00:00Z", "expected RFC 3339"},
		{"1900-02-29T00:00:00Z", "expected RFC 3339"},
		{"2001-06-31T00:00:00Z", "expected RFC 3339"},
		{"2001-00-01T00:00:00Z", "expected RFC 3339"},
		{"2001-13-01T00:00:00Z", "expected RFC 3339"},
		{"2001-06-00T00:00:00Z", "expected RFC 3339"},
		{"2001-06-25T24:00:00Z", "expected RFC 3339"},
		{"2001-06-25T12:60:00Z", "expected RFC 3339"},
		{"2001-06-25T12:00:60Z", "expected RFC 3339"},
		{"2001-06-25T12:00:00.Z", "expected RFC 3339"},
		{"2001-06-25T12:00:00ZZ", "expected RFC 3339"},
		{" 2001-06-25T12:00:00Z", "expected RFC 3339"},
		{strings.Repeat("x", 1000), "expected RFC 3339"},
	}
	for _, tt := range tests {
		got, err := feature.ParseTime(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.message) || len(err.Error()) > 200 {
			t.Errorf("ParseTime(%q) = %d, %v, want an error with %q", tt.in, got, err, tt.message)
		}
	}
}

func TestTimeOf(t *testing.T) {
	tests := []struct {
		in   time.Time
		want feature.Time
	}{
		{time.Unix(0, 999), 0},
		{time.Unix(0, -1), -1},
		{time.Unix(-1, 1), -1e6},
		{time.Unix(0, -999), -1},
		{time.Unix(0, -1000), -1},
		{time.Unix(0, -1001), -2},
		{time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), feature.MinTime},
		{time.Date(2299, 12, 31, 23, 59, 59, 999_999_999, time.UTC), feature.MaxTime},
	}
	for _, tt := range tests {
		if got, err := feature.TimeOf(tt.in); err != nil || got != tt.want {
			t.Errorf("TimeOf(%v) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
	for _, bad := range []time.Time{{}, time.Date(1900, 1, 1, 0, 0, 0, -1, time.UTC), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(1<<62, 0), time.Unix(-1<<62, 0)} {
		if got, err := feature.TimeOf(bad); err == nil {
			t.Errorf("TimeOf(%v) = %d, want an error", bad, got)
		}
	}
}

func TestTimeEdgesAreValid(t *testing.T) {
	for x, want := range map[feature.Time]bool{
		feature.MinTime: true, feature.MinTime - 1: false, feature.MaxTime: true, feature.MaxTime + 1: false, 0: true,
	} {
		if x.Valid() != want {
			t.Errorf("%d.Valid() = %t, want %t", x, !want, want)
		}
	}
}

func instants() *rapid.Generator[feature.Time] {
	return rapid.Custom(func(t *rapid.T) feature.Time {
		return feature.Time(rapid.Int64Range(int64(feature.MinTime), int64(feature.MaxTime)).Draw(t, "instant"))
	})
}

func TestTimeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := instants().Draw(t, "t")
		if got, err := feature.ParseTime(want.String()); err != nil || got != want {
			t.Fatalf("ParseTime(%s) = %d, %v, want %d", want, got, err, want)
		}
		if got, err := feature.TimeOf(want.Std()); err != nil || got != want {
			t.Fatalf("TimeOf(%s) = %d, %v, want %d", want.Std(), got, err, want)
		}
		nanos := time.Duration(rapid.Int64Range(0, 999).Draw(t, "nanos"))
		if got, err := feature.TimeOf(want.Std().Add(nanos)); err != nil || got != want {
			t.Fatalf("TimeOf(%s + %dns) = %d, %v, want %d", want, nanos, got, err, want)
		}
	})
}

// The fast reader of the usual form must read what package time reads.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{
		"2001-06-25T12:00:00Z", "1969-12-31 23:59:59.9999999", "2000-02-29T23:59:59.123456789+14:00", "1900-02-29T00:00:00Z",
		"2299-12-31T23:59:59.9999999999Z", "2001-06-25T12:00:00,5Z", "2001-06-25", "1899-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
	} {
		f.Add(s)
	}
	layouts := []string{
		time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999",
		"2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := feature.ParseTime(s)
		var want feature.Time
		wantErr := true
		for _, layout := range layouts {
			if x, err := time.Parse(layout, s); err == nil {
				want, err = feature.TimeOf(x)
				wantErr = err != nil
				break
			}
		}
		if (err != nil) != wantErr || err == nil && got != want {
			t.Fatalf("ParseTime(%q) = %d, %v, want %d, error %t", s, got, err, want, wantErr)
		}
	})
}
